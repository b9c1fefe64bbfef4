"""Whether there is enough fresh data of the right versions to judge at all.

Called by `rollout.gate` before any gate is believed. Pure. Missing data is never read as zero.
"""

from collections.abc import Sequence
from datetime import timedelta

from incidents.models import Bucket, Result
from rollout.findings import Finding, GateLine, Look, Reason, View, end_of, requests_of

COVERAGE = 0.8
SHARE_BAND = (0.5, 2.0)


def data(buckets: Sequence[Bucket], view: View, look: Look) -> Finding:
    """Return whether there is enough fresh data of the right versions to judge at all."""

    def lacking(reason: Reason, detail: str, missing: int | None = None) -> Finding:
        return Finding(
            GateLine("data", Result.INCONCLUSIVE, detail), reason=reason, missing=missing
        )

    if look.source_failing:
        return lacking(Reason.SOURCE_ERROR, "the monitor's source answers with errors")
    if not view.step:
        return lacking(Reason.NO_DATA, "nothing was measured of the canary in this phase")
    window = [b for b in buckets if look.since is None or b.start >= look.since]
    seconds = max(b.seconds for b in window)
    newest = max(end_of(b) for b in view.step)
    now = look.now or max(end_of(b) for b in window)
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
    return _share(view, look, window) or Finding(
        GateLine("data", Result.PASS, f"{len(view.step)} buckets, {covered:.0%} of the phase")
    )


def _share(view: View, look: Look, window: Sequence[Bucket]) -> Finding | None:
    """Return a finding when the canary's share of the traffic is not what was commanded."""
    if look.weight is None or requests_of(view.step) == 0:
        return None
    if look.weight <= 0:
        detail = "the canary answers requests although its weight is 0"
        line = GateLine("data", Result.INCONCLUSIVE, detail)
        return Finding(line, reason=Reason.WRONG_SHARE)
    starts = {b.start for b in view.step}
    pairs = [b for b in view.stable if b.start in starts]
    if not pairs:
        if look.weight >= 100:
            return None
        detail = "nothing was measured of stable, so the canary's share is unknown"
        return Finding(GateLine("data", Result.INCONCLUSIVE, detail), reason=Reason.NO_DATA)
    both = {b.start for b in pairs}
    mine = requests_of([b for b in view.step if b.start in both])
    total = mine + requests_of(pairs)
    if total == 0:
        return None
    share, wanted = mine / total, look.weight / 100
    # With a handful of requests a share says nothing; the error gate is far from passing then.
    enough = total * wanted >= 20 or total >= 400
    if not enough or SHARE_BAND[0] * wanted <= share <= SHARE_BAND[1] * wanted:
        return None
    detail = f"the canary got {share:.1%} of the requests, commanded were {wanted:.0%}"
    return Finding(GateLine("data", Result.INCONCLUSIVE, detail), reason=Reason.WRONG_SHARE)
