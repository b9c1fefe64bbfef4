"""The gate: PASS, FAIL or INCONCLUSIVE from counts per bucket, and why.

Called by the canary tick at every look and by `halon judge`. Pure: no clock, no I/O, and every FAIL
is found again when the same buckets are judged again, so a stored rollout can be replayed. Missing
data is never read as zero, and nothing that was not measured can pass.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from math import exp, inf, log

from incidents.models import Bucket, Result, Version
from rollout import evalues, latency

FAIL_ODDS = 100  # per gate: 1 % false alarms over the whole rollout, shared among the gates
PASS_ODDS = 20
BREAKER_ODDS = 1000
BETTER_ODDS = 100
LEAST_BUCKETS = 3
COVERAGE = 0.8
SHARE_BAND = (0.5, 2.0)
RELATIVE_LEAST_SHARE = 0.01
# One occurrence is enough: nobody wants to see the second.
ALWAYS_FATAL = (
    "panic",
    "out of memory",
    "memoryerror",
    "segfault",
    "segmentation fault",
    "data corruption",
    "migration",
)


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
    """The verdict; `better`: the canary has fewer errors than stable, with evidence."""

    result: Result
    reason: Reason
    missing_requests: int | None
    gates: tuple[GateLine, ...]
    better: bool = False


@dataclass(frozen=True)
class _Finding:
    line: GateLine
    required: bool = True
    reason: Reason = Reason.BETWEEN
    missing: int | None = None


@dataclass(frozen=True)
class _View:
    """The buckets sorted and split once, for all gates."""

    canary: tuple[Bucket, ...]  # measured, whole rollout
    stable: tuple[Bucket, ...]
    step: tuple[Bucket, ...]  # the canary's measured buckets of this phase
    fail_bound: float
    planned: int


def judge(
    buckets: Sequence[Bucket], gates: Gates, planned: int, look: Look | None = None
) -> GateReport:
    """Return the verdict over all buckets of a rollout so far.

    `planned` is the number of buckets the rollout may take in all, extension included, and must not
    change during it. Raises ValueError for doubled buckets and for a gate list with nothing in it.
    """
    look = look or Look()
    judged = _judged(gates)
    view = _view(buckets, look, max(1, len(judged)), planned)
    findings = [one(view) for one in judged]
    data = _data(buckets, view, look)
    lines = (data.line, *(finding.line for finding in findings))
    better = _better(view)

    failed = next((f for f in findings if f.line.result is Result.FAIL), None)
    if failed is not None:
        return GateReport(Result.FAIL, failed.reason, None, lines, better)
    if look.latched:
        return GateReport(Result.FAIL, Reason.LATCHED, None, lines, better)
    if data.line.result is not Result.PASS:
        return GateReport(Result.INCONCLUSIVE, data.reason, data.missing, lines, better)
    open_ones = [f for f in findings if f.required and f.line.result is not Result.PASS]
    if not open_ones:
        return GateReport(Result.PASS, Reason.PASSED, None, lines, better)
    reason, missing = _why_open(open_ones)
    return GateReport(Result.INCONCLUSIVE, reason, missing, lines, better)


def _why_open(findings: Sequence[_Finding]) -> tuple[Reason, int | None]:
    """Return the gravest reason: what no traffic can mend before what more traffic would."""
    for reason in (Reason.NO_DATA, Reason.BETWEEN):
        if any(finding.reason is reason for finding in findings):
            return reason, None
    return Reason.LOW_TRAFFIC, max(finding.missing or 0 for finding in findings)


def _judged(gates: Gates) -> list[Callable[[_View], _Finding]]:
    judged: list[Callable[[_View], _Finding]] = []
    if gates.max_error_rate is not None:
        limit, least = gates.max_error_rate, gates.min_requests
        judged.append(partial(_error_rate, limit=limit, least=least))
    if gates.max_latency_ratio is not None:
        ratio, floor_ms = gates.max_latency_ratio, gates.latency_floor_ms
        known = not gates.hotfix
        judged.append(partial(_latency, ratio=ratio, floor_ms=floor_ms) if known else _no_yardstick)
    if gates.max_error_rate is None and (gates.max_latency_ratio is None or gates.hotfix):
        raise ValueError("no gate is set that could pass: give max_error_rate a limit")
    if gates.new_errors:
        judged.append(_new_errors)
    if gates.max_relative is not None and not gates.hotfix:
        judged.append(partial(_relative, ratio=gates.max_relative))
    return judged


def _view(buckets: Sequence[Bucket], look: Look, gates: int, planned: int) -> _View:
    keys = [(bucket.version, bucket.start) for bucket in buckets]
    if len(set(keys)) != len(keys):
        raise ValueError("two buckets of one version have the same start")
    ordered = sorted(buckets, key=lambda bucket: bucket.start)
    measured = [b for b in ordered if b.requests is not None and b.errors is not None]
    canary = tuple(b for b in measured if b.version is Version.CANARY)
    stable = tuple(b for b in measured if b.version is Version.STABLE)
    step = tuple(b for b in canary if look.since is None or b.start >= look.since)
    return _View(canary, stable, step, log(FAIL_ODDS * gates), planned)


def _end(bucket: Bucket) -> datetime:
    return bucket.start + timedelta(seconds=bucket.seconds)


def _requests(buckets: Sequence[Bucket]) -> int:
    return sum(bucket.requests or 0 for bucket in buckets)


def _errors(buckets: Sequence[Bucket]) -> int:
    return sum(bucket.errors or 0 for bucket in buckets)


def _data(buckets: Sequence[Bucket], view: _View, look: Look) -> _Finding:
    """Return whether there is enough fresh data of the right versions to judge at all."""

    def lacking(reason: Reason, detail: str, missing: int | None = None) -> _Finding:
        return _Finding(
            GateLine("data", Result.INCONCLUSIVE, detail), reason=reason, missing=missing
        )

    if look.source_failing:
        return lacking(Reason.SOURCE_ERROR, "the monitor's source answers with errors")
    if not view.step:
        return lacking(Reason.NO_DATA, "nothing was measured of the canary in this phase")
    window = [b for b in buckets if look.since is None or b.start >= look.since]
    seconds = max(b.seconds for b in window)
    newest = max(_end(b) for b in view.step)
    now = look.now or max(_end(b) for b in window)
    allowed = look.stale_after or timedelta(seconds=2 * seconds)
    if now - newest > allowed:
        age = (now - newest).total_seconds()
        return lacking(Reason.STALE, f"the newest data of the canary are {age:.1f} s old")
    first = look.since or min(b.start for b in window)
    span = (newest - first).total_seconds()
    covered = sum(b.seconds for b in view.step) / span if span > 0 else 1.0
    # One bucket may be cut off by the phase's start; that is no hole in the data.
    if covered < COVERAGE and span - sum(b.seconds for b in view.step) > seconds:
        return lacking(Reason.NO_DATA, f"only {covered:.0%} of this phase was measured")
    return _share(view, look, window) or _Finding(
        GateLine("data", Result.PASS, f"{len(view.step)} buckets, {covered:.0%} of the phase")
    )


def _share(view: _View, look: Look, window: Sequence[Bucket]) -> _Finding | None:
    """Return a finding when the canary's share of the traffic is not what was commanded."""
    if look.weight is None or _requests(view.step) == 0:
        return None
    if look.weight <= 0:
        detail = "the canary answers requests although its weight is 0"
        line = GateLine("data", Result.INCONCLUSIVE, detail)
        return _Finding(line, reason=Reason.WRONG_SHARE)
    starts = {b.start for b in view.step}
    pairs = [b for b in view.stable if b.start in starts]
    if not pairs:
        if look.weight >= 100:
            return None
        detail = "nothing was measured of stable, so the canary's share is unknown"
        return _Finding(GateLine("data", Result.INCONCLUSIVE, detail), reason=Reason.NO_DATA)
    both = {b.start for b in pairs}
    mine = _requests([b for b in view.step if b.start in both])
    total = mine + _requests(pairs)
    if total == 0:
        return None
    share, wanted = mine / total, look.weight / 100
    # With a handful of requests a share says nothing; the error gate is far from passing then.
    enough = total * wanted >= 20 or total >= 400
    if not enough or SHARE_BAND[0] * wanted <= share <= SHARE_BAND[1] * wanted:
        return None
    detail = f"the canary got {share:.1%} of the requests, commanded were {wanted:.0%}"
    return _Finding(GateLine("data", Result.INCONCLUSIVE, detail), reason=Reason.WRONG_SHARE)


