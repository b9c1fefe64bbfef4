"""Telegram's HTML as its server reads it: the text without marks, or why it refuses them.

Used by `tests/bot/telegram/botapi.py` and by the tests of the renderer.
"""

from html import unescape
from html.parser import HTMLParser

ALLOWED = ("b", "strong", "i", "em", "u", "s", "a", "code", "pre", "blockquote", "tg-spoiler")
ATTRIBUTES = {"a": {"href"}, "code": {"class"}, "blockquote": {"expandable"}}
NAMED = ("lt", "gt", "amp", "quot")


class MarksRefused(Exception):
    """Telegram's words for it."""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.text = ""
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ALLOWED:
            raise MarksRefused(f'Unsupported start tag "{tag}"')
        if unknown := {name for name, _ in attrs} - ATTRIBUTES.get(tag, set()):
            raise MarksRefused(f'Unsupported attribute "{min(unknown)}" of "{tag}"')
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            raise MarksRefused(f'Unmatched end tag "{tag}"')

    def handle_data(self, data: str) -> None:
        if "<" in data:
            raise MarksRefused("Unclosed start tag")
        self.text += data

    def handle_entityref(self, name: str) -> None:
        self.text += unescape(f"&{name};") if name in NAMED else f"&{name};"

    def handle_charref(self, name: str) -> None:
        self.text += unescape(f"&#{name};")

    def handle_comment(self, data: str) -> None:
        raise MarksRefused("Unsupported start tag")

    def handle_decl(self, decl: str) -> None:
        raise MarksRefused("Unsupported start tag")

    def handle_pi(self, data: str) -> None:
        raise MarksRefused("Unsupported start tag")

    def unknown_decl(self, data: str) -> None:
        raise MarksRefused("Unsupported start tag")


def read(text: str) -> str:
    """Return the text without its marks; raises `MarksRefused`."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    if reader.open:
        raise MarksRefused(f'Can\'t find end tag corresponding to start tag "{reader.open[-1]}"')
    return reader.text


def units(text: str) -> int:
    """Return a length in UTF-16 units."""
    return len(text.encode("utf-16-le")) // 2
