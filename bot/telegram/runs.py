"""Text with marks as a row of runs, each with the tags around it, outermost first.

Used by `bot.telegram.markdown` and `bot.telegram.drawing`. A row can be cut anywhere and every
piece is balanced HTML by construction; every leaf is escaped when it is written, nowhere else.
"""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bot.telegram import limits

VERBATIM = ("code", "pre")
STYLES = ("b", "i", "u", "s")
SPACES = " \n\t"


@dataclass(frozen=True)
class Run:
    """A stretch of text; a tag is what stands between < and >, such as `b` or `a href="…"`."""

    text: str
    tags: tuple[str, ...] = ()


Runs = tuple[Run, ...]


def plain(runs: Iterable[Run]) -> str:
    """Return the text alone, as Telegram counts it and as it is sent when marks are refused."""
    return "".join(run.text for run in runs)


def units(runs: Iterable[Run]) -> int:
    """Return the length as Telegram counts it."""
    return sum(limits.units(run.text) for run in runs)


def inside(tag: str, runs: Iterable[Run]) -> Runs:
    """Return runs with a tag around all of them."""
    return tuple(Run(run.text, (tag, *run.tags)) for run in runs)


def html_of(runs: Iterable[Run]) -> str:
    """Return runs as Telegram's HTML: only &, < and > are escaped, every tag is closed."""
    written: list[str] = []
    open_: tuple[str, ...] = ()
    for run in runs:
        if not run.text:
            continue
        tags = _allowed(run.tags)
        kept = _common(open_, tags)
        written += [_close(tag) for tag in reversed(open_[kept:])]
        written += [f"<{tag}>" for tag in tags[kept:]]
        written.append(html.escape(run.text, quote=False))
        open_ = tags
    written += [_close(tag) for tag in reversed(open_)]
    return "".join(written)


def split(runs: Sequence[Run], most: int) -> list[Runs]:
    """Return pieces of at most so many units, cut at the end of a line or a word where it can be.

    Joined they are the whole text, but for pieces of nothing but space, which Telegram refuses.
    """
    pieces: list[Runs] = []
    rest = tuple(run for run in runs if run.text)
    while units(rest) > most:
        at = _place(plain(rest), most)
        first, rest = _cut(rest, at)
        pieces.append(first)
    pieces.append(rest)
    return [piece for piece in pieces if plain(piece).strip()]


def shortened(runs: Sequence[Run], most: int, more: str = "…") -> Runs:
    """Return runs of at most so many units, with a sign where something is missing."""
    if units(runs) <= most:
        return tuple(runs)
    *first, last = _cut(tuple(runs), _place(plain(runs), most - limits.units(more)))[0]
    return (*first, Run(last.text.rstrip(), last.tags), Run(more))


def _place(text: str, most: int) -> int:
    """Return how many characters the next piece takes."""
    fits = limits.cut(text, most)
    least = len(fits) // 2  # an earlier space would waste too much of a message
    for space in ("\n\n", "\n", " "):
        found = fits.rfind(space)
        if found >= least:
            return found + len(space)
    return len(fits)


def _cut(runs: Runs, at: int) -> tuple[Runs, Runs]:
    first: list[Run] = []
    for place, run in enumerate(runs):
        if len(run.text) >= at:
            first.append(Run(run.text[:at], run.tags))
            rest = (Run(run.text[at:], run.tags), *runs[place + 1 :])
            return tuple(first), tuple(one for one in rest if one.text)
        first.append(run)
        at -= len(run.text)
    return tuple(first), ()


def _allowed(tags: tuple[str, ...]) -> tuple[str, ...]:
    """Return the tags that Telegram takes together: nothing bold in code, nothing twice."""
    verbatim = any(_name(tag) in VERBATIM for tag in tags)
    kept = (tag for tag in tags if not (verbatim and _name(tag) in (*STYLES, "a")))
    return tuple(dict.fromkeys(kept))


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return place
    return min(len(one), len(other))


def _close(tag: str) -> str:
    return f"</{_name(tag)}>"


def _name(tag: str) -> str:
    return tag.partition(" ")[0]
