"""The gate over response times, against those of stable.

Called by `rollout.gate`. Pure; the comparison itself is `rollout.latency`.
"""

from collections.abc import Sequence
from math import inf, log

from incidents.models import Bucket, Result
from rollout import latency
from rollout.findings import PASS_ODDS, Finding, GateLine, Reason, View, odds, open_line


def latency_ratio(view: View, ratio: float, floor_ms: float) -> Finding:
    """Return whether the canary's quantiles are over `ratio` times those of stable."""
    baseline = latency.frozen_baseline(view.stable)
    pooled = latency.times(view.step)
    if baseline is None or pooled is None or pooled.count == 0:
        whose = "stable (100 are needed)" if baseline is None else "the canary"
        detail = f"not judged: too few response times of {whose}"
        thin = _has_times(view.stable) and _has_times(view.canary)
        reason = Reason.LOW_TRAFFIC if thin else Reason.NO_DATA
        return Finding(open_line("latency", detail), reason=reason)
    chosen = latency.limits(baseline, ratio, floor_ms)
    known = latency.growing_limits(view.stable, ratio, floor_ms)
    path = latency.slow_evidence(view.canary, known, view.planned)
    seen = f"{pooled.count} times against {baseline.count} of stable"
    if max(path, default=-inf) >= view.fail_bound:
        detail = f"{seen}: over {ratio:g} x, odds {odds(max(path))}"
        return Finding(GateLine("latency", Result.FAIL, detail), reason=Reason.LATENCY)
    missing = latency.missing(pooled, chosen, log(PASS_ODDS))
    if missing == 0:
        return Finding(GateLine("latency", Result.PASS, f"{seen}: under {ratio:g} x"))
    if missing is None:
        return Finding(open_line("latency", f"{seen}: too near {ratio:g} x to call"))
    detail = f"{seen}; about {missing} more are needed"
    return Finding(open_line("latency", detail), reason=Reason.LOW_TRAFFIC, missing=missing)


def no_yardstick(view: View) -> Finding:
    """Return that nothing can be said: there is nothing healthy to compare with."""
    # A crash is fast and a timeout slow: times of a version in trouble say nothing about "normal".
    detail = f"not judged: stable carries the incident ({len(view.stable)} buckets of it)"
    return Finding(open_line("latency", detail), required=False)


def _has_times(buckets: Sequence[Bucket]) -> bool:
    return any(b.latencies_ms is not None or b.histogram for b in buckets)
