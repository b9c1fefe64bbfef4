"""Whole simulated rollouts through the real gate and the real tick, beside "any minute over 5 %".

Called by `bench.rollout`; alone: `python -m bench.simulation [--healthy N] [--sick N]`. The clock
and the traffic are simulated, nothing else: phases, looks, extension and all gates are those of a
real rollout. The naive rule gets the same counts as long as no bake is extended. Seeds are printed.
"""

import argparse
import random
from bisect import bisect_left
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from statistics import median
from typing import TypedDict

from incidents.models import Bucket, Result, Rollout, RolloutState, Severity, Version
from rollout import canary, gate, latency, plan
from rollout.canary import Do, Scene, Timing
from rollout.deployers.port import Observed
from tests.rollout import plans

SEED = 20260301
HEALTHY, SICK = 200, 30  # rollouts per line of the tables
PROCESSES = 2

# What is simulated; printed above the tables.
TRAFFIC = (30, 100, 300, 1000)  # requests per minute, both versions together
SHARE = 0.01  # errors of a healthy version
CORRELATION, BURST = 0.1, 3  # of bursty errors: a beta-distributed share for three buckets, 15 s
MEDIAN_MS, SIGMA = 100.0, 0.8  # response times, lognormal
KINDS = (("TimeoutError api.py:88", 70), ("KeyError cart.py:7", 25), ("OSError cache.py:12", 5))
BEFORE = 60  # buckets of stable from before the first shift, as the controller reads them
LATE = timedelta(minutes=15)  # where a late fault begins: five minutes into the 50 % phase
LIMIT = 0.05
MINUTE = 12  # buckets

START = datetime(2026, 3, 1, tzinfo=UTC)
TIMING = Timing.scaled(1.0)
PLAN = plans.made(stable_carries_incident=False, last_good_revision=None, severity=Severity.P2)
GATES = plan.default_gates(fingerprints=True, hotfix=False)
BETWEEN_LOOKS = timedelta(seconds=30)  # of the simulation, while a bake is extended


@dataclass(frozen=True)
class Case:
    """One line of a table; without `errors` and `slower` the canary is healthy."""

    per_minute: int
    bursty: bool
    errors: float | None = None
    slower: float = 1.0
    begins: timedelta | None = None

    @property
    def sick(self) -> bool:
        """Whether the canary should be taken back."""
        return self.errors is not None or self.slower > 1


class End(StrEnum):
    """How a simulated rollout ended."""

    DONE = "promoted"
    FAILED = "FAIL"
    UNDECIDED = "no verdict in time"


@dataclass(frozen=True)
class Outcome:
    """The end under the gates and its time since the first shift; the naive rule's, None: none."""

    end: End
    seconds: float
    naive: float | None
    reason: str


@dataclass
class Traffic:
    """The buckets of one rollout, made as time goes by; errors and times have a seed of their own.

    So the counts stay the same whether response times are drawn or not.
    """

    case: Case
    seed: str
    timed: bool = True
    _shares: dict[Version, float] = field(default_factory=dict)
    _baseline: int = 0

    def __post_init__(self) -> None:
        self._counts = random.Random(f"{self.seed} counts")
        self._times = random.Random(f"{self.seed} times")

    def bucket(self, index: int, weight: int) -> list[Bucket]:
        """Return both versions' buckets; `index` 0 begins with the first shift."""
        found = []
        for version, part in ((Version.CANARY, weight), (Version.STABLE, 100 - weight)):
            expected = self.case.per_minute / 60 * TIMING.bucket.total_seconds() * part / 100
            requests = int(expected) + (self._counts.random() < expected % 1)
            share = self._share(version, index)
            errors = sum(self._counts.random() < share for _ in range(requests))
            found.append(self._bucket(version, index, requests, errors))
        return found

    def _share(self, version: Version, index: int) -> float:
        ill = version is Version.CANARY and self._ill(index)
        mean = self.case.errors if ill and self.case.errors is not None else SHARE
        if not self.case.bursty:
            return mean
        if index % BURST == 0 or version not in self._shares:
            scale = 1 / CORRELATION - 1
            self._shares[version] = self._counts.betavariate(mean * scale, (1 - mean) * scale)
        return self._shares[version]

    def _ill(self, index: int) -> bool:
        begins = self.case.begins
        return begins is not None and index * TIMING.bucket >= begins

    def _bucket(self, version: Version, index: int, requests: int, errors: int) -> Bucket:
        start, seconds = START + index * TIMING.bucket, TIMING.bucket.total_seconds()
        made = Bucket(version, start, seconds, requests, errors)
        if not self.timed:
            return made
        kinds = self._times.choices([k for k, _ in KINDS], [w for _, w in KINDS], k=errors)
        told = tuple((kind, kinds.count(kind)) for kind in sorted(set(kinds)))
        needed = version is Version.CANARY or self._baseline < latency.FROZEN_BASELINE
        times = self._drawn(version, index, requests) if needed else None
        if version is Version.STABLE:
            self._baseline += requests
        return replace(made, latencies_ms=times, fingerprints=told)

    def _drawn(self, version: Version, index: int, requests: int) -> tuple[float, ...]:
        factor = self.case.slower if version is Version.CANARY and self._ill(index) else 1.0
        return tuple(factor * value for value in self._times.choices(some_times(), k=requests))


