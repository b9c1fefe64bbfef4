"""Response times of two versions compared without assuming a distribution.

Called by `rollout.gate`. Pure. Works on raw times or on cumulative histograms; a histogram is
always read the safe way round, so a coarse one gives no FAIL and no PASS that it does not carry.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf

from incidents.models import Bucket
from rollout import evalues

QUANTILES = (0.5, 0.75, 0.95)
LEAST_BASELINE = 100
FROZEN_BASELINE = 2000
LEVELS = (LEAST_BASELINE, 300, 1000, FROZEN_BASELINE)  # where a FAIL's limits are set anew


@dataclass(frozen=True)
class Times:
    """Sorted values, or (upper bound, cumulative count) pairs of a histogram; milliseconds."""

    values: tuple[float, ...] = ()
    histogram: tuple[tuple[float, int], ...] = ()

    @property
    def count(self) -> int:
        """How many requests were timed."""
        return self.histogram[-1][1] if self.histogram else len(self.values)

    def around(self, index: int) -> tuple[float, float]:
        """Return the bounds between which the value at a 0-based index lies."""
        if not self.histogram:
            return self.values[index], self.values[index]
        low = 0.0
        for bound, below in self.histogram:
            if index < below:
                return low, bound
            low = bound
        return low, inf

    def above(self, limit: float) -> tuple[int, int]:
        """Return (surely, possibly) how many values are above a limit."""
        if not self.histogram:
            above = len(self.values) - bisect_right(self.values, limit)
            return above, above
        surely = [self.count - below for bound, below in self.histogram if bound >= limit]
        possibly = [self.count - below for bound, below in self.histogram if bound <= limit]
        return (surely[0] if surely else 0), (possibly[-1] if possibly else self.count)


def times(buckets: Iterable[Bucket]) -> Times | None:
    """Return the pooled times of buckets; None when none were measured or the histograms differ."""
    values: list[float] = []
    pooled: dict[float, int] = {}
    bounds: set[tuple[float, ...]] = set()
    for bucket in buckets:
        if bucket.latencies_ms is not None:
            values.extend(bucket.latencies_ms)
        elif bucket.histogram:
            bounds.add(tuple(bound for bound, _ in bucket.histogram))
            for bound, below in bucket.histogram:
                pooled[bound] = pooled.get(bound, 0) + below
    if len(bounds) > 1 or (bounds and values):
        return None
    if pooled:
        return Times(histogram=tuple(sorted(pooled.items())))
    return Times(values=tuple(sorted(values))) if values else None


def frozen_baseline(stable: Sequence[Bucket]) -> Times | None:
    """Return the times of the first stable buckets up to two thousand requests, or None below 100.

    The first ones, not the latest: a baseline that grows while it is compared against is no null.
    """
    chosen: list[Bucket] = []
    count = 0
    for bucket in stable:
        if bucket.latencies_ms is None and not bucket.histogram:
            continue
        chosen.append(bucket)
        one = times([bucket])
        count += one.count if one is not None else 0
        if count >= FROZEN_BASELINE:
            break
    pooled = times(chosen)
    return pooled if pooled is not None and pooled.count >= LEAST_BASELINE else None


@dataclass(frozen=True)
class Limits:
    """For one quantile: the share allowed above, and the limits for a FAIL and for a PASS in ms."""

    share: float
    fail: float
    safe: float


def limits(baseline: Times, ratio: float, floor_ms: float) -> tuple[Limits, ...]:
    """Return the limits per quantile, from order statistics that hold with 99.5 % each.

    `floor_ms`: no response below it counts as slow, whatever the ratio.
    """
    found = []
    for quantile in QUANTILES:
        high = evalues.binomial_quantile(baseline.count, quantile, 0.995)
        low = evalues.binomial_quantile(baseline.count, quantile, 0.005)
        upper = baseline.around(min(baseline.count - 1, high))[1]
        lower = baseline.around(max(0, low - 1))[0]
        found.append(
            Limits(1 - quantile, max(ratio * upper, floor_ms), max(ratio * lower, floor_ms))
        )
    return tuple(found)


@dataclass(frozen=True)
class Known:
    """The limits that hold for buckets which start at `since` or later."""

    since: datetime
    limits: tuple[Limits, ...]


def growing_limits(stable: Sequence[Bucket], ratio: float, floor_ms: float) -> tuple[Known, ...]:
    """Return the limits as they became known while stable was timed, oldest first.

    Each bucket of the canary is held against what was known before it began, never against what
    was learned later: so a FAIL stays one whatever comes after it.
    """
    found: list[Known] = []
    chosen: list[Bucket] = []
    count = level = 0
    for bucket in stable:
        one = times([bucket])
        if one is None or not one.count:
            continue
        chosen.append(bucket)
        count += one.count
        if count < LEVELS[level]:
            continue
        pooled = times(chosen)
        if pooled is not None:
            ends = bucket.start + timedelta(seconds=bucket.seconds)
            found.append(Known(ends, limits(pooled, ratio, floor_ms)))
        level = sum(count >= least for least in LEVELS)
        if level == len(LEVELS):
            break
    return tuple(found)


def slow_evidence(canary: Sequence[Bucket], known: Sequence[Known], planned: int) -> list[float]:
    """Return ln of the averaged evidence after each timed bucket that the canary is over the ratio.

    Bets on shares per bucket as for errors, because slow requests come in bursts too. Buckets from
    before the first limits were known say nothing.
    """
    since = [one.since for one in known]
    rows: list[list[float]] = []
    shares_allowed = [limit.share for limit in known[0].limits] if known else []
    for bucket in canary:
        place, one = bisect_right(since, bucket.start), times([bucket])
        if place and one is not None and one.count:
            held = known[place - 1].limits
            rows.append([one.above(limit.fail)[0] / one.count for limit in held])
    if not rows:
        return []
    columns = zip(shares_allowed, zip(*rows, strict=True), strict=True)
    paths = [evalues.betting(shares, allowed, planned) for allowed, shares in columns]
    third = evalues.ln_sum([0.0] * len(paths))
    return [evalues.ln_sum(row) - third for row in zip(*paths, strict=True)]


def missing(pooled: Times, chosen: Sequence[Limits], bound: float) -> int | None:
    """Return how many more requests a PASS needs at the shares seen; 0: it passes; None: never."""
    needs = []
    for limit in chosen:
        slow = pooled.above(limit.safe)[1]
        need = evalues.missing_requests(slow, pooled.count, limit.share, bound)
        if need is None:
            return None
        needs.append(need)
    return max(needs)
