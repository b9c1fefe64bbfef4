"""What a log reading says: templates with their series and standing, error rates, onset, gaps.

Made by the log triage, read by the roles; frozen. A template counts as background only if it was
there before the onset and did not rise with it: without a baseline nothing is called innocent.
"""

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from agents.builtin import onset, tallies, traces
from agents.builtin.logfields import Request
from agents.builtin.onset import Onset, OnsetKind
from agents.builtin.tallies import Entry, Failing, Tally
from agents.builtin.tracelines import Trace

ROSE = 1.3  # a rise from which a template is no background; only from 2 on can it be an onset
DENSE = 2000  # buckets of a series at most
JUDGED = 400  # templates, the most frequent ones, whose onset is computed


class Standing(StrEnum):
    """A template since the onset against the time before it."""

    NEW = "new"
    ROSE = "rose"
    UNKNOWN = "unknown"
    BACKGROUND = "background"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a reading may cost; seconds and records in full are per part,
    of which a file has up to 8.
    """

    seconds: float = 120.0
    full_records: int = 12_000
    templates: int = 2000
    requests: int = 50
    unpacked: int = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class TemplateCount:
    """One kind of error record; `buckets` is aligned with `LogReading.start` and `.bucket`."""

    key: str
    text: str
    exception: str | None
    frame: str | None
    count: int
    first_seen: datetime | None
    last_seen: datetime | None
    buckets: tuple[int, ...]
    sample: str
    where: str
    trace: Trace | None
    request: Request | None
    files: tuple[str, ...]
    revisions: tuple[str, ...]
    onset: Onset | None
    standing: Standing
    ratio: float

    @property
    def background(self) -> bool:
        """Tell whether it was always there and did not rise."""
        return self.standing is Standing.BACKGROUND


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """Requests and those answered by 5xx, per bucket."""

    totals: tuple[int, ...]
    errors: tuple[int, ...]

    def rate(self, first: int = 0, stop: int | None = None) -> float | None:
        """Return the error rate over buckets [first, stop), None without requests:
        missing is not 0.
        """
        total = sum(self.totals[first:stop])
        return sum(self.errors[first:stop]) / total if total else None


@dataclass(frozen=True, slots=True)
class LogReading:
    """Everything one triage found; `notes` are assumptions and estimates,
    `gaps` what was not seen.
    """

    bytes: int
    records: int
    error_records: int
    templates: tuple[TemplateCount, ...]
    requests: RequestCounts | None
    failing: tuple[Failing, ...]
    start: datetime | None
    end: datetime | None
    bucket: timedelta
    buckets: tuple[int, ...]
    onset: Onset | None
    files: tuple[str, ...]
    gaps: tuple[str, ...]
    notes: tuple[str, ...]

    def ranked(self) -> tuple[TemplateCount, ...]:
        """Return the templates, new ones first, then those that rose, background last."""
        order = list(Standing)
        return tuple(
            sorted(
                self.templates,
                key=lambda t: (
                    t.key == tallies.OTHER,
                    order.index(t.standing),
                    -(t.onset.llr if t.onset else 0.0),
                    -t.count,
                    t.key,
                ),
            )
        )


def assemble(
    tally: Tally,
    gaps: tuple[str, ...],
    files: tuple[str, ...],
    window: tuple[datetime, datetime] | None,
) -> LogReading:
    """Return the reading of a merged tally."""
    timed = tally.first <= tally.last
    early = window[0].timestamp() if window and timed else tally.first
    first, last = (max(tally.first, early), tally.last) if timed else (0.0, 0.0)
    tally.coarsen(tallies.width_for(last - first))
    low, high, strays = _extent(tally, first, last)
    span = range(low, high + 1) if timed else range(0)
    start = _moment(low * tally.width) if timed else None
    bucket = timedelta(seconds=tally.width)
    series = _series(tally.cells, span)
    requests = None
    if tally.requests:
        totals = _series(tally.requests, span)
        errors = _series(tally.failures, span)
        # Counted apart (totals by literals, failures by parsing), so hold them together here.
        requests = RequestCounts(tuple(map(max, totals, errors)), errors)
    overall = _overall(series, requests, start, bucket)
    templates = _templates(tally, span, start, bucket, overall)
    notes = _notes(tally)
    stray_gap = (f"{strays} records have times far from all others and are in no bucket",)
    return LogReading(
        bytes=tally.bytes,
        records=max(tally.lines - tally.continued, tally.errors),
        error_records=tally.errors,
        templates=templates,
        requests=requests,
        failing=tuple(tally.failing.values()),
        start=start,
        end=_moment(tally.last) if timed else None,
        bucket=bucket,
        buckets=series,
        onset=overall,
        files=files,
        gaps=gaps + tuple(dict.fromkeys(tally.gaps)) + (stray_gap if strays else ()),
        notes=notes,
    )


def find_series_onset(
    series: tuple[int, ...], start: datetime | None, bucket: timedelta, templates: int = 1
) -> Onset | None:
    """Return the onset of a series whose newest bucket may be incomplete.

    An incomplete bucket only understates its rate: it is left out unless a rise needs it.
    """
    if start is None or len(series) < 3:
        return None
    found = onset.find_onset(series[:-1], start, bucket, templates)
    return found or onset.find_onset(series, start, bucket, templates)


def _overall(
    series: tuple[int, ...],
    requests: RequestCounts | None,
    start: datetime | None,
    bucket: timedelta,
) -> Onset | None:
    """Return the onset of the failures that users saw; without such counts,
    that of the error records.
    """
    served = requests.errors if requests else ()
    return find_series_onset(served, start, bucket) or find_series_onset(series, start, bucket)


def _templates(
    tally: Tally, span: range, start: datetime | None, bucket: timedelta, overall: Onset | None
) -> tuple[TemplateCount, ...]:
    entries = sorted(tally.entries.items(), key=lambda pair: (-pair[1].count, pair[0]))
    counted = []
    for rank, (key, entry) in enumerate(entries):
        series = _series(entry.cells, span)
        own = None
        if rank < JUDGED:
            own = find_series_onset(series, start, bucket, len(entries))
        standing, ratio = _standing(series, own, overall, start, bucket)
        counted.append(_counted(key, entry, series, own, standing, ratio))
    return tuple(counted)


def _standing(
    series: tuple[int, ...],
    own: Onset | None,
    overall: Onset | None,
    start: datetime | None,
    bucket: timedelta,
) -> tuple[Standing, float]:
    """Compare a template's rate since the onset with its rate before."""
    since = overall or own
    if since is None or start is None:
        third = len(series) // 3
        always = third and sum(series[:third]) and sum(series[-third:])
        return (Standing.BACKGROUND if always else Standing.UNKNOWN), 1.0
    split = min(len(series), round((since.at - start) / bucket))
    # A ramp begins below what can be seen: what stirs one bucket before the onset is still new.
    before, after = sum(series[: max(0, split - 1)]), sum(series[split:])
    if not after:
        return (Standing.BACKGROUND if before else Standing.UNKNOWN), 0.0
    quiet, loud = max(1, split - 1), max(1, len(series) - split)
    ratio = (after / loud) / max(before / quiet, 1 / max(1, len(series)))
    if split < 1:
        return Standing.UNKNOWN, ratio
    if not before:
        return Standing.NEW, ratio
    rose = ratio >= ROSE and (own is not None or ratio >= onset.GATE_RATIO)
    return (Standing.ROSE if rose else Standing.BACKGROUND), ratio


