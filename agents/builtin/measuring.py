"""Trouble without an exception: a replay that costs too much counts as one that fails.

Used by production-fixer and by the test of its patch. The limit lies between what the good and the
bad revision cost under the same load, so the proof by taking a commit out and in works as for any
other failure. Nothing here names a cause.
"""

import json
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from agents.builtin import payload
from agents.builtin.failures import Failure, Observed, State
from agents.builtin.reproduction import Replays, Run
from agents.sandboxes.contract import Completed

MIB = 1024 * 1024
RUNS = 4
PROFILED = re.compile(rf"^{payload.MARK}(\{{.*\}})$", re.MULTILINE)
PLACES = 3


class Metric(StrEnum):
    """What of a run is measured."""

    MEMORY = "memory"
    CPU = "cpu"
    TIME = "time"


@dataclass(frozen=True)
class Judged:
    """How a metric is compared: a bad revision costs `ratio` times as much and `least` more."""

    words: str
    unit: str
    scale: float
    ratio: float
    least: float


JUDGED = {
    Metric.MEMORY: Judged("peak memory", "MiB", MIB, 1.5, 16 * MIB),
    Metric.CPU: Judged("CPU time", "s", 1.0, 2.0, 0.3),
    Metric.TIME: Judged("time", "s", 1.0, 2.0, 0.5),
}


@dataclass(frozen=True)
class Difference:
    """A metric by which the bad revision lies clearly above the good one, in every run."""

    metric: Metric
    good: float
    bad: float
    limit: float


@dataclass
class Measured(Replays):
    """Replays that fail when they end well but cost more than the limit."""

    metric: Metric = Metric.MEMORY
    limit: float = 0.0

    def _read(self, done: Completed, seconds: float) -> Observed:
        seen = super()._read(done, seconds)
        slow = self.metric is Metric.TIME and seen.state is State.TIMED_OUT
        if slow or (seen.state is State.PASSED and value(self.metric, done) > self.limit):
            return Observed(State.FAILED, (failure(self.metric, self.limit),))
        return seen


def value(metric: Metric, done: Completed) -> float:
    """Return what a run cost: bytes of its largest process, or seconds."""
    if metric is Metric.MEMORY:
        return float(done.peak_memory_bytes)
    return done.cpu_seconds if metric is Metric.CPU else done.seconds


def failure(metric: Metric, limit: float) -> Failure:
    """Return the failure that is hunted: more than the limit."""
    return Failure("", JUDGED[metric].words, f"over {figure(metric, limit)}")


def figure(metric: Metric, amount: float) -> str:
    """Return an amount with its unit."""
    judged = JUDGED[metric]
    return f"{amount / judged.scale:.1f} {judged.unit}"


def compare(good: Sequence[Run], bad: Sequence[Run]) -> Difference | None:
    """Return the metric that tells the two apart in every run, the surest first; else None.

    Memory comes before CPU and CPU before time: a busy machine disturbs them less.
    """
    if any(run.observed.state is not State.PASSED for run in (*good, *bad)):
        return None
    for metric, judged in JUDGED.items():
        low = [value(metric, run.completed) for run in good]
        high = [value(metric, run.completed) for run in bad]
        small, large = statistics.median(low), statistics.median(high)
        clear = min(high) > max(low)
        if clear and large > small * judged.ratio and large - small > judged.least:
            # The geometric mean: as far from the one as from the other, as a ratio.
            limit = (max(max(low), 1e-3) * min(high)) ** 0.5
            return Difference(metric, small, large, limit)
    return None


def shown(good: Sequence[Run], bad: Sequence[Run]) -> str:
    """Return the medians of both in words."""
    parts = []
    for metric, judged in JUDGED.items():
        one, other = (
            statistics.median(value(metric, run.completed) for run in runs) for runs in (good, bad)
        )
        parts.append(f"{judged.words} {figure(metric, one)} → {figure(metric, other)}")
    return ", ".join(parts)


def places(good: Sequence[Run], bad: Sequence[Run], metric: Metric) -> tuple[str, ...]:
    """Return where in the code the cost grew most, by profiles of both under the same load."""
    before, after = _rows(good), _rows(bad)
    grown = {place: amount - before.get(place, 0.0) for place, amount in after.items()}
    whole = sum(amount for amount in grown.values() if amount > 0)
    top = sorted((place for place in grown if grown[place] > 0.1 * whole), key=lambda p: -grown[p])
    kind = Metric.MEMORY if metric is Metric.MEMORY else Metric.CPU
    return tuple(f"{place} (+{figure(kind, grown[place])})" for place in top[:PLACES])


def _rows(runs: Sequence[Run]) -> dict[str, float]:
    rows: dict[str, float] = {}
    for run in runs:
        for text in PROFILED.findall(run.completed.output):
            for place, amount in _read_rows(text):
                rows[place] = rows.get(place, 0.0) + amount / len(runs)
    return rows


def _read_rows(text: str) -> list[tuple[str, float]]:
    """Return the rows of one profile; the service's own output may have forged or cut it."""
    try:
        rows = json.loads(text)["rows"]
        return [(str(place)[:200], float(amount)) for place, amount in rows]
    except (ValueError, KeyError, TypeError):
        return []
