"""The gate over kinds of errors: one that only the canary shows, told by its fingerprint.

Called by `rollout.gate`. Pure. It walks the buckets in their order, so that what failed at one look
still fails when stable shows the same error later. A burst counts once: a user who tries again, or
a hiccup of some seconds, gives many errors of one kind, and counting each of them made one healthy
rollout in twenty fail (simulated).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import log

from incidents.models import Bucket, Result, Version
from rollout.findings import Finding, GateLine, Reason, View, open_line

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
LEAST_BURSTS = 3  # two hiccups, however soon they come, are none
BURST_BUCKETS, BURST_SECONDS = 3, 15.0  # how long a burst may last; buckets that long are one each


@dataclass
class _Seen:
    """What was seen up to one moment: requests of both, and the errors that only the canary has."""

    canary: int = 0
    stable: int = 0
    known: set[str] = field(default_factory=set)
    new: dict[str, int] = field(default_factory=dict)  # occurrences
    bursts: dict[str, int] = field(default_factory=dict)
    began: dict[str, datetime] = field(default_factory=dict)  # the newest burst

    def add(self, bucket: Bucket) -> bool:
        """Count a bucket; True when it has errors that may be new."""
        told = [(text, count) for text, count in bucket.fingerprints if count > 0]
        if bucket.version is Version.STABLE:
            self.stable += bucket.requests or 0
            self.known |= {text for text, _ in told}
            for text, _ in told:
                self.new.pop(text, None)
                self.bursts.pop(text, None)
            return False
        self.canary += bucket.requests or 0
        strange = [(text, count) for text, count in told if text not in self.known]
        for text, count in strange:
            self.new[text] = self.new.get(text, 0) + count
            if text not in self.bursts or bucket.start - self.began[text] >= _burst(bucket):
                self.bursts[text] = self.bursts.get(text, 0) + 1
                self.began[text] = bucket.start
        return bool(strange)

    def worst(self, bound: float) -> str | None:
        """Return an error that is no accident any more: E = (the canary's share) ** -bursts."""
        both = self.canary + self.stable
        exposure = self.canary / both if both else 1.0
        for text, count in sorted(self.bursts.items(), key=lambda item: -item[1]):
            fatal = any(word in text.lower() for word in ALWAYS_FATAL)
            enough = exposure < 1 and count * -log(exposure) >= bound + log(len(self.new))
            if fatal or (enough and count >= LEAST_BURSTS):
                return text
        return None


def _burst(bucket: Bucket) -> timedelta:
    buckets = BURST_BUCKETS if bucket.seconds < BURST_SECONDS else 1
    return timedelta(seconds=buckets * bucket.seconds)


def new_errors(view: View) -> Finding:
    """Return whether the canary has an error that stable never showed, beyond chance."""
    seen = _Seen()
    for bucket in _in_order(view):
        if seen.add(bucket) and (text := seen.worst(view.fail_bound)) is not None:
            detail = f"{text[:120]!r} {seen.new[text]} times, never on stable"
            return Finding(GateLine("new_errors", Result.FAIL, detail), reason=Reason.NEW_ERRORS)
    if not seen.new:
        line = GateLine("new_errors", Result.PASS, "no error that stable does not have")
        return Finding(line)
    worst = max(seen.new, key=lambda text: seen.new[text])
    detail = f"{len(seen.new)} not seen on stable, too few to tell: {worst[:80]!r}"
    # Not needed for a PASS: their number is in the error rate already, and chance alone puts a
    # rare old error on the canary first.
    return Finding(open_line("new_errors", detail), required=False)


def _in_order(view: View) -> Iterable[Bucket]:
    """Return the buckets by time; of one moment stable comes first, in favour of the canary."""
    both = (*view.stable, *view.canary)
    return sorted(both, key=lambda bucket: (bucket.start, bucket.version is Version.CANARY))