def _counted(
    key: str,
    entry: Entry,
    series: tuple[int, ...],
    own: Onset | None,
    standing: Standing,
    ratio: float,
) -> TemplateCount:
    found = traces.parse(entry.trace) if entry.trace else ()
    timed = entry.first <= entry.last
    return TemplateCount(
        key=key,
        text=entry.text,
        exception=entry.exception,
        frame=entry.frame,
        count=entry.count,
        first_seen=_moment(entry.first) if timed else None,
        last_seen=_moment(entry.last) if timed else None,
        buckets=series,
        sample=entry.sample,
        where=entry.where,
        trace=found[-1] if found else None,
        request=entry.request,
        files=tuple(entry.files),
        revisions=tuple(entry.revisions),
        onset=own,
        standing=standing,
        ratio=round(ratio, 3),
    )


def _extent(tally: Tally, first: float, last: float) -> tuple[int, int, int]:
    """Return the first and last cell of the series and the records left out by wild timestamps."""
    low, high = int(first // tally.width), int(last // tally.width)
    if high - low < DENSE:
        return low, high, 0
    cells = sorted(tally.cells.items()) or sorted(tally.requests.items())
    total = sum(count for _, count in cells)
    running = list(itertools.accumulate(count for _, count in cells))
    middle = next(
        (cell for (cell, _), c in zip(cells, running, strict=True) if 2 * c >= total), low
    )
    near = [cell for cell, _ in cells if abs(cell - middle) < DENSE // 2] or [middle]
    left = sum(count for cell, count in cells if not near[0] <= cell <= near[-1])
    return near[0], near[-1], left


def _series(cells: dict[int, int], span: range) -> tuple[int, ...]:
    return tuple(cells.get(cell, 0) for cell in span)


def _notes(tally: Tally) -> tuple[str, ...]:
    notes = []
    if tally.without_zone:
        notes.append("timestamps without a zone were read as UTC")
    if tally.estimated:
        notes.append(
            f"{tally.estimated:,} of {tally.errors:,} error records are estimated: beyond the "
            "first ones of a part, one stripe in eight was read"
        )
    if tally.spilled:
        notes.append(f"{tally.spilled:,} rare templates beyond the limit were counted together")
    if tally.cut:
        notes.append(f"{tally.cut:,} lines longer than 64 KiB were cut")
    if tally.untimed:
        notes.append(f"{tally.untimed:,} error records carry no time")
    return tuple(notes)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


__all__ = ["Limits", "LogReading", "OnsetKind", "RequestCounts", "Standing", "TemplateCount"]