def _error_rate(view: _View, limit: float, least: int) -> _Finding:
    n, s = _requests(view.step), _errors(view.step)
    seen = f"{s} errors of {n} requests" + (f" ({s / n:.2%})" if n else "")
    filled = [b for b in view.canary if b.requests]
    shares = [(b.errors or 0) / (b.requests or 1) for b in filled]
    evidence = max(evalues.betting(shares, limit, view.planned), default=-inf)
    if evidence >= view.fail_bound:
        detail = f"{seen}, limit {limit:.1%}; odds {_odds(evidence)} against it being under"
        return _Finding(GateLine("error_rate", Result.FAIL, detail), reason=Reason.ERROR_RATE)
    if _breaker(view.step, limit):
        detail = f"{seen}, limit {limit:.1%}; far over at once"
        return _Finding(GateLine("error_rate", Result.FAIL, detail), reason=Reason.ERROR_RATE)

    counts = [(b.requests or 0, b.errors or 0) for b in view.step]
    phi = evalues.dispersion(counts)
    bound = log(PASS_ODDS)
    missing = evalues.missing_requests(s / phi, n / phi, limit, bound)
    if missing is not None:
        missing = max(int(missing * phi), least - n, 0)
    buckets = sum(1 for requests, _ in counts if requests)
    if missing == 0 and buckets >= LEAST_BUCKETS:
        return _Finding(GateLine("error_rate", Result.PASS, f"{seen}, limit {limit:.1%}"))
    if missing == 0:
        detail = f"{seen} in {buckets} buckets; a PASS needs {LEAST_BUCKETS}"
        return _Finding(_open("error_rate", detail), reason=Reason.LOW_TRAFFIC, missing=0)
    if missing is None:
        detail = f"{seen}: too near the limit of {limit:.1%} to call"
        return _Finding(_open("error_rate", detail), reason=Reason.BETWEEN)
    detail = f"{seen}; about {missing} more are needed"
    return _Finding(_open("error_rate", detail), reason=Reason.LOW_TRAFFIC, missing=missing)


