"""Markdown and diffs as HTML that nothing inside them can break out of.

Called by the page templates for messages and reports. Raw HTML is shown as text, links go to
http(s) and mail only, and no picture of another site is ever loaded. Pure.
"""

import re
from collections.abc import Sequence
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup, escape

_LINK = re.compile(r"^(https?|mailto):", re.IGNORECASE)
_OWN_PAGE = re.compile(r"^/INC-\d+$")
SIGNS = {"✅": "yes", "❌": "no"}
SIGN = {
    "yes": Markup(
        '<svg class="sign" viewBox="0 0 16 16" role="img" aria-label="✅">'
        '<rect class="yes" width="16" height="16" rx="3"/><path d="M3.5 8.5l3 3 6-7"/></svg>'
    ),
    "no": Markup(
        '<svg class="sign" viewBox="0 0 16 16" role="img" aria-label="❌">'
        '<path class="no" d="M3 3l10 10M13 3L3 13"/></svg>'
    ),
}


def whole(text: str) -> Markup:
    """Return a text of many paragraphs as HTML."""
    return _signed(_parser().render(text))


def line(text: str) -> Markup:
    """Return one line with its inline marks as HTML."""
    return _signed(_parser().renderInline(text))


def sign(answer: str) -> Markup:
    """Return the drawn sign of a yes or a no."""
    return SIGN[answer]


def _signed(drawn: str) -> Markup:
    """Draw the two signs of a vote, since not every machine has a font with them."""
    drawn = "".join(SIGN[SIGNS[char]] if char in SIGNS else char for char in drawn)
    return Markup(drawn)  # noqa: S704 - the parser escapes every leaf


def diff(text: str) -> Markup:
    """Return a diff as one block: each line has its sign, and a class for its colour."""
    lines = [
        Markup('<span class="{}">{}\n</span>').format(_kind(row), row)
        for row in text.rstrip("\n").split("\n")
    ]
    joined = Markup().join(lines)
    return Markup('<pre class="diff" tabindex="0"><code>{}</code></pre>').format(joined)


def _kind(row: str) -> str:
    if row.startswith(("+++", "---", "diff ", "index ", "new file", "deleted file")):
        return "file"
    return {"+": "added", "-": "removed", "@": "hunk"}.get(row[:1], "same")


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer)
    parser.enable("table").disable("image")
    # The parser's type names this method without its owner; the check is ours, and stricter.
    parser.validateLink = _allowed  # type: ignore[method-assign]
    return parser


def _allowed(url: str) -> bool:
    return bool(_LINK.match(url) or _OWN_PAGE.match(url))


class _Renderer(RendererHTML):
    """Diffs in colour, wide tables that scroll by themselves, links that tell no one where from."""

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Draw a fenced block; one that says `diff` as a diff."""
        token = tokens[idx]
        if token.info.strip() == "diff":
            return str(diff(token.content))
        return str(Markup('<pre tabindex="0"><code>{}</code></pre>\n').format(token.content))

    def table_open(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
    ) -> str:
        """Give a table a frame in which it scrolls."""
        return '<div class="wide" tabindex="0"><table>\n'

    def table_close(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
    ) -> str:
        """End the frame."""
        return "</table></div>\n"

    def link_open(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
    ) -> str:
        """Open links beside the war room, without a referrer."""
        address = escape(tokens[idx].attrGet("href") or "")
        return f'<a href="{address}" rel="noopener noreferrer nofollow" target="_blank">'
