"""What the gates take and give: the limits, one look, the buckets split once, and one finding.

Used by `rollout.gate` and by the gates beside it. Values and small sums only; decides nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import exp, log

from incidents.models import Bucket, Result, Version

FAIL_ODDS = 100  # per gate: 1 % false alarms over the whole rollout, shared among the gates
PASS_ODDS = 20
LEAST_BUCKETS = 3


class Reason(StrEnum):
    """Why the result is what it is."""

    PASSED = "passed"
    ERROR_RATE = "error_rate"
    LATENCY = "latency"
    NEW_ERRORS = "new_errors"
    RELATIVE = "relative"
    LATCHED = "latched"  # failed at an earlier look; a FAIL is final
    LOW_TRAFFIC = "low_traffic"
    NO_DATA = "no_data"
    STALE = "stale"
    SOURCE_ERROR = "source_error"
    WRONG_SHARE = "wrong_share"
    BETWEEN = "between"  # enough requests, and evidence for neither side


@dataclass(frozen=True)
class Gates:
    """The limits. None switches a gate off, and a gate that is off is not needed for a PASS."""

    max_error_rate: float | None = 0.05
    max_latency_ratio: float | None = 2.0
    latency_floor_ms: float = 0.0  # faster than this is never "slow", whatever the ratio says
    max_relative: float | None = None  # risk ratio against stable; never needed for a PASS
    new_errors: bool = True  # whether the monitor tells errors apart by fingerprint
    min_requests: int = 0
    hotfix: bool = False  # stable carries the incident: it is no yardstick for errors


@dataclass(frozen=True)
class Look:
    """The circumstances of one look; what is None is not checked."""

    now: datetime | None = None  # None: the end of the newest bucket
    since: datetime | None = None  # start of this phase; None: the first bucket
    weight: float | None = None  # commanded, in percent
    stale_after: timedelta | None = None  # None: two buckets
    latched: bool = False
    source_failing: bool = False


@dataclass(frozen=True)
class GateLine:
    """One gate's result and the figures behind it."""

    name: str
    result: Result
    detail: str


@dataclass(frozen=True)
class GateReport:
    """The verdict; `better`: the canary has fewer errors than stable, with evidence.

    `replayed`: it rests on requests that Halon itself replayed, since users' are too few.
    """

    result: Result
    reason: Reason
    missing_requests: int | None
    gates: tuple[GateLine, ...]
    better: bool = False
    replayed: bool = False


@dataclass(frozen=True)
class Finding:
    """What one gate found; `required`: without its PASS there is none at all."""

    line: GateLine
    required: bool = True
    reason: Reason = Reason.BETWEEN
    missing: int | None = None


@dataclass(frozen=True)
class View:
    """The buckets sorted and split once, for all gates."""

    canary: tuple[Bucket, ...]  # measured, whole rollout
    stable: tuple[Bucket, ...]
    step: tuple[Bucket, ...]  # the canary's measured buckets of this phase
    shown: int  # requests of the canary in earlier phases
    fail_bound: float
    planned: int


def view_of(buckets: Sequence[Bucket], look: Look, gates: int, planned: int) -> View:
    """Return the buckets sorted and split; raises ValueError for doubled ones."""
    keys = [(bucket.version, bucket.start) for bucket in buckets]
    if len(set(keys)) != len(keys):
        raise ValueError("two buckets of one version have the same start")
    ordered = sorted(buckets, key=lambda bucket: bucket.start)
    measured = [b for b in ordered if b.requests is not None and b.errors is not None]
    canary = tuple(b for b in measured if b.version is Version.CANARY)
    stable = tuple(b for b in measured if b.version is Version.STABLE)
    step = tuple(b for b in canary if look.since is None or b.start >= look.since)
    # The bucket in which the phase began is no earlier phase.
    before = step[0].start - timedelta(seconds=2 * step[0].seconds) if step else None
    shown = requests_of([b for b in canary if before is not None and b.start < before])
    return View(canary, stable, step, shown, log(FAIL_ODDS * gates), planned)


def end_of(bucket: Bucket) -> datetime:
    """Return when a bucket ends."""
    return bucket.start + timedelta(seconds=bucket.seconds)


def requests_of(buckets: Sequence[Bucket]) -> int:
    """Return the requests of all buckets together."""
    return sum(bucket.requests or 0 for bucket in buckets)


def errors_of(buckets: Sequence[Bucket]) -> int:
    """Return the errors of all buckets together."""
    return sum(bucket.errors or 0 for bucket in buckets)


def open_line(name: str, detail: str) -> GateLine:
    """Return the line of a gate that cannot tell yet."""
    return GateLine(name, Result.INCONCLUSIVE, detail)


def odds(evidence: float) -> str:
    """Return evidence (ln) as people say it."""
    return f"{exp(min(evidence, 20.0)):.0f} : 1"