def _open(name: str, detail: str) -> GateLine:
    return GateLine(name, Result.INCONCLUSIVE, detail)


def _odds(evidence: float) -> str:
    return f"{exp(min(evidence, 20.0)):.0f} : 1"


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
        if bad < LEAST_BUCKETS or s < 10 or s < 3 * limit * n:
            continue
        phi = evalues.dispersion(counts)
        if evalues.ln_harm(s / phi, n / phi, limit) >= log(BREAKER_ODDS):
            return True
    return False


def _latency(view: _View, ratio: float, floor_ms: float) -> _Finding:
    baseline = latency.frozen_baseline(view.stable)
    pooled = latency.times(view.step)
    if baseline is None or pooled is None or pooled.count == 0:
        whose = "stable (100 are needed)" if baseline is None else "the canary"
        detail = f"not judged: too few response times of {whose}"
        thin = _has_times(view.stable) and _has_times(view.canary)
        reason = Reason.LOW_TRAFFIC if thin else Reason.NO_DATA
        return _Finding(_open("latency", detail), reason=reason)
    chosen = latency.limits(baseline, ratio, floor_ms)
    path = latency.slow_evidence(view.canary, chosen, view.planned)
    seen = f"{pooled.count} times against {baseline.count} of stable"
    if max(path, default=-inf) >= view.fail_bound:
        detail = f"{seen}: over {ratio:g} x, odds {_odds(max(path))}"
        return _Finding(GateLine("latency", Result.FAIL, detail), reason=Reason.LATENCY)
    missing = latency.missing(pooled, chosen, log(PASS_ODDS))
    if missing == 0:
        return _Finding(GateLine("latency", Result.PASS, f"{seen}: under {ratio:g} x"))
    if missing is None:
        return _Finding(_open("latency", f"{seen}: too near {ratio:g} x to call"))
    detail = f"{seen}; about {missing} more are needed"
    return _Finding(_open("latency", detail), reason=Reason.LOW_TRAFFIC, missing=missing)


