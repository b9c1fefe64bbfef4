"""The card: the pinned message of a thread that is true at every moment, in five lines.

Called by the poster, which edits it on each change and at least once a minute. Pure but for reading
its template. A figure that is old says how old it is; one that was not measured is never zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot import texts
from bot.port import Message, Tone
from incidents.models import Approval, Bucket, Incident, Rollout, RolloutState, StageClock

READING = 3  # buckets that make one reading of "now"
OLD = timedelta(minutes=1)
STEADY = 0.005  # a smaller difference is no direction
TRAFFIC: dict[RolloutState, str] = {
    RolloutState.PREPARING: "Rehearsing the way back",
    RolloutState.ARMED: "Ready to shift traffic",
    RolloutState.BAKING: "Watching {} %",
    RolloutState.AWAITING: "At {} %",
    RolloutState.PROMOTING: "Making the new version the stable one",
    RolloutState.VALIDATING: "All traffic on the new version, watching it",
    RolloutState.HELD: "Held at {} %",
    RolloutState.TAKING_BACK: "Taking traffic back",
}


@dataclass(frozen=True)
class View:
    """An incident at one moment."""

    incident: Incident
    now: datetime
    clocks: tuple[StageClock, ...] = ()
    waits: bool = False  # the stage that runs waits for people
    pending: tuple[Approval, ...] = ()
    approvers: tuple[str, ...] = ()
    rollout: Rollout | None = None  # an open one
    buckets: tuple[Bucket, ...] = ()
    triage: tuple[float, float | None, datetime] | None = None  # share, baseline, when


@dataclass(frozen=True)
class Rate:
    """The share of requests that fail, where it goes, and when that was true."""

    share: float
    arrow: str
    at: datetime


def card(view: View) -> Message:
    """Return the card of an incident."""
    clock = next((one for one in reversed(view.clocks) if one.running), None)
    spent = clock.working + clock.waiting if clock else timedelta()
    rate = _rate(view)
    since = view.incident.onset or view.incident.opened_at
    said = texts.blocks(
        "card",
        incident=view.incident,
        since=since,
        age=view.now - since,
        rate=rate.share if rate else None,
        arrow=rate.arrow if rate else "",
        before=view.triage[1] if view.triage else None,
        stale=view.now - rate.at if rate and view.now - rate.at > OLD else None,
        working=clock,
        traffic=_traffic(view.rollout),
        waits=view.waits,
        spent=spent,
        late=bool(clock and clock.target and spent > clock.target),
        question=_question(view),
        approvers=view.approvers,
    )
    lines = (" ".join(line.split()) for line in said["lines"].splitlines())
    return Message(
        headline=" ".join(said["headline"].split()),
        lines=tuple(line for line in lines if line),
        tone=Tone(said["tone"]),
        at=view.now,
    )


def _question(view: View) -> dict[str, object] | None:
    if not view.pending:
        return None
    asked = view.pending[-1]
    return {"act": asked.act.value, "scope": asked.scope, "expires_at": asked.expires_at}


def _traffic(rollout: Rollout | None) -> str:
    return TRAFFIC.get(rollout.state, "").format(rollout.phase) if rollout else ""


def _rate(view: View) -> Rate | None:
    """Return the newest reading of all traffic, else what triage measured."""
    measured = [bucket for bucket in view.buckets if bucket.requests]
    starts = sorted({bucket.start for bucket in measured})
    now = _share(measured, starts[-READING:])
    if now is None:
        return Rate(view.triage[0], "", view.triage[2]) if view.triage else None
    earlier = _share(measured, starts[-2 * READING : -READING])
    ends = max(bucket.start + timedelta(seconds=bucket.seconds) for bucket in measured)
    return Rate(now, _arrow(now, earlier), ends)


def _share(buckets: Sequence[Bucket], starts: Sequence[datetime]) -> float | None:
    chosen = [bucket for bucket in buckets if bucket.start in starts]
    requests = sum(bucket.requests or 0 for bucket in chosen)
    return sum(bucket.errors or 0 for bucket in chosen) / requests if requests else None


def _arrow(now: float, earlier: float | None) -> str:
    if earlier is None or abs(now - earlier) < STEADY:
        return "→"
    return "↓" if now < earlier else "↑"
