"""Evidence as e-values: how strongly counts speak against "healthy" or against "broken".

Called by `rollout.gate` and `rollout.latency`. Pure and in logarithms throughout: an e-value has
a mean of at most 1 under its null hypothesis, so the chance that it ever reaches 1/alpha is at most
alpha, however often one looks (Ville's inequality). Never exponentiates what it compares.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import exp, inf, lgamma, log, log1p

GRID_POINTS = 24
STAKES = 16
FOR_HEALTH = (0.5, 1.0)  # stakes; 1 / (1 - limit) and more could lose everything at once
NEVER = 10_000_000  # requests; beyond it "more traffic" is no answer
PROVED = 1e300  # evidence beyond it is not counted any more; any bound was passed long before


def logit(share: float) -> float:
    """Return ln(p / (1 - p))."""
    return log(share) - log1p(-share)


def ln_sum(values: Sequence[float]) -> float:
    """Return ln(sum of exp) of logarithms without overflow; minus infinity for an empty sum."""
    top = max(values, default=-inf)
    if top in (-inf, inf):
        return top
    return top + log(sum(exp(value - top) for value in values))


def ln_add(left: float, right: float) -> float:
    """Return ln(exp(left) + exp(right)); both may be minus infinity."""
    low, high = (left, right) if left < right else (right, left)
    return high if low == -inf else high + log1p(exp(low - high))


@lru_cache(maxsize=256)
def _ratios(limit: float, low: float, high: float) -> tuple[tuple[float, float], ...]:
    """Return (ln of p/limit, ln of (1-p)/(1-limit)) at the grid's mid-points in logit space."""
    step = (high - low) / GRID_POINTS
    points = (low + step * (index + 0.5) for index in range(GRID_POINTS))
    shares = [1 / (1 + exp(-point)) for point in points]
    return tuple((log(p / limit), log1p(-p) - log1p(-limit)) for p in shares)


def _mixture(errors: float, requests: float, ratios: tuple[tuple[float, float], ...]) -> float:
    rest = requests - errors
    terms = [errors * wrong + rest * right for wrong, right in ratios]
    return ln_sum(terms) - log(GRID_POINTS)


def ln_harm(errors: float, requests: float, limit: float) -> float:
    """Return ln of the evidence that the true error share is above `limit` (0 < limit < .999)."""
    return _mixture(errors, requests, _ratios(limit, logit(limit), logit(0.999)))


def ln_health(errors: float, requests: float, limit: float) -> float:
    """Return ln of the evidence that the true error share is below `limit` (0 < limit < 1)."""
    return _mixture(errors, requests, _ratios(limit, logit(limit) - 6, logit(limit)))


def dispersion(counts: Iterable[tuple[int, int]]) -> float:
    """Return how much burstier than independent errors the counts are; at least 1.

    `counts`: (requests, errors) per bucket. Pearson's chi-squared over its degrees of freedom.
    Meaningless below three buckets, which is why no PASS is given before the third.
    """
    filled = [(n, s) for n, s in counts if n > 0]
    total = sum(n for n, _ in filled)
    if len(filled) < 2 or total == 0:
        return 1.0
    mean = min(max(sum(s for _, s in filled) / total, 1e-6), 1 - 1e-6)
    spread = sum((s - n * mean) ** 2 / (n * mean * (1 - mean)) for n, s in filled)
    return max(1.0, spread / (len(filled) - 1))


def merged(counts: Iterable[tuple[int, int]], least: int) -> list[tuple[int, int]]:
    """Return (requests, errors) of neighbouring buckets put together to `least` requests each.

    In a bucket of two or three requests one error already looks like a burst. Merged by requests
    alone, never by looking at errors; what is left at the end belongs to the last group.
    """
    groups: list[tuple[int, int]] = []
    n = s = 0
    for requests, errors in counts:
        n, s = n + requests, s + errors
        if n >= least:
            groups.append((n, s))
            n = s = 0
    if groups and n:
        groups[-1] = (groups[-1][0] + n, groups[-1][1] + s)
    return groups


def missing_requests(errors: float, requests: float, limit: float, bound: float) -> int | None:
    """Return how many more requests at the share seen so far would reach the PASS `bound` (ln).

    None when no number of requests would: the share is too near the limit or above it.
    """
    if ln_health(errors, requests, limit) >= bound:
        return 0
    share = errors / requests if requests > 0 else 0.0
    if share >= limit or ln_health(share * NEVER, NEVER, limit) < bound:
        return None
    low, high = int(requests), NEVER
    while low < high:
        middle = (low + high) // 2
        if ln_health(share * middle, middle, limit) >= bound:
            high = middle
        else:
            low = middle + 1
    return max(1, low - int(requests))