@lru_cache(maxsize=1)
def some_times() -> list[float]:
    """Return many response times to draw from."""
    chance = random.Random(SEED)
    return [MEDIAN_MS * chance.lognormvariate(0, SIGMA) for _ in range(20_000)]


@dataclass
class Simulated:
    """One rollout from the first shift to its end."""

    traffic: Traffic
    rollout: Rollout
    buckets: list[Bucket] = field(default_factory=list)
    made: int = 0

    def run(self) -> tuple[End, float, str]:
        """Return the end, its time in seconds since the first shift, and the reason."""
        for index in range(-BEFORE, 0):
            self.buckets += self.traffic.bucket(index, 0)
        now = START
        while True:
            now = self._next(now)
            self._make_until(now)
            step = canary.tick(self.rollout, self._scene(now), TIMING, GATES)
            if step.do is not Do.WAIT and (end := self._end(step, now)) is not None:
                return end
            self.rollout = step.apply(self.rollout)

    def _next(self, now: datetime) -> datetime:
        """Return the next moment at which something may be decided; a FAIL is dated back."""
        started = self.rollout.phase_started_at or START
        phase = next(one for one in PLAN.phases if one.percent == self.rollout.phase)
        if self.rollout.extended:
            return now + BETWEEN_LOOKS
        at = [started + timedelta(seconds=look) for look in plan.looks(phase)]
        return next((one for one in at if one > now), now + BETWEEN_LOOKS)

    def _make_until(self, now: datetime) -> None:
        while START + (self.made + 1) * TIMING.bucket <= now:
            self.buckets += self.traffic.bucket(self.made, self.rollout.phase)
            self.made += 1

    def _scene(self, now: datetime) -> Scene:
        observed = Observed(
            self.rollout.phase, plans.OLD, plans.NEW, True, True, now, fence=self.rollout.fence
        )
        return Scene(
            now=now,
            buckets=tuple(self.buckets),
            observed=observed,
            granted=frozenset({"through 100"}),
            last_tick=now - timedelta(seconds=1),
        )

    def _end(self, step: canary.Step, now: datetime) -> tuple[End, float, str] | None:
        seconds, report = (now - START).total_seconds(), step.report
        if report is not None and report.result is Result.FAIL:
            return End.FAILED, self._failed_at(), str(report.reason)
        if step.do is Do.PROMOTE:
            return End.DONE, seconds, ""
        going_on = (Do.SHIFT, Do.EXTEND, Do.MITIGATED)
        return None if step.do in going_on else (End.UNDECIDED, seconds, step.reason)

    def _failed_at(self) -> float:
        """Return when the gate began to say FAIL: it never takes one back within a phase."""
        since = self.rollout.phase_started_at or START
        ends = sorted({b.start for b in self.buckets if b.start >= since})

        def fails(last: datetime) -> bool:
            seen = [b for b in self.buckets if b.start <= last]
            found = gate.judge(
                seen, GATES, plan.planned_buckets(PLAN.phases), gate.Look(since=since)
            )
            return found.result is Result.FAIL

        first = ends[bisect_left(ends, True, key=fails)]
        return (first + TIMING.bucket - START).total_seconds()


