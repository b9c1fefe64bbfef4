"""The gate: PASS, FAIL or INCONCLUSIVE from counts per bucket, and why.

Called by the canary tick at every look and by `halon judge`. Pure: no clock, no I/O, and every FAIL
of a phase is found again when its buckets are judged again, alone or with later ones, so a stored
rollout can be replayed. Missing data is never read as zero; what was not measured never passes.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from incidents.models import Bucket, Result
from rollout import data_gate, error_gates, latency_gate, new_errors_gate
from rollout.findings import FAIL_ODDS as FAIL_ODDS
from rollout.findings import PASS_ODDS as PASS_ODDS
from rollout.findings import Finding, View, view_of
from rollout.findings import GateLine as GateLine
from rollout.findings import GateReport as GateReport
from rollout.findings import Gates as Gates
from rollout.findings import Look as Look
from rollout.findings import Reason as Reason


def judge(
    buckets: Sequence[Bucket], gates: Gates, planned: int, look: Look | None = None
) -> GateReport:
    """Return the verdict over all buckets of a rollout so far.

    `planned` is the number of buckets the rollout may take in all, extension included, and must not
    change during it. Raises ValueError for doubled buckets and for a gate list with nothing in it.
    """
    look = look or Look()
    judged = _judged(gates)
    view = view_of(buckets, look, max(1, len(judged)), planned)
    findings = [one(view) for one in judged]
    data = data_gate.data(buckets, view, look)
    lines = (data.line, *(finding.line for finding in findings))
    better = error_gates.better(view)

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


def joined(users: GateReport, replayed: GateReport) -> GateReport:
    """Return the verdict over users' requests beside that over replayed ones, never their sum.

    A FAIL of either counts. Replayed requests stand in for users' only where nothing but more of
    those is missing: nothing that users met may speak against it.
    """
    named = [replace(line, name=f"{line.name}, replayed") for line in replayed.gates]
    both = replace(users, gates=(*users.gates, *named))
    if users.result is Result.FAIL:
        return both
    if replayed.result is Result.FAIL:
        told = replace(both, result=Result.FAIL, reason=replayed.reason, missing_requests=None)
        return replace(told, replayed=True)
    if replayed.result is Result.PASS and users.reason is Reason.LOW_TRAFFIC:
        told = replace(both, result=Result.PASS, reason=Reason.PASSED, missing_requests=None)
        return replace(told, replayed=True)
    return both


def _why_open(findings: Sequence[Finding]) -> tuple[Reason, int | None]:
    """Return the gravest reason: what no traffic can mend before what more traffic would."""
    for reason in (Reason.NO_DATA, Reason.BETWEEN):
        if any(finding.reason is reason for finding in findings):
            return reason, None
    return Reason.LOW_TRAFFIC, max(finding.missing or 0 for finding in findings)


def _judged(gates: Gates) -> list[Callable[[View], Finding]]:
    judged: list[Callable[[View], Finding]] = []
    if gates.max_error_rate is not None:
        limit, least = gates.max_error_rate, gates.min_requests
        judged.append(partial(error_gates.error_rate, limit=limit, least=least))
    if gates.max_latency_ratio is not None:
        ratio, floor_ms = gates.max_latency_ratio, gates.latency_floor_ms
        known = partial(latency_gate.latency_ratio, ratio=ratio, floor_ms=floor_ms)
        judged.append(latency_gate.no_yardstick if gates.hotfix else known)
    if gates.max_error_rate is None and (gates.max_latency_ratio is None or gates.hotfix):
        raise ValueError("no gate is set that could pass: give max_error_rate a limit")
    if gates.new_errors:
        judged.append(new_errors_gate.new_errors)
    if gates.max_relative is not None and not gates.hotfix:
        judged.append(partial(error_gates.relative, ratio=gates.max_relative))
    return judged
