"""When a count series began to rise, and in which manner.

Called by the log triage for every template and for the series as a whole; pure, no clock, no I/O.
The split is the maximum of a Poisson likelihood ratio, accepted only through the gate below; a
series that does not pass it has no onset. A rise below a factor of 2 is never called the onset of
an incident.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

GATE_LLR = 8.0  # the maximum under no change: 99.9th percentile; the tests simulate it
GATE_RATIO = 2.0
GATE_EVENTS = 5
KIND_GAIN = 4.0  # nats by which a richer shape must beat a plain step
MAX_DEPTH = 5
SHAPE_BUCKETS = 120  # ramps are fitted on at most this many buckets: cost stays in milliseconds
MIN_RAMP = 4


class OnsetKind(StrEnum):
    """The manner of a rise; the formulas are in `classify`."""

    SUDDEN = "sudden"
    GRADUAL = "gradual"
    INTERMITTENT = "intermittent"


@dataclass(frozen=True, slots=True)
class Onset:
    """The start of a rise: rates are events per bucket, `llr` is in nats after division by phi."""

    at: datetime
    kind: OnsetKind
    llr: float
    ratio: float
    before_rate: float
    after_rate: float


@dataclass(frozen=True, slots=True)
class Split:
    """The best place to cut a series in two: `index` is the first bucket of the right part."""

    index: int
    llr: float
    ratio: float
    before_rate: float
    after_rate: float
    after_events: int


def find_onset(
    counts: Sequence[int], start: datetime, bucket: timedelta, templates: int = 1
) -> Onset | None:
    """Return the onset of the last rise in counts per bucket, or None if none passes the gate.

    Gate: max LLR / phi >= 8 + ln(templates), ratio >= 2 and >= 5 events after the split, where
    LLR(k) = A ln(A/k) + B ln(B/(n-k)) - S ln(S/n) over the splits with a higher level on the right.
    An earlier rise that passes the same gate on the left part takes its place, unless the series
    was back at its first level for a third of its length between the two: that was another
    incident.
    """
    split = _first_rise(counts, GATE_LLR + math.log(max(1, templates)), 0)
    if split is None:
        return None
    kind, index = classify(counts, split.index)
    return Onset(
        at=start + index * bucket,
        kind=kind,
        llr=round(split.llr, 3),
        ratio=round(split.ratio, 3),
        before_rate=split.before_rate,
        after_rate=split.after_rate,
    )


def best_split(counts: Sequence[int]) -> Split | None:
    """Return the rising split of greatest likelihood ratio, ungated but divided by phi."""
    n, total = len(counts), sum(counts)
    if n < 2 or total == 0:
        return None
    whole = total * math.log(total / n)
    best, at, below = 0.0, 0, 0
    before = 0
    for k in range(1, n):
        before += counts[k - 1]
        after = total - before
        if after * k <= before * (n - k):
            continue
        llr = after * math.log(after / (n - k)) - whole
        if before:
            llr += before * math.log(before / k)
        if llr > best:
            best, at, below = llr, k, before
    if at == 0:
        return None
    left, right = below / at, (total - below) / (n - at)
    phi = _dispersion(counts, at, left, right)
    return Split(at, best / phi, right / max(left, 1 / n), left, right, total - below)


def passes(split: Split | None, threshold: float = GATE_LLR) -> bool:
    """Tell whether a split is an onset under the gate of this module."""
    return (
        split is not None
        and split.llr >= threshold
        and split.ratio >= GATE_RATIO
        and split.after_events >= GATE_EVENTS
    )


def classify(counts: Sequence[int], index: int) -> tuple[OnsetKind, int]:
    """Return the kind of a rise whose split lies at `index`, and the bucket in which it began.

    Three shapes are fitted to the series from the level b before the split, by Poisson
    log-likelihood.
    sudden: rate b, then a constant h from the split on (h = mean after it);
    gradual: rate b up to s, then b + (h - b) (i - s + 1)/r over r >= 4 buckets, then h; best s, r;
    intermittent: after the split each bucket is at b or at a burst level H (mean of the buckets
    above the mean), states by dynamic programming, ln(n) nats per change of state, at least two
    bursts.
    A richer shape wins if its gain over sudden, divided by the Pearson dispersion of its
    own residuals, is at least 4 nats; of two that win, the one with the greater gain.
    """
    base = max(sum(counts[:index]) / index, 0.5 / len(counts))
    step_rates = _step(counts, index, base)
    step = _likelihood(counts, step_rates)
    kind, began, best = OnsetKind.SUDDEN, index, KIND_GAIN
    burst_rates, penalty, bursts = _bursts(counts, index, base)
    if bursts >= 2:
        gain = (_likelihood(counts, burst_rates) - step - penalty) / _pearson(counts, burst_rates)
        if gain >= best:
            kind, best = OnsetKind.INTERMITTENT, gain
    ramp_rates, ramp_start = _ramp(counts, index)
    if ramp_rates:
        gain = (_likelihood(counts, ramp_rates) - step - 1) / _pearson(counts, ramp_rates)
        if gain > best or (gain == best and kind is OnsetKind.SUDDEN):
            return OnsetKind.GRADUAL, ramp_start
    return kind, began


def _first_rise(counts: Sequence[int], threshold: float, depth: int) -> Split | None:
    split = best_split(counts)
    if not passes(split, threshold) or split is None:
        return _rise_in_halves(counts, threshold, depth)
    if depth >= MAX_DEPTH or split.index < 2:
        return split
    earlier = _first_rise(counts[: split.index], threshold, depth + 1)
    if earlier is None or _quiet_between(counts, earlier, split):
        return split
    return _resplit(counts, earlier)


def _rise_in_halves(counts: Sequence[int], threshold: float, depth: int) -> Split | None:
    """Look for a rise that has ended again: it is diluted in the whole,
    not in the part before the fall.
    """
    fall = best_split(list(reversed(counts)))
    if depth >= MAX_DEPTH or not passes(fall, threshold) or fall is None:
        return None
    index = len(counts) - fall.index
    return _first_rise(counts[:index], threshold, depth + 1)


def _resplit(counts: Sequence[int], earlier: Split) -> Split:
    """Restate an earlier split against everything after it,
    so that the rates describe the whole.
    """
    after = sum(counts[earlier.index :])
    rate = after / (len(counts) - earlier.index)
    ratio = rate / max(earlier.before_rate, 1 / len(counts))
    if ratio < GATE_RATIO:
        return earlier
    return Split(earlier.index, earlier.llr, ratio, earlier.before_rate, rate, after)


def _quiet_between(counts: Sequence[int], earlier: Split, later: Split) -> bool:
    """Tell whether the level fell back for at least a third of the series before the later rise."""
    need = max(3, len(counts) // 3)
    if later.index - earlier.index <= need:
        return False
    gap = counts[later.index - need : later.index]
    return sum(gap) <= need * max(earlier.before_rate * 1.5, 1 / len(counts))


def _dispersion(counts: Sequence[int], index: int, left: float, right: float) -> float:
    """Return phi = max(1, D(before), sqrt(D(after))), D = var/mean; of few buckets 4.

    The baseline speaks for itself. Without events before the split it cannot, so clusters after it
    count by their root: fully they would silence the intermittent faults that are to be found.
    """
    before = sum((x - left) ** 2 for x in counts[:index]) / left / max(1, index - 1) if left else 0
    room = len(counts) - index
    after = sum((x - right) ** 2 for x in counts[index:]) / right / (room - 1) if room > 2 else 4.0
    return max(1.0, before, math.sqrt(after))


def _likelihood(counts: Sequence[int], rates: Sequence[float]) -> float:
    """Return the Poisson log-likelihood without the factorials, which no comparison needs."""
    return sum(
        (x * math.log(rate) if x else 0.0) - rate for x, rate in zip(counts, rates, strict=True)
    )


def _pearson(counts: Sequence[int], rates: Sequence[float]) -> float:
    """Return max(1, chi square / n) of the residuals: traffic that breathes is no ramp."""
    squares = sum((x - rate) ** 2 / max(rate, 0.5) for x, rate in zip(counts, rates, strict=True))
    return max(1.0, squares / len(counts))


def _step(counts: Sequence[int], index: int, base: float) -> list[float]:
    after = sum(counts[index:]) / (len(counts) - index)
    return [base] * index + [after] * (len(counts) - index)


def _bursts(counts: Sequence[int], index: int, base: float) -> tuple[list[float], float, int]:
    """Return the rates of the two-state fit, its penalty in nats, and the number of bursts."""
    after = counts[index:]
    mean = sum(after) / len(after)
    loud = [x for x in after if x > mean]
    high = sum(loud) / len(loud) if loud else mean
    if high <= base * GATE_RATIO:
        return [], 0.0, 0
    switch = math.log(len(counts))
    states = _two_states(after, base, high, switch)
    bursts = sum(1 for i, on in enumerate(states) if on and (i == 0 or not states[i - 1]))
    changes = sum(1 for a, b in itertools.pairwise(states) if a != b)
    rates = [base] * index + [high if on else base for on in states]
    return rates, changes * switch, bursts


def _two_states(after: Sequence[int], low: float, high: float, switch: float) -> list[bool]:
    """Return, per bucket, whether the most likely path is in the high state (Viterbi)."""
    scores = (-math.inf, 0.0)  # a burst starts at the split
    steps: list[tuple[bool, bool]] = []
    for x in after:
        quiet, loud = scores
        steps.append((loud - switch > quiet, loud >= quiet - switch))
        scores = (
            max(quiet, loud - switch) + x * math.log(low) - low,
            max(loud, quiet - switch) + x * math.log(high) - high,
        )
    state = scores[1] >= scores[0]
    path: list[bool] = []
    for from_loud_if_quiet, from_loud_if_loud in reversed(steps):
        path.append(state)
        state = from_loud_if_loud if state else from_loud_if_quiet
    path.reverse()
    return path


def _ramp(counts: Sequence[int], index: int) -> tuple[list[float], int]:
    """Return the rates of the best ramp around the split and the bucket in which it starts."""
    n = len(counts)
    stride = max(1, n // SHAPE_BUCKETS)
    best, rates, start = -math.inf, [], index
    for s in _candidates(max(1, index - 3 * (n - index), index // 4), index, stride):
        base = max(sum(counts[:s]) / s, 0.5 / n)
        for r in _lengths(n - s, index - s):
            weights = [min(1.0, (i + 1) / r) for i in range(n - s)]
            rise = (sum(counts[s:]) - base * (n - s)) / sum(weights)
            if rise <= 0:
                continue
            fit = [base] * s + [base + rise * w for w in weights]
            score = _likelihood(counts, fit)
            if score > best:
                best, rates, start = score, fit, s
    return rates, start


def _candidates(low: int, high: int, stride: int) -> list[int]:
    """Return about 16 ramp starts from `low` to `high`, the split itself among them."""
    pace = max(stride, (high - low) // 16 or 1)
    return [*range(low, high, pace), high]


def _lengths(room: int, reach: int) -> list[int]:
    """Return ramp lengths from 4 buckets by steps of a third, none that ends before the split."""
    lengths, r = [], float(MIN_RAMP)
    while r <= room:
        if r > reach:
            lengths.append(round(r))
        r *= 1.33
    return [*lengths, room] if room >= MIN_RAMP else lengths
