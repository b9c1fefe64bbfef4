"""The page templates of templates/page: one environment with its filters. Pure but for the files.

Called by everything of `bot.web` that draws. Escaping is on for every template and an undefined
name is an error; the only unescaped HTML comes from `bot.web.markdown` and from `render` itself.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from bot.port import Tone
from bot.web import markdown

FOLDER = Path(__file__).resolve().parent.parent.parent / "templates" / "page"
SHAPES: dict[str, str] = {
    Tone.FAILING: "▲",
    Tone.PASSING: "✓",
    Tone.WAITING: "◆",
    Tone.NEUTRAL: "○",
}
LONG_LINES, LONG_TEXT = 14, 900
COMMAND_OF: dict[str, str] = {"take back": "rollback"}


def render(template: str, **values: object) -> Markup:
    """Return a template drawn with its values; raises `jinja2.UndefinedError` for a missing one."""
    drawn = _environment().get_template(f"{template}.html.j2").render(**values)
    return Markup(drawn)  # noqa: S704 - every leaf was escaped by the template


def clock(at: datetime, now: datetime) -> str:
    """Return a clock time with its zone, and the day where it is not today."""
    utc = at.astimezone(UTC)
    day = "" if utc.date() == now.astimezone(UTC).date() else f"{utc.day} {utc:%b} "
    return f"{day}{utc:%H:%M} UTC"


def spoken(duration: timedelta) -> str:
    """Return a duration in its two largest units."""
    seconds = max(0, int(duration.total_seconds()))
    minutes, rest = divmod(seconds, 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} days"
    if hours:
        return f"{hours} h {minutes_left} min" if minutes_left else f"{hours} h"
    if minutes:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    return f"{rest} s"


def ago(age: timedelta) -> str:
    """Return an age in its largest unit, as `room.js` goes on counting it."""
    seconds = age.total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"


def percent(share: float) -> str:
    """Return a share as percent with as many digits as mean something."""
    value = share * 100
    return f"{value:.0f} %" if value >= 10 or value == 0 else f"{value:.2g} %"


def dollars(amount: Decimal) -> str:
    """Return money; small sums keep the digits that tell them from nothing."""
    return f"${amount:.2f}" if amount == 0 or amount >= 1 else f"${amount:.4f}"


def as_line(command: str, incident: str) -> str:
    """Return the typed line that a button stands for."""
    verb, _, word = COMMAND_OF.get(command, command).partition(" ")
    return f"/incident {verb} {incident} {word}".rstrip()


def is_long(text: str) -> bool:
    """Return whether a text is folded away in the thread."""
    return len(text) > LONG_TEXT or text.count("\n") > LONG_LINES


def initial(author: str) -> str:
    """Return the letter of an author's face; people by their own name, not their platform."""
    return (author.rpartition(":")[2] or author)[:1].upper()


def iso(at: datetime) -> str:
    """Return the machine form of a time."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")


def shape(tone: str) -> str:
    """Return the sign of a tone, so that colour never speaks alone."""
    return SHAPES[tone]


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: tuple[Callable[..., object], ...] = (
        *(clock, spoken, ago, percent, dollars, as_line, is_long, initial, iso, shape),
        *(markdown.line, markdown.whole, markdown.diff, markdown.sign),
    )
    environment.filters.update({filter_.__name__: filter_ for filter_ in filters})
    return environment
