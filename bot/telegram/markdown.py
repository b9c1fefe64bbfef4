"""Markdown as Telegram's runs: our messages, and the reports that are longer than a message.

Used by `bot.telegram.drawing`. Telegram knows neither headings, lists nor tables, so they are drawn
with what a phone shows well. Raw HTML stays text; links lead to the web or nowhere.
"""

import html
import re
from collections.abc import Collection, Iterator, Sequence
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

from bot.telegram.runs import Run, Runs, plain

WIDE = 34  # characters that a phone shows of a table in one line
TAGS = {"strong": "b", "em": "i", "s": "s"}
RULE = "⸻"
_LINK = re.compile(r"^https?://", re.IGNORECASE)
_USER = re.compile(r"\btelegram:(\d{1,20})\b")


def line(text: str, called: Collection[str] = ()) -> Runs:
    """Return one line with its inline marks; who is `called`, by user id, becomes a mention.

    A mention wakes somebody, so that it is made where we ask these people something, and never of
    a text that a stranger may have written.
    """
    (token,) = _parser().parseInline(text)
    runs = tuple(_inline(token.children or ()))
    return tuple(part for run in runs for part in _named(run, called)) if called else runs


def whole(text: str) -> Runs:
    """Return a text of many paragraphs."""
    made = tuple(_blocks(_parser().parse(text)))
    return made[:-1] if made and made[-1].text == "\n\n" else made


def code(text: str, language: str = "") -> Runs:
    """Return a block of text as it stands."""
    if not language:
        return (Run(text, ("pre",)),)
    return (Run(text, ("pre", f'code class="language-{html.escape(language)}"')),)


def _named(run: Run, called: Collection[str]) -> Iterator[Run]:
    place = 0
    for match in _USER.finditer(run.text):
        if match[1] in called:
            yield Run(run.text[place : match.start()], run.tags)
            yield Run(match[0], (*run.tags, f'a href="tg://user?id={match[1]}"'))
            place = match.end()
    yield Run(run.text[place:], run.tags)


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def _inline(tokens: Sequence[Token]) -> Iterator[Run]:
    open_: list[str] = []
    for token in tokens:
        if token.type == "text":
            yield Run(token.content, tuple(open_))
        elif token.type == "code_inline":
            yield Run(token.content, (*open_, "code"))
        elif token.type in ("softbreak", "hardbreak"):
            yield Run("\n", tuple(open_))
        elif token.nesting == 1:
            open_.append(_tag(token))
        elif token.nesting == -1:
            open_.pop()


def _tag(token: Token) -> str:
    if token.tag != "a":
        return TAGS.get(token.tag, "u")
    address = str(token.attrGet("href") or "")
    return f'a href="{html.escape(address)}"' if _LINK.match(address) else "u"


def _blocks(tokens: Sequence[Token]) -> Iterator[Run]:
    """Draw blocks; every one ends with an empty line but those inside of lists."""
    marks: list[list[int | None]] = []  # the open lists, each with its next number
    heading = quoted = 0
    place = 0
    while place < len(tokens):
        token = tokens[place]
        if token.type == "table_open":
            end = next(at for at in range(place, len(tokens)) if tokens[at].type == "table_close")
            yield from _table(tokens[place:end])
            place = end
        elif token.type in ("fence", "code_block"):
            yield from code(token.content.rstrip("\n"), token.info.strip().split(" ")[0])
            yield Run("\n\n")
        elif token.type == "hr":
            yield Run(f"{RULE}\n\n")
        elif token.type in ("bullet_list_open", "ordered_list_open"):
            start = token.attrGet("start")
            number = int(start) if start is not None else 1
            marks.append([number if token.type.startswith("ordered") else None])
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            marks.pop()
            if not marks:
                yield Run("\n")
        elif token.type == "list_item_open":
            yield Run(_mark(marks))
        elif token.type in ("heading_open", "heading_close"):
            heading += token.nesting
        elif token.type in ("blockquote_open", "blockquote_close"):
            quoted += token.nesting
        elif token.type == "inline":
            around = ("b",) if heading else ("i",) if quoted else ()
            for run in _inline(token.children or ()):
                yield Run(run.text, (*around, *run.tags))
            yield Run("\n" if marks else "\n\n")
        place += 1


def _mark(marks: list[list[int | None]]) -> str:
    depth = "   " * (len(marks) - 1)
    number = marks[-1][0]
    if number is None:
        return f"{depth}• "
    marks[-1][0] = number + 1
    return f"{depth}{number}. "


def _table(tokens: Sequence[Token]) -> Iterator[Run]:
    """Draw a narrow table in columns; of a wide one every row becomes a line of its own."""
    rows: list[list[Runs]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(tuple(_inline(token.children or ())))
    said = [[plain(cell) for cell in row] for row in rows]
    widths = [max(len(row[at]) for row in said) for at in range(len(said[0]))]
    if sum(widths) + 2 * (len(widths) - 1) <= WIDE:
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in said
        ]
        yield from code("\n".join(lines))
        yield Run("\n\n")
        return
    names = said[0]
    for row in rows[1:]:
        yield Run("• ")
        yield from row[0]
        for name, cell in zip(names[1:], row[1:], strict=True):
            if plain(cell):
                yield Run(f"; {name.lower()}: ")
                yield from cell
        yield Run("\n")
    yield Run("\n")
