"""Where a failure began: weighted search for one that always fails, Bayesian for one that flickers.

Called by the proof. Pure: the caller runs the tests and hands the marks in. Revisions are numbered
0..n-1 from oldest to newest; -1 stands for the good one, n-1 is known to be bad.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

FLOOR = 0.02  # share of the prior that every commit keeps, divided by their number
CLAMP = (0.001, 0.999)
SURE = 0.95


@dataclass(frozen=True)
class Span:
    """The failure began in (low, high]; those strictly between cannot be tested if `settled`."""

    low: int
    high: int

    @property
    def members(self) -> range:
        """The commits that may be the first bad one."""
        return range(self.low + 1, self.high + 1)


def priors(scores: Sequence[float]) -> list[float]:
    """Return a distribution over commits: 1/(rank+1) for those with a score, plus a floor."""
    n = len(scores)
    ranked = sorted((i for i in range(n) if scores[i] > 0), key=lambda i: (-scores[i], -i))
    weights = [FLOOR / n] * n
    for rank, index in enumerate(ranked):
        weights[index] += 1 / (rank + 1)
    total = sum(weights)
    return [weight / total for weight in weights]


def narrow(n: int, bad: Collection[int], good: Collection[int]) -> Span:
    """Return the span between the newest good one below the oldest bad one above it."""
    high = n - 1
    low = max((i for i in good if i < high), default=-1)
    high = min((i for i in bad if i > low), default=high)
    return Span(low, high)


def next_points(
    span: Span, prior: Sequence[float], skipped: Collection[int], width: int = 2
) -> tuple[int, ...]:
    """Return up to `width` revisions to test next, or none when nothing testable is left inside.

    The mass of (low, m] shall come closest to 1/(w+1), .., w/(w+1) of the span's: two points at
    once cost fewer rounds on two cores than one at a time.
    """
    open_points = [m for m in range(span.low + 1, span.high) if m not in skipped]
    if not open_points:
        return ()
    total = sum(prior[i] for i in span.members)
    below: dict[int, float] = {}
    mass = 0.0
    for i in span.members:
        mass += prior[i]
        below[i] = mass / total
    wanted = [(k + 1) / (width + 1) for k in range(width)]
    peak = max(span.members, key=lambda i: prior[i])
    if width > 1 and prior[peak] / total > 0.35:
        # One commit stands out: testing it and the one before it settles it at once.
        pair = [m for m in (peak - 1, peak) if m in below and m in open_points]
        if pair:
            return tuple(pair)
    points: list[int] = []
    for share in wanted:
        free = [m for m in open_points if m not in points]
        if free:
            points.append(min(free, key=lambda m: (abs(below[m] - share), -m)))
    return tuple(sorted(points))


def posterior(
    prior: Sequence[float],
    outcomes: Mapping[int, tuple[int, int]],
    *,
    fails_bad: float,
    fails_good: float,
) -> list[float]:
    """Return P(first bad commit = i) after (failures, passes) per revision.

    p_i ~ prior_i * prod over tested m of B(f, s | pb if i <= m else pg), in logarithms, with the
    rates of a run that contains the culprit (pb) and of one that does not (pg).
    """
    bad, good = (min(max(rate, CLAMP[0]), CLAMP[1]) for rate in (fails_bad, fails_good))
    scores = []
    for i, weight in enumerate(prior):
        total = math.log(max(weight, 1e-12))
        for m, (failed, passed) in outcomes.items():
            rate = bad if i <= m else good
            total += failed * math.log(rate) + passed * math.log(1 - rate)
        scores.append(total)
    top = max(scores)
    raw = [math.exp(score - top) for score in scores]
    whole = sum(raw)
    return [value / whole for value in raw]


def next_flaky(distribution: Sequence[float], skipped: Collection[int]) -> int | None:
    """Return the revision whose cumulative posterior is closest to one half."""
    best, mass, gap = None, 0.0, math.inf
    for i, value in enumerate(distribution):
        mass += value
        if i not in skipped and abs(mass - 0.5) < gap:
            best, gap = i, abs(mass - 0.5)
    return best


def runs_needed(rate: float, doubt: float = 0.01) -> int:
    """Return r with (1 - rate)^r <= doubt: so many passes in a row are no chance."""
    rate = min(max(rate, CLAMP[0]), CLAMP[1])
    return max(3, math.ceil(math.log(doubt) / math.log(1 - rate)))


def failure_rate(failed: int, runs: int) -> float:
    """Return the mean of the Beta posterior over a failure rate, (f + 1) / (n + 2)."""
    return (failed + 1) / (runs + 2)
