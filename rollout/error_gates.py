"""The gates over counts of errors: the limit, the breaker, and the comparison with stable.

Called by `rollout.gate`. Pure; the evidence is computed in `rollout.evalues`.
"""

from collections.abc import Sequence
from math import inf, log

from incidents.models import Bucket, Result
from rollout import evalues
from rollout.findings import (
    LEAST_BUCKETS,
    PASS_ODDS,
    Finding,
    GateLine,
    Reason,
    View,
    errors_of,
    odds,
    open_line,
    requests_of,
)

BREAKER_ODDS = 1000
BREAKER_BUCKETS = 4  # more than one burst of 15 s
SHOWN = 66  # requests, the least for a PASS: from then on the canary is no stranger
GROUPS, LEAST_GROUP = 12, 20  # how burstiness is judged: about 12 groups of 20 requests or more
CLIFF_SHARE, CLIFF_ERRORS = 0.5, 10  # in each bucket of the run
CLIFF_SECONDS, CLIFF_BUCKETS = 60, 2  # a shorter run may be a burst
BETTER_ODDS = 100
RELATIVE_LEAST_SHARE = 0.01


def error_rate(view: View, limit: float, least: int) -> Finding:
    """Return whether the share of errors is over `limit`, or under it in `least` requests."""
    n, s = requests_of(view.step), errors_of(view.step)
    seen = f"{s} errors of {n} requests" + (f" ({s / n:.2%})" if n else "")
    filled = [b for b in view.canary if b.requests]
    shares = [(b.errors or 0) / (b.requests or 1) for b in filled]
    evidence = max(evalues.betting(shares, limit, view.planned), default=-inf)
    if evidence >= view.fail_bound:
        detail = f"{seen}, limit {limit:.1%}; odds {odds(evidence)} against it being under"
        return Finding(GateLine("error_rate", Result.FAIL, detail), reason=Reason.ERROR_RATE)
    # Where the canary has shown itself before this phase, the bets above are nearly as fast.
    if view.shown < SHOWN and _breaker(view.step, limit):
        detail = f"{seen}, limit {limit:.1%}; far over at once"
        return Finding(GateLine("error_rate", Result.FAIL, detail), reason=Reason.ERROR_RATE)
    if _cliff(view, limit):
        detail = f"{seen}, limit {limit:.1%}; most requests fail for {CLIFF_SECONDS} s, here alone"
        return Finding(GateLine("error_rate", Result.FAIL, detail), reason=Reason.ERROR_RATE)

    counts = [(b.requests or 0, b.errors or 0) for b in view.step]
    phi = evalues.dispersion(evalues.merged(counts, max(LEAST_GROUP, n // GROUPS)))
    bound = log(PASS_ODDS)
    missing = evalues.missing_requests(s / phi, n / phi, limit, bound)
    if missing is not None:
        missing = max(int(missing * phi), least - n, 0)
    buckets = sum(1 for requests, _ in counts if requests)
    if missing and buckets >= LEAST_BUCKETS and n >= least and _good(view.step, limit):
        missing = 0
    if missing == 0 and buckets >= LEAST_BUCKETS:
        return Finding(GateLine("error_rate", Result.PASS, f"{seen}, limit {limit:.1%}"))
    if missing == 0:
        detail = f"{seen} in {buckets} buckets; a PASS needs {LEAST_BUCKETS}"
        return Finding(open_line("error_rate", detail), reason=Reason.LOW_TRAFFIC, missing=0)
    if missing is None:
        detail = f"{seen}: too near the limit of {limit:.1%} to call"
        return Finding(open_line("error_rate", detail), reason=Reason.BETWEEN)
    detail = f"{seen}; about {missing} more are needed"
    return Finding(open_line("error_rate", detail), reason=Reason.LOW_TRAFFIC, missing=missing)


def _good(step: Sequence[Bucket], limit: float) -> bool:
    """Return whether the buckets themselves, bursts and all, prove a share under the limit.

    The second way to a PASS. Burstiness is estimated from few groups, and now and then far too
    high: without these bets one healthy rollout in twenty with bursts had no verdict (simulated).
    """
    shares = [(b.errors or 0) / b.requests for b in step if b.requests]
    return evalues.betting_for(shares, limit) >= log(PASS_ODDS)


def _breaker(step: Sequence[Bucket], limit: float) -> bool:
    """Return whether any look of this phase was so bad that waiting for more is not worth it.

    Corrected for bursts: without that, a canary at its limit with errors in bursts fails falsely in
    up to 11 % of rollouts (simulated), with it in under 1 %, and 50 % errors are found as fast.
    """
    n = s = bad = 0
    counts: list[tuple[int, int]] = []
    for bucket in step:
        counts.append((bucket.requests or 0, bucket.errors or 0))
        n, s, bad = n + counts[-1][0], s + counts[-1][1], bad + bool(bucket.errors)
        if bad < BREAKER_BUCKETS or s < 10 or s < 3 * limit * n:
            continue
        phi = evalues.dispersion(counts)
        if evalues.ln_harm(s / phi, n / phi, limit) >= log(BREAKER_ODDS):
            return True
    return False


def _cliff(view: View, limit: float) -> bool:
    """Return whether at least half of the requests failed, bucket after bucket, on the canary only.

    For the collapse late in a phase: healthy buckets before it eat the stakes of the bets and hide
    it from the breaker, so that minutes of it were "too near the limit to call".
    """
    stable = {b.start: b for b in view.stable}
    run: list[Bucket] = []
    for bucket in view.step:
        n, s = bucket.requests or 0, bucket.errors or 0
        other = stable.get(bucket.start)
        theirs = (other.errors or 0) / other.requests if other and other.requests else 0.0
        share = s / n if n else 0.0
        fell = s >= CLIFF_ERRORS and share >= max(CLIFF_SHARE, 3 * limit) and share > 2 * theirs
        run = [*run, bucket] if fell else []
        if len(run) >= CLIFF_BUCKETS and sum(b.seconds for b in run) >= CLIFF_SECONDS:
            return True
    return False


def relative(view: View, ratio: float) -> Finding:
    """Return whether the canary has over `ratio` times the errors per request of stable."""
    rows = _ratio_rows(view, ratio, evalues.spaced(1.25 * ratio, 50 * ratio))
    evidence = max(evalues.start_mixture(rows, view.planned), default=-inf)
    n, s = requests_of(view.canary), errors_of(view.canary)
    if evidence >= view.fail_bound and n and s / n >= RELATIVE_LEAST_SHARE:
        detail = f"over {ratio:g} x the errors of stable, odds {odds(evidence)}"
        return Finding(GateLine("relative", Result.FAIL, detail), reason=Reason.RELATIVE)
    detail = f"no evidence of over {ratio:g} x the errors of stable; not needed for a PASS"
    return Finding(open_line("relative", detail), required=False)


def _ratio_rows(view: View, null: float, others: tuple[float, ...]) -> list[list[float]]:
    stable = {b.start: b for b in view.stable}
    rows = []
    for mine in view.canary:
        other = stable.get(mine.start)
        if other is not None and mine.requests and other.requests:
            pair = (mine.requests, mine.errors or 0), (other.requests, other.errors or 0)
            rows.append(evalues.ratio_factors(*pair, null, others))
    return rows


def better(view: View) -> bool:
    """Return whether the canary has fewer errors per request than stable, with evidence."""
    rows = _ratio_rows(view, 1.0, evalues.spaced(1 / 50, 0.8))
    if not rows:
        return False
    sums = [sum(column) for column in zip(*rows, strict=True)]
    return evalues.ln_sum(sums) - log(len(sums)) >= log(BETTER_ODDS)
