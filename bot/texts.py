"""The texts of templates/chat: whole ones for answers, and messages made of named blocks.

Called by `bot.render`, `bot.card` and `bot.words`. Every value that a template prints is made inert
unless a filter says how it is shown, so that a log line or a title cannot forge Markdown, a second
line or a direction of writing. An undefined name is an error, never an empty space.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from incidents import report_text, signs

FOLDER = Path(__file__).resolve().parent.parent / "templates" / "chat"
SPAN = re.compile(r"`([^`]+)`")
# All of them, wherever they stand: a message is drawn by each platform with rules of its own, and
# nobody edits it, while `report_text.inert` leaves alone what steers nothing.
SPECIAL = re.compile(r"([\\`*_\[\]<>|#@!])")
LONGEST = 400  # characters of one foreign text in a message; the file has the whole


class Shown(str):
    """A text that a filter has already made safe to print."""

    __slots__ = ()


def blocks(name: str, **values: Any) -> dict[str, str]:
    """Return the rendered blocks of a message's template, by their names."""
    template = _environment(FOLDER).get_template(f"{name}.md.j2")
    context = template.new_context(values)
    return {block: "".join(render(context)).strip() for block, render in template.blocks.items()}


def text(name: str, **values: Any) -> str:
    """Return a whole text, as an answer to one person."""
    rendered = _environment(FOLDER).get_template(f"{name}.md.j2").render(**values)
    return re.sub(r"\n{3,}", "\n\n", rendered).strip()


def inline(value: object) -> Shown:
    """Return any text on one line, inert in Markdown and no longer than a message bears."""
    if isinstance(value, Shown):
        return value
    return Shown(_inert(_cut(_visible(str(value)))))


def code(value: object) -> Shown:
    """Return a text as a code span that nothing inside it can close."""
    return Shown(report_text.code(_cut(_visible(str(value))).strip()))


def short(value: object) -> Shown:
    """Return a revision's first seven digits as code; other names whole."""
    said = str(value)
    return code(said[:7] if re.fullmatch(r"[0-9a-f]{12,64}", said) else said)


def clock(at: datetime | str) -> str:
    """Return a time as `14:32 UTC`."""
    parsed = datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{parsed.astimezone(UTC):%H:%M} UTC"


def lasts(value: timedelta | float) -> str:
    """Return a duration in the unit in which people think of it: `40 s`, `12 min`, `2 h 5 min`."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def rate(value: float | None) -> str:
    """Return a share as percent; None is unknown."""
    if value is None:
        return "unknown"
    figure = value * 100
    return f"{figure:.0f} %" if figure >= 10 or figure == int(figure) else f"{figure:.1f} %"


def number(value: int | None) -> str:
    """Return a count with its thousands apart; None is unknown."""
    return "unknown" if value is None else f"{value:,}"


def sentence(value: object) -> Shown:
    """Return a text as one sentence: a capital letter and a full stop, whatever it came with.

    What stands between back-ticks stays a code span: our own sentences name commands so.
    """
    if isinstance(value, Shown):
        line = str(value)
    else:
        parts = SPAN.split(_cut(_visible(str(value))).strip())
        line = "".join(
            report_text.code(part) if place % 2 else _inert(part)
            for place, part in enumerate(parts)
        )
    if not line:
        return Shown("")
    return Shown(line[0].upper() + line[1:] + ("" if line.endswith((".", "?", ":")) else "."))


def plural(count: int, one: str, many: str) -> str:
    """Return a count with its noun."""
    return f"{number(count)} {one if count == 1 else many}"


def _inert(said: str) -> str:
    return SPECIAL.sub(r"\\\1", said)


def _visible(said: str) -> str:
    """Return a text without control and direction characters: what is shown is what is there."""
    return "".join(
        " " if char.isspace() else char
        for place, char in enumerate(said)
        if char.isspace() or not signs.hides(char, said[place - 1 : place])
    )


def _cut(said: str) -> str:
    line = re.sub(r"\s+", " ", said)  # a space at either end may part it from its neighbours
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 2].rstrip()} …"


def _printed(value: object) -> str:
    return str(inline(value))


@cache
def _environment(folder: Path) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - the output is Markdown; `finalize` makes values inert
        finalize=_printed,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (inline, code, short, clock, lasts, rate, number, sentence, plural)
    environment.filters.update({filter_.__name__: filter_ for filter_ in filters})
    return environment