def _stakes(limit: float) -> tuple[float, ...]:
    low, high = 0.015 / limit, 0.9 / limit
    ratio = (high / low) ** (1 / (STAKES - 1))
    return tuple(low * ratio**index for index in range(STAKES))


def betting(shares: Sequence[float], limit: float, planned: int) -> list[float]:
    """Return ln E after each bucket of bets against "the expected error share is at most `limit`".

    A mixture over 16 stakes and over the `planned` possible starts of a fault, so neither bursts
    inside a bucket nor a long healthy beginning spoil it. `planned` is fixed before the first look.
    """
    _check(planned)
    stakes = _stakes(limit)
    sums = [0.0] * STAKES
    evidence = []
    # `start_mixture` without logarithms, eight times as fast: a factor here is between .1 and 20,
    # and all that is added is positive, so plain numbers lose nothing.
    for index, share in enumerate(shares, start=1):
        begun = 1.0 if index <= planned else 0.0
        gain = share - limit
        sums = [(v + begun) * (1 + stake * gain) for v, stake in zip(sums, stakes, strict=True)]
        if max(sums) > PROVED:
            sums = [min(value, PROVED) for value in sums]
        mean = sum(sums) / STAKES + max(planned - index, 0)
        evidence.append(log(mean) - log(planned) if mean > 0 else -inf)
    return evidence


def betting_for(shares: Sequence[float], limit: float) -> float:
    """Return ln E, after the last bucket, of bets against "the expected share is at least `limit`".

    Bursts inside a bucket do not spoil it either; it needs some sixty buckets, however full.
    """
    totals = [0.0] * len(FOR_HEALTH)
    for share in shares:
        totals = [
            total + log1p(stake * (limit - share))
            for total, stake in zip(totals, FOR_HEALTH, strict=True)
        ]
    return ln_sum(totals) - log(len(totals))


def start_mixture(factors: Sequence[Sequence[float]], planned: int) -> list[float]:
    """Return ln E after each row of ln factors: `S <- (S + 1) f`, `E = (mean S + T - t) / T`."""
    _check(planned)
    if not factors:
        return []
    sums = [-inf] * len(factors[0])
    evidence = []
    for index, row in enumerate(factors, start=1):
        # Past the horizon no new start is added: those shares of the stake are already spent.
        begun = sums if index > planned else [ln_add(value, 0.0) for value in sums]
        sums = [value + factor for value, factor in zip(begun, row, strict=True)]
        mean = ln_sum(sums) - log(len(sums))
        waiting = log(planned - index) if index < planned else -inf
        evidence.append(ln_add(mean, waiting) - log(planned))
    return evidence


def _check(planned: int) -> None:
    if planned < 1:
        raise ValueError(f"the planned number of buckets must be positive, not {planned}")


def ratio_factors(
    canary: tuple[int, int], stable: tuple[int, int], ratio: float, others: tuple[float, ...]
) -> list[float]:
    """Return ln likelihood ratios of one bucket's errors for risk ratios against the null `ratio`.

    Each side is (requests, errors). Given their sum, the errors split by exposure; a bucket where
    one side had no requests says nothing.
    """
    (n, s), (m, b) = canary, stable
    if n == 0 or m == 0:
        return [0.0 for _ in others]
    return [s * mine + b * theirs for mine, theirs in _splits(n, m, ratio, others)]


@lru_cache(maxsize=4096)
def _splits(n: int, m: int, ratio: float, others: tuple[float, ...]) -> list[tuple[float, float]]:
    null = n * ratio / (n * ratio + m)
    shares = [n * other / (n * other + m) for other in others]
    return [(log(share / null), log1p(-share) - log1p(-null)) for share in shares]


def spaced(low: float, high: float, points: int = GRID_POINTS) -> tuple[float, ...]:
    """Return points from `low` to `high`, evenly spaced in logarithms."""
    return tuple(low * (high / low) ** (index / (points - 1)) for index in range(points))


@lru_cache(maxsize=1024)
def binomial_quantile(trials: int, share: float, level: float) -> int:
    """Return the smallest k with P(Binomial(trials, share) <= k) >= `level`, summed exactly."""
    total = 0.0
    whole, right, wrong = lgamma(trials + 1), log(share), log1p(-share)
    for k in range(trials + 1):
        rest = trials - k
        total += exp(whole - lgamma(k + 1) - lgamma(rest + 1) + k * right + rest * wrong)
        if total >= level:
            return k
    return trials
