"""Asks a monitor before anything moves whether it can tell the two versions apart at all.

Called by preflight and `halon doctor`. It only looks back, and says what it saw in sentences.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from incidents import errors
from incidents.models import Bucket, Version
from rollout.canary import Timing
from rollout.monitors.port import Monitor

ALIKE = 3  # buckets with traffic in which equal counts are no accident any more
ONE_LABEL = "Both versions show the same counts: they are counted under one label."
NOBODY = "No request of stable was counted"
NOTHING = "Nothing was measured of stable"
BUSY = 20  # requests that make a bucket worth comparing


def back(timing: Timing) -> timedelta:
    """Return how far to look back at this pace: two minutes, more where counts come late."""
    return max(timedelta(minutes=2), timing.gap)


def problems(monitor: Monitor, now: datetime, back: timedelta) -> list[str]:
    """Return what would keep a rollout from being judged; nothing: the monitor seems fit.

    That the canary has no counts is no problem: before a rollout there is none.
    """
    try:
        stable = monitor.buckets(Version.STABLE, now - back, now)
        canary = monitor.buckets(Version.CANARY, now - back, now)
    except errors.TemporaryFailure as error:
        return [error.message]
    if not any(bucket.requests is not None for bucket in stable):
        return [f"{NOTHING} in the last {back.total_seconds():.0f} s."]
    if not any(bucket.requests for bucket in stable):
        return [f"{NOBODY} in the last {back.total_seconds():.0f} s: is its name right?"]
    if _alike(canary, stable):
        return [ONE_LABEL]
    return []


def _alike(canary: Sequence[Bucket], stable: Sequence[Bucket]) -> bool:
    other = {bucket.start: bucket for bucket in stable}
    pairs = [(one, other[one.start]) for one in canary if one.start in other and one.requests]
    same = all((one.requests, one.errors) == (two.requests, two.errors) for one, two in pairs)
    busy = sum((one.requests or 0) >= BUSY for one, _ in pairs)
    return same and busy >= ALIKE
