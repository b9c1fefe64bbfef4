"""The error rate of both versions over time, with the phases, the onset and what ended it.

Called by `bot.render` (PNG and SVG into the thread) and by the page. Pure: counts in, a `Scene`
out. Where nothing was measured there is a gap in the line; it is never drawn as zero.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from bot.drawing import (
    DARK,
    LIGHT,
    PAGE,
    Box,
    Ink,
    Part,
    Point,
    Scene,
    Shape,
    Stroke,
    Theme,
    Words,
    text_width,
    to_png,
    to_svg,
)
from incidents.models import Bucket, Version

__all__ = [
    "DARK",
    "LIGHT",
    "PAGE",
    "SIZE",
    "WIDE",
    "Mark",
    "MarkKind",
    "Phase",
    "Scene",
    "Theme",
    "scene",
    "to_png",
    "to_svg",
]

SIZE = (390, 250)  # a phone; the text keeps its size when the picture grows
WIDE = (760, 280)
LIMIT = 0.05  # the gate's limit on the error rate
COLUMNS = 60  # readings per line at most: more would be noise at this width
AFTER = timedelta(seconds=30)
LEAST = 20  # and at least, however thin the traffic
FEW = 30  # requests that one reading should stand on, so that a line shows more than luck
TOPS = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
NAMES = {Version.CANARY: "new version", Version.STABLE: "old version"}
INKS = {Version.CANARY: Ink.NEW, Version.STABLE: Ink.OLD}
DASHES: dict[Version, tuple[float, float] | None] = {
    Version.CANARY: None,
    Version.STABLE: (6.0, 3.0),
}


class MarkKind(StrEnum):
    """What a mark stands for; each has its own shape."""

    ONSET = "onset"
    TAKEN_BACK = "taken back"
    HELD = "held"
    MITIGATED = "mitigated"


@dataclass(frozen=True)
class Phase:
    """The time in which the new version had this share of the traffic; `end` None: it still has."""

    percent: int
    start: datetime
    end: datetime | None = None


@dataclass(frozen=True)
class Mark:
    """Something that happened at one moment."""

    kind: MarkKind
    at: datetime


@dataclass(frozen=True)
class _Frame:
    """Where the plot is, and what its edges stand for."""

    left: float
    top: float
    right: float
    bottom: float
    start: datetime
    end: datetime
    highest: float

    @property
    def clock(self) -> str:
        """How times are written: to the second where minutes would not tell two moments apart."""
        return "%H:%M:%S" if self.end - self.start < timedelta(minutes=10) else "%H:%M"

    def x(self, at: datetime) -> float:
        share = (at - self.start) / (self.end - self.start)
        return self.left + (self.right - self.left) * min(1.0, max(0.0, share))

    def y(self, rate: float) -> float:
        return self.bottom - (self.bottom - self.top) * min(1.0, rate / self.highest)


@dataclass(frozen=True)
class _Reading:
    """One point of a line: the middle of its time, and what was counted in it."""

    at: datetime
    errors: int
    requests: int

    @property
    def rate(self) -> float:
        return self.errors / self.requests


def scene(
    buckets: Sequence[Bucket],
    onset: datetime | None = None,
    phases: Sequence[Phase] = (),
    marks: Sequence[Mark] = (),
    size: tuple[int, int] = SIZE,
) -> Scene:
    """Return the picture of a rollout; without any measured request it says so."""
    width, height = size
    lines = {version: _line(buckets, version) for version in (Version.STABLE, Version.CANARY)}
    if not any(lines.values()):
        says = "No requests were measured."
        middle = (width / 2, height / 2)
        return Scene(width, height, (Words(middle, says, Ink.FAINT, 13, "middle"),), says)
    happened = list(marks)
    if onset is not None:
        happened.insert(0, Mark(MarkKind.ONSET, onset))
    frame = _frame(buckets, lines, happened, size)
    parts = (
        *_bands(frame, phases),
        *_grid(frame),
        *(part for version in lines for part in _drawn(frame, version, lines[version])),
        *_marked(frame, happened, phases),
        *_legend(frame, lines),
    )
    return Scene(width, height, parts, _says(lines, phases, happened))


def _line(buckets: Sequence[Bucket], version: Version) -> list[list[_Reading]]:
    """Return the readings of a version in unbroken runs: where nothing was measured, one ends."""
    if not buckets:
        return []
    first, width = min(bucket.start for bucket in buckets), _width(buckets)
    many = _many(buckets)
    counts: dict[int, tuple[int, int]] = {}
    spans: dict[int, tuple[int, int]] = {}
    for bucket in buckets:
        if bucket.version is version and bucket.requests and bucket.errors is not None:
            # Whole buckets are counted: their starts are not exact to the microsecond.
            index = round((bucket.start - first).total_seconds() / width)
            place = index // many
            errors, requests = counts.get(place, (0, 0))
            counts[place] = (errors + bucket.errors, requests + bucket.requests)
            low, high = spans.get(place, (index, index))
            spans[place] = (min(low, index), max(high, index))
    runs: list[list[_Reading]] = []
    last = None
    for place in sorted(counts):
        errors, requests = counts[place]
        # The middle of what was counted: a version that was taken back has no dot after that.
        at = first + timedelta(seconds=width * (sum(spans[place]) + 1) / 2)
        if last is None or place != last + 1:
            runs.append([])
        runs[-1].append(_Reading(at, errors, requests))
        last = place
    return runs


def _width(buckets: Sequence[Bucket]) -> float:
    return max(bucket.seconds for bucket in buckets)


def _many(buckets: Sequence[Bucket]) -> int:
    """Return how many buckets make one reading: few enough columns, enough requests in each."""
    starts = [bucket.start for bucket in buckets]
    columns = (max(starts) - min(starts)).total_seconds() / _width(buckets) + 1
    counted = [b.requests for b in buckets if b.version is Version.CANARY and b.requests]
    thin = FEW * len(counted) / sum(counted) if counted else 1.0
    return max(1, math.ceil(columns / COLUMNS), math.ceil(min(thin, columns / LEAST)))


def _frame(
    buckets: Sequence[Bucket],
    lines: dict[Version, list[list[_Reading]]],
    marks: Sequence[Mark],
    size: tuple[int, int],
) -> _Frame:
    rates = [reading.rate for runs in lines.values() for run in runs for reading in run]
    highest = next((top for top in TOPS if top >= max(rates)), 1.0)
    start = min(bucket.start for bucket in buckets)
    ends = [bucket.start + timedelta(seconds=bucket.seconds) for bucket in buckets]
    # What happened is told a moment after the last counts were read; what came much later would
    # press the counts together.
    latest = max(ends) + max(AFTER, (max(ends) - start) / 5)
    end = max([*ends, *(mark.at for mark in marks if mark.at <= latest)])
    return _Frame(42, 58, size[0] - 14, size[1] - 26, start, end, highest)


def _bands(frame: _Frame, phases: Sequence[Phase]) -> Iterable[Part]:
    """The share of the new version: the more traffic, the darker; the figure stands on top."""
    for phase in phases:
        end = phase.end or frame.end
        if end <= frame.start or phase.start >= frame.end:
            continue
        left, right = frame.x(phase.start), frame.x(end)
        strength = 0.10 + 0.22 * phase.percent / 100
        yield Box(left, frame.top - 16, right, frame.bottom, Ink.BAND, round(strength, 3))
        share = f"{phase.percent} %"
        fitting = [
            text
            for text in (f"{share} of requests", share)
            if right - left >= text_width(text, 11) + 4
        ]
        for label in fitting[:1]:
            yield Words(((left + right) / 2, frame.top - 5), label, Ink.TEXT, 11, "middle")
        if left > frame.left:
            yield Stroke(((left, frame.top - 16), (left, frame.bottom)), Ink.FAINT, 1.0)


def _grid(frame: _Frame) -> Iterable[Part]:
    limit = frame.y(LIMIT)
    for rate in (0.0, frame.highest / 2, frame.highest):
        y = frame.y(rate)
        yield Stroke(((frame.left, y), (frame.right, y)), Ink.GRID, 1.0)
        if abs(y - limit) > 11:
            yield Words((frame.left - 5, y + 4), percent(rate), Ink.FAINT, 11, "end")
    yield Stroke(((frame.left, limit), (frame.right, limit)), Ink.LIMIT, 1.2, (2.0, 3.0))
    yield Words((frame.left - 5, limit + 4), percent(LIMIT), Ink.LIMIT, 11, "end")
    yield from _times(frame)


def _times(frame: _Frame) -> Iterable[Part]:
    y = frame.bottom + 16
    middle = frame.start + (frame.end - frame.start) / 2
    for at, anchor in ((frame.start, "start"), (middle, "middle"), (frame.end, "end")):
        zone = " UTC" if at is frame.end else ""
        text = f"{at.astimezone(UTC):{frame.clock}}{zone}"
        yield Words((frame.x(at), y), text, Ink.FAINT, 11, anchor)


def _drawn(frame: _Frame, version: Version, runs: Sequence[Sequence[_Reading]]) -> Iterable[Part]:
    """The line in its pieces, and a dot or a square where each piece stands alone or ends."""
    for run in runs:
        points = tuple((frame.x(reading.at), frame.y(reading.rate)) for reading in run)
        if len(points) > 1:
            yield Stroke(points, INKS[version], 2.4, DASHES[version])
        yield _end(points[-1], version)


def _end(at: Point, version: Version, size: float = 4.0) -> Shape:
    corners = 16 if version is Version.CANARY else 4
    turn = math.pi / 4 if corners == 4 else 0.0
    return Shape(_polygon(at, size, corners, turn), INKS[version])


def _polygon(at: Point, size: float, corners: int, turn: float) -> tuple[Point, ...]:
    angles = (turn + 2 * math.pi * corner / corners for corner in range(corners))
    return tuple((at[0] + size * math.cos(a), at[1] + size * math.sin(a)) for a in angles)


def _marked(frame: _Frame, marks: Sequence[Mark], phases: Sequence[Phase]) -> Iterable[Part]:
    """A line and a shape per event; one that lies before the picture points out of it."""
    row = 0
    for mark in sorted(marks, key=lambda one: one.at):
        if mark.at > frame.end:
            continue
        x = frame.x(mark.at)
        earlier = mark.at < frame.start
        label = f"{mark.kind.value} {mark.at.astimezone(UTC):{'%H:%M' if earlier else frame.clock}}"
        label += _after(mark, phases)
        if not earlier:
            yield Stroke(((x, frame.top), (x, frame.bottom)), Ink.MARK, 1.4)
        y = frame.top + 12 + 16 * row
        to_left = x + 12 + text_width(label, 11) > frame.right
        yield from _sign(mark.kind, earlier, (x + (6 if earlier else 0), y - 4))
        at = (x - 9, y) if to_left else (x + (14 if earlier else 9), y)
        yield Words(at, label, Ink.MARK, 11, "end" if to_left else "start", backed=True)
        row = (row + 1) % 3


def _after(mark: Mark, phases: Sequence[Phase]) -> str:
    """Return how long users met the new version before it was taken back."""
    begun = [phase.start for phase in phases if phase.start <= mark.at]
    if mark.kind is not MarkKind.TAKEN_BACK or not begun:
        return ""
    seconds = (mark.at - min(begun)).total_seconds()
    return f" after {seconds:.0f} s" if seconds < 120 else f" after {seconds / 60:.0f} min"


def _sign(kind: MarkKind, earlier: bool, at: Point) -> Iterable[Part]:
    x, y = at
    if earlier:
        yield Shape(_polygon(at, 5, 3, math.pi), Ink.MARK)
    elif kind is MarkKind.TAKEN_BACK:
        for sign in (1, -1):
            yield Stroke(((x - 4, y - 4 * sign), (x + 4, y + 4 * sign)), Ink.MARK, 2.4)
    elif kind is MarkKind.ONSET:
        yield Shape(_polygon(at, 6, 3, math.pi / 2), Ink.MARK)
    elif kind is MarkKind.HELD:
        for side in (-2.5, 2.5):
            yield Stroke(((x + side, y - 5), (x + side, y + 5)), Ink.MARK, 2.4)
    else:
        yield Shape(_polygon(at, 5, 4, 0.0), Ink.MARK)


def _legend(frame: _Frame, lines: dict[Version, list[list[_Reading]]]) -> Iterable[Part]:
    """Both versions with their whole share, so that the answer needs no reading of axes."""
    yield Words((10, 15), "Failing requests", Ink.FAINT, 11)
    x = 10.0
    for version in (Version.CANARY, Version.STABLE):
        label = f"{NAMES[version]} {_whole(lines[version])}"
        yield Stroke(((x, 29), (x + 20, 29)), INKS[version], 2.4, DASHES[version])
        yield _end((x + 20, 29), version)
        yield Words((x + 29, 33), label, Ink.TEXT, 12.5)
        x += 29 + text_width(label, 12.5) + 20
    yield Stroke(((frame.right - 76, 11), (frame.right - 58, 11)), Ink.LIMIT, 1.2, (2.0, 3.0))
    yield Words((frame.right, 15), f"limit {percent(LIMIT)}", Ink.LIMIT, 11, "end")


def _whole(runs: Sequence[Sequence[_Reading]]) -> str:
    readings = [reading for run in runs for reading in run]
    requests = sum(reading.requests for reading in readings)
    return percent(sum(r.errors for r in readings) / requests) if requests else "no data"


def percent(rate: float) -> str:
    """Return a share as people read it: `45 %`, `3.1 %`, `0 %`."""
    value = rate * 100
    return f"{value:.0f} %" if value >= 10 or value == int(value) else f"{value:.1f} %"


def _says(
    lines: dict[Version, list[list[_Reading]]], phases: Sequence[Phase], marks: Sequence[Mark]
) -> str:
    said = [f"{NAMES[version]} {_whole(lines[version])}" for version in (*NAMES,)]
    shares = ", ".join(f"{phase.percent} % from {_clock(phase.start)}" for phase in phases)
    told = [f"{mark.kind.value} {_clock(mark.at)}" for mark in marks]
    steps = [f"phases {shares}"] if shares else []
    return "Failing requests: " + "; ".join([*said, *steps, *told]) + "."


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%H:%M} UTC"
