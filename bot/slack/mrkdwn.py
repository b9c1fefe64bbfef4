"""Markdown as Slack draws it, with every leaf escaped: foreign text pings nobody, breaks nothing.

Pure. Called by `bot.slack.blocks`. Markdown is read by a real parser with raw HTML switched off;
only what this file writes itself is ever unescaped. Pieces are cut at line ends, code stays code.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

LONGEST = 2900  # of a section, which Slack cuts off at 3,000
FENCE = "```"
_PERSON = re.compile(r"\bslack:([UW][A-Z0-9]{2,20})\b")
_LINK = re.compile(r"^https?://[^\s<>|]+$")
_ENTITY = re.compile(r"&(?:amp|lt|gt);")
Names = Mapping[str, str]  # user id → the name that is shown for it, without a ping


@dataclass(frozen=True)
class Piece:
    """Some lines that stand together; code is kept in a box of its own."""

    text: str
    code: bool = False

    def __str__(self) -> str:
        return f"{FENCE}\n{self.text}\n{FENCE}" if self.code else self.text


def escape(text: str) -> str:
    """Return a leaf that Slack shows as it is: no mention, no link, no channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def leaf(text: str, names: Names | None = None) -> str:
    """Return a plain text: escaped, no code box opened, people by the names that are known."""
    known = names or {}
    shown = _PERSON.sub(lambda found: f"@{known.get(found[1], found[1])}", text)
    return escape(shown).replace("`", "ˋ")


def inline(text: str, names: Names | None = None) -> str:
    """Return one line with its inline marks."""
    (token,) = _parser().parseInline(" ".join(text.split()))
    return "".join(_inline(token.children or (), names))


def plain(text: str) -> str:
    """Return one line without any marks or escapes, as a notification or a topic shows it."""
    (token,) = _parser().parseInline(" ".join(text.split()))
    return "".join(
        " " if child.type in ("softbreak", "hardbreak") else child.content
        for child in token.children or ()
    )


def code(text: str) -> Piece:
    """Return text as code; a fence inside it cannot end it."""
    return Piece(escape(text.rstrip("\n")).replace(FENCE, "ˋˋˋ"), code=True)


def pieces(markdown: str, names: Names | None = None) -> list[Piece]:
    """Return a text of many paragraphs, one piece for each."""
    return list(_blocks(_parser().parse(markdown), names))


def sections(found: Sequence[Piece], longest: int = LONGEST) -> list[str]:
    """Return pieces as texts of at most so many characters, cut at line ends if there are any."""
    made: list[str] = []
    for piece in found:
        box = 2 * len(FENCE) + 2 if piece.code else 0
        for part in split(piece.text, longest - box):
            shown = str(Piece(part, piece.code))
            if made and len(made[-1]) + len(shown) + 2 <= longest:
                made[-1] += f"\n\n{shown}"
            else:
                made.append(shown)
    return made


def split(text: str, longest: int) -> list[str]:
    """Return a text in parts of at most so many characters; joined by line ends they are it.

    A line that is longer itself is cut within, never inside an escape.
    """
    parts: list[str] = []
    for line in text.split("\n"):
        for at, bit in enumerate(_bits(line, longest)):
            if at == 0 and parts and len(parts[-1]) + 1 + len(bit) <= longest:
                parts[-1] += f"\n{bit}"
            else:
                parts.append(bit)
    return parts


def _bits(line: str, longest: int) -> Iterator[str]:
    while len(line) > longest:
        end = longest
        # An entity has at most five characters: it may begin in the last four before the cut.
        begun = line.rfind("&", end - 4, end)
        if begun >= 0 and (found := _ENTITY.match(line, begun)) and found.end() > end:
            end = begun
        yield line[:end]
        line = line[end:]
    yield line


# --- inline


def _inline(tokens: Sequence[Token], names: Names | None) -> Iterator[str]:
    link = ""
    for token in tokens:
        match token.type:
            case "code_inline":
                yield _span(token.content, names)
            case "strong_open" | "strong_close":
                yield "*"
            case "em_open" | "em_close":
                yield "_"
            case "softbreak":
                yield " "
            case "hardbreak":
                yield "\n"
            case "link_open":
                link = str(token.attrGet("href") or "")
                link = link if _LINK.match(link) else ""
                yield f"<{escape(link)}|" if link else ""
            case "link_close":
                yield ">" if link else ""
                link = ""
            case _:
                # Within a link a bar would end the address that is shown.
                shown = leaf(token.content, names)
                yield shown.replace("|", "¦") if link else shown


def _span(content: str, names: Names | None) -> str:
    said = " ".join(content.split())
    return leaf(content, names) if "`" in content or not said else f"`{escape(said)}`"


# --- blocks


def _blocks(tokens: Sequence[Token], names: Names | None) -> Iterator[Piece]:
    at = 0
    while at < len(tokens):
        token = tokens[at]
        end = _closing(tokens, at)
        inner = tokens[at + 1 : end]
        if token.type in ("fence", "code_block"):
            yield code(token.content)
        elif token.type == "hr":
            yield Piece("—————")
        elif token.type == "table_open":
            yield code(_table(inner))
        elif token.type == "heading_open":
            yield Piece(f"*{_text(inner, names)}*")
        elif token.type == "blockquote_open":
            yield from _quoted(_blocks(inner, names))
        elif token.type in ("bullet_list_open", "ordered_list_open"):
            yield from _list(token, inner, names)
        else:
            yield Piece(_text(tokens[at : end + 1], names))
        at = end + 1


def _closing(tokens: Sequence[Token], at: int) -> int:
    level = 0
    for place in range(at, len(tokens)):
        level += tokens[place].nesting
        if level == 0:
            return place
    return len(tokens) - 1


def _text(tokens: Sequence[Token], names: Names | None) -> str:
    return "".join(
        part for token in tokens if token.type == "inline"
        for part in _inline(token.children or (), names)
    )  # fmt: skip


def _list(token: Token, inner: Sequence[Token], names: Names | None) -> Iterator[Piece]:
    number = int(token.attrGet("start") or 1)
    lines: list[str] = []
    at = 0
    while at < len(inner):
        end = _closing(inner, at)
        mark = "•" if token.type == "bullet_list_open" else f"{number}."
        number += 1
        first = True
        for piece in _blocks(inner[at + 1 : end], names):
            if piece.code:  # a box cannot stand within a line: it follows its item
                yield from [Piece("\n".join(lines))] if lines else []
                lines = []
                yield piece
                continue
            for line in piece.text.split("\n"):
                lines.append(f"{mark} {line}" if first else f"    {line}")
                first = False
        at = end + 1
    if lines:
        yield Piece("\n".join(lines))


def _quoted(found: Iterator[Piece]) -> Iterator[Piece]:
    for piece in found:
        quoted = "\n".join(f"> {line}" for line in piece.text.split("\n"))
        yield piece if piece.code else Piece(quoted)


def _table(inner: Sequence[Token]) -> str:
    rows: list[list[str]] = []
    for token in inner:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(plain(token.content))
    columns = max((len(row) for row in rows), default=0)
    wide = [max((len(row[at]) for row in rows if at < len(row)), default=0)
            for at in range(columns)]  # fmt: skip
    return "\n".join(
        "  ".join(cell.ljust(wide[at]) for at, cell in enumerate(row)).rstrip() for row in rows
    )


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    return parser.disable(["image", "autolink"])  # Slack finds bare addresses by itself