def _no_yardstick(view: _View) -> _Finding:
    # A crash is fast and a timeout slow: times of a version in trouble say nothing about "normal".
    detail = f"not judged: stable carries the incident ({len(view.stable)} buckets of it)"
    return _Finding(_open("latency", detail), required=False)


def _has_times(buckets: Sequence[Bucket]) -> bool:
    return any(b.latencies_ms is not None or b.histogram for b in buckets)


def _new_errors(view: _View) -> _Finding:
    known = {text for b in view.stable for text, count in b.fingerprints if count > 0}
    seen: dict[str, int] = {}
    for bucket in view.canary:
        for text, count in bucket.fingerprints:
            if count > 0 and text not in known:
                seen[text] = seen.get(text, 0) + count
    if not seen:
        line = GateLine("new_errors", Result.PASS, "no error that stable does not have")
        return _Finding(line)
    n, m = _requests(view.canary), _requests(view.stable)
    exposure = n / (n + m) if n + m else 1.0
    bound = view.fail_bound + log(len(seen))
    for text, count in sorted(seen.items(), key=lambda item: -item[1]):
        fatal = any(word in text.lower() for word in ALWAYS_FATAL)
        if fatal or (exposure < 1 and count * -log(exposure) >= bound):
            detail = f"{text[:120]!r} {count} times, never on stable"
            return _Finding(GateLine("new_errors", Result.FAIL, detail), reason=Reason.NEW_ERRORS)
    worst = max(seen, key=lambda text: seen[text])
    detail = f"{len(seen)} not seen on stable, too few to tell: {worst[:80]!r}"
    # Not needed for a PASS: their number is in the error rate already, and chance alone puts a
    # rare old error on the canary first.
    return _Finding(_open("new_errors", detail), required=False)


def _relative(view: _View, ratio: float) -> _Finding:
    rows = _ratio_rows(view, ratio, evalues.spaced(1.25 * ratio, 50 * ratio))
    evidence = max(evalues.start_mixture(rows, view.planned), default=-inf)
    n, s = _requests(view.canary), _errors(view.canary)
    if evidence >= view.fail_bound and n and s / n >= RELATIVE_LEAST_SHARE:
        detail = f"over {ratio:g} x the errors of stable, odds {_odds(evidence)}"
        return _Finding(GateLine("relative", Result.FAIL, detail), reason=Reason.RELATIVE)
    detail = f"no evidence of over {ratio:g} x the errors of stable; not needed for a PASS"
    return _Finding(_open("relative", detail), required=False)


def _ratio_rows(view: _View, null: float, others: Sequence[float]) -> list[list[float]]:
    stable = {b.start: b for b in view.stable}
    rows = []
    for mine in view.canary:
        other = stable.get(mine.start)
        if other is not None and mine.requests and other.requests:
            pair = (mine.requests, mine.errors or 0), (other.requests, other.errors or 0)
            rows.append(evalues.ratio_factors(*pair, null, others))
    return rows


def _better(view: _View) -> bool:
    """Return whether the canary has fewer errors per request than stable, with evidence."""
    rows = _ratio_rows(view, 1.0, evalues.spaced(1 / 50, 0.8))
    if not rows:
        return False
    sums = [sum(column) for column in zip(*rows, strict=True)]
    return evalues.ln_sum(sums) - log(len(sums)) >= log(BETTER_ODDS)