def naive(traffic: Traffic) -> float | None:
    """Return when the first whole minute of a phase was over the limit; None when none was."""
    index = 0
    for phase in PLAN.phases:
        last = index + int(phase.bake_seconds / TIMING.bucket.total_seconds())
        while index < last:
            requests = errors = 0
            for _ in range(MINUTE):
                mine = traffic.bucket(index, phase.percent)[0]
                requests, errors = requests + (mine.requests or 0), errors + (mine.errors or 0)
                index += 1
            began = traffic.case.begins
            told = began is None or index * TIMING.bucket > began
            if requests and errors > LIMIT * requests and told:
                return index * TIMING.bucket.total_seconds()
    return None


def simulate(case: Case, number: int) -> Outcome:
    """Return how one rollout of a case ends."""
    seed = f"{SEED} {case} {number}"
    counts = Traffic(case, seed, timed=False)
    for index in range(-BEFORE, 0):
        counts.bucket(index, 0)
    first = PLAN.phases[0].percent
    rollout = replace(
        plans.rollout(PLAN), state=RolloutState.BAKING, phase=first, phase_started_at=START
    )
    end, seconds, reason = Simulated(Traffic(case, seed), rollout).run()
    return Outcome(end, seconds, naive(counts), reason)


class Row(TypedDict):
    """One figure beside its anchor, as `bench` prints it."""

    what: str
    aim: str
    value: float
    anchor: float
    ratio: float


def cases() -> list[Case]:
    """Return every line of both tables."""
    healthy = [Case(rate, bursty) for rate in TRAFFIC for bursty in (False, True)]
    ills = [Case(0, False, errors=share) for share in (0.5, 0.15, 0.08)]
    ills.append(Case(0, False, slower=3.0))
    return healthy + [
        replace(ill, per_minute=rate, begins=begins)
        for ill in ills
        for begins in (timedelta(), LATE)
        for rate in TRAFFIC
    ]


def run(healthy: int, sick: int) -> dict[Case, list[Outcome]]:
    """Return the outcomes of every case."""
    work = [(case, number) for case in cases() for number in range(sick if case.sick else healthy)]
    with ProcessPoolExecutor(PROCESSES) as pool:
        ended = pool.map(simulate, *zip(*work, strict=True), chunksize=10)
    found: dict[Case, list[Outcome]] = {}
    for (case, _), outcome in zip(work, ended, strict=True):
        found.setdefault(case, []).append(outcome)
    return found


def share(found: Sequence[Outcome], end: End) -> float:
    """Return which part of the rollouts ended so."""
    return sum(one.end is end for one in found) / len(found)


def caught(case: Case, at: Sequence[float | None]) -> list[float]:
    """Return the seconds from the fault until it was noticed, where it was."""
    begins = (case.begins or timedelta()).total_seconds()
    return [one - begins for one in at if one is not None and one >= begins]


def _minutes(seconds: Sequence[float]) -> str:
    return f"{median(seconds) / 60:5.1f} min" if seconds else "        -"


def healthy_table(found: dict[Case, list[Outcome]]) -> list[str]:
    """Return the lines about healthy canaries."""
    lines = ["healthy, per minute   errors        FAIL   no verdict   any minute over 5 %"]
    for case, ended in found.items():
        if not case.sick:
            wrong = sum(one.naive is not None for one in ended) / len(ended)
            lines.append(
                f"{case.per_minute:19}   {'bursts' if case.bursty else 'independent':11}"
                f"{share(ended, End.FAILED):7.1%}{share(ended, End.UNDECIDED):13.1%}{wrong:22.1%}"
            )
    return lines


