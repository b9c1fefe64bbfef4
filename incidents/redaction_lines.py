"""Which lines of a text a rule of redaction has to look at: those that hold one of its signs.

Used by incidents/redaction.py; pure. A sign is a few plain characters without which the rule
cannot match, looked for in a view of the text that has the same lines. To find plain characters is
some thirty times as fast as to try a pattern at every one. A view may hold a sign where the rule
matches nothing; it must never lack one where it does.
"""

import bisect
import itertools
import string
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

LONG_RUN = 15  # the fewest signs in a row of a token whose kind is looked for in `View.LONG`


class View(StrEnum):
    """How a text is looked at; every view has the same number of lines."""

    TEXT = "text"  # as it is
    LOWER = "lower"
    RUN = "run"  # w for every sign that tokens are made of: letters, digits, _ and -
    LONG = "long"  # as it is, lines without a long run of such signs left empty
    SHAPE = "shape"  # 0 for every digit, A for every capital
    PACKED = "packed"  # the same, without blanks and hyphens
    BARE = "bare"  # without hexadecimal digits


@dataclass(frozen=True)
class Sign:
    """Characters, and the view that they stand in."""

    view: View
    text: str


class _Table(dict[int, str | None]):
    """A table of `str.translate` in which digits of every script are digits."""

    def __missing__(self, code: int) -> str:
        sign = chr(code)
        return "0" if sign.isdecimal() else sign


_SHAPE = _Table(
    {code: chr(code) for code in range(128)}
    | dict.fromkeys(map(ord, string.digits), "0")
    | dict.fromkeys(map(ord, string.ascii_uppercase), "A")
)
_PACKED = _Table({**_SHAPE, ord(" "): None, ord("-"): None})
_BARE = dict.fromkeys(map(ord, string.hexdigits))
_RUN = {ord(sign): "w" for sign in f"{string.ascii_letters}{string.digits}_-"}


class Lines:
    """A text by lines; `lines` may be written to, the views stay those of the text as it came."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self._views = {View.TEXT: text}
        self._ends: dict[View, list[int]] = {}

    def holding(self, signs: Iterable[Sign]) -> list[int]:
        """Return the numbers of the lines that hold one of the signs, in order."""
        found: set[int] = set()
        for sign in signs:
            view = self._views.get(sign.view)
            if view is None:
                view = self._view(sign.view)
            at = view.find(sign.text)
            while at >= 0:
                ends = self._ends.get(sign.view) or self._ended(sign.view)
                number = bisect.bisect_right(ends, at)
                found.add(number)
                at = view.find(sign.text, ends[number])
        return sorted(found) if found else []

    def text(self) -> str:
        """Return the lines as one text."""
        return "\n".join(self.lines)

    def _view(self, view: View) -> str:
        text = self._views[View.TEXT]
        match view:
            case View.LOWER:
                made = text.lower()
            case View.SHAPE:
                made = text.translate(_SHAPE)
            case View.PACKED:
                made = text.translate(_PACKED)
            case View.BARE:
                made = text.translate(_BARE)
            case View.RUN:
                made = text.translate(_RUN)
            case _:
                made = self._long()
        self._views[view] = made
        return made

    def _long(self) -> str:
        run = "w" * LONG_RUN
        text, shape = self._views[View.TEXT], self._view(View.RUN)
        pairs = zip(text.split("\n"), shape.split("\n"), strict=True)
        return "\n".join(line if run in it else "" for line, it in pairs)

    def _ended(self, view: View) -> list[int]:
        """Return where the line after each line of a view begins."""
        lengths = map((1).__add__, map(len, self._views[view].split("\n")))
        self._ends[view] = list(itertools.accumulate(lengths))
        return self._ends[view]