def sick_table(found: dict[Case, list[Outcome]]) -> list[str]:
    """Return the lines about sick canaries: what each rule noticed, and when (median)."""
    lines = ["sick, per minute                  FAIL    after      no verdict   promoted   "
             "any minute over 5 %"]  # fmt: skip
    for case, ended in found.items():
        if case.sick:
            what = f"{case.errors:.0%} errors" if case.errors else f"{case.slower:g} x slower"
            when = "from the start" if not case.begins else "from min 15"
            ours = caught(case, [one.seconds if one.end is End.FAILED else None for one in ended])
            theirs = caught(case, [one.naive for one in ended])
            lines.append(
                f"{case.per_minute:4} {what:10} {when:14}{len(ours) / len(ended):8.0%}"
                f"{_minutes(ours)}{share(ended, End.UNDECIDED):13.0%}"
                f"{share(ended, End.DONE):11.0%}{len(theirs) / len(ended):12.0%}{_minutes(theirs)}"
            )
    return lines


def parameters(healthy: int, sick: int) -> list[str]:
    """Return what was simulated, a line each."""
    return [
        f"seed {SEED}; {healthy} healthy and {sick} sick rollouts per line",
        f"healthy: {SHARE:.0%} errors; bursts: a beta-distributed share for "
        f"{BURST * TIMING.bucket.total_seconds():.0f} s, correlation {CORRELATION:g}",
        f"response times: lognormal, median {MEDIAN_MS:.0f} ms, sigma {SIGMA:g}; errors of "
        f"{len(KINDS)} kinds on both versions",
        "phases " + ", ".join(f"{p.percent} % for {p.bake_seconds / 60:.0f} min" for p in
                              PLAN.phases) + "; every PASS approved at once; bakes extended once",
        f"gates: errors under {GATES.max_error_rate:.0%}, times under {GATES.max_latency_ratio:g} "
        f"x, new errors; {plan.planned_buckets(PLAN.phases)} buckets of "
        f"{TIMING.bucket.total_seconds():.0f} s planned",
    ]  # fmt: skip


def rows(healthy: int = HEALTHY, sick: int = SICK) -> list[Row]:
    """Print both tables and return the figures that have an aim; takes two to three minutes."""
    found = run(healthy, sick)
    for lines in (parameters(healthy, sick), healthy_table(found), sick_table(found)):
        print("\n".join(lines), end="\n\n")
    well = {case: ended for case, ended in found.items() if not case.sick}
    false = max(share(ended, End.FAILED) for ended in well.values())
    naive_false = max(
        sum(one.naive is not None for one in ended) / len(ended) for ended in well.values()
    )
    busy = [share(ended, End.UNDECIDED) for case, ended in well.items() if case.per_minute >= 300]
    told = [
        row("healthy canary, worst line: share FAIL (anchor: any minute over 5 %)", "<= 0.01",
             false, naive_false),
        row("healthy canary from 300/min, worst line: share without a verdict", "<= 0.01",
             max(busy), 1.0),
    ]  # fmt: skip
    for case, ended in found.items():
        if case.errors == 0.5 and not case.begins:
            ours = caught(case, [one.seconds for one in ended if one.end is End.FAILED])
            theirs = caught(case, [one.naive for one in ended])
            what = f"50 % errors from the start at {case.per_minute}/min: median s until FAIL"
            told.append(row(what, "as fast", median(ours or [0.0]), median(theirs or [0.0])))
    return told


def row(what: str, aim: str, value: float, anchor: float) -> Row:
    """Return a row with its ratio; an anchor of 0 gives the value itself."""
    ratio = value / anchor if anchor else value
    return {"what": what, "aim": aim, "value": value, "anchor": anchor, "ratio": ratio}


def main() -> None:
    """Print the tables at the size asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.simulation", description=__doc__)
    parser.add_argument("--healthy", type=int, default=HEALTHY, help="rollouts per healthy line")
    parser.add_argument("--sick", type=int, default=SICK, help="rollouts per line of the sick")
    given = parser.parse_args()
    rows(given.healthy, given.sick)


if __name__ == "__main__":
    main()
