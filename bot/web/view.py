"""What the page shows beside the thread: facts turned into words, figures and bars. Pure.

Called by `bot.web.parts`. Every state has a tone and a word; a missing figure is said to be
unknown, never drawn as zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot import gathering
from bot.port import Button, Message, Tone
from bot.web import seen
from bot.web.facts import LIVE_RUNS, Facts
from incidents.models import (
    Act,
    Answer,
    Approval,
    Bucket,
    EntryKind,
    Incident,
    Person,
    Result,
    Rollout,
    RolloutState,
    RunState,
    Stage,
    StageClock,
    Status,
)
from incidents.policy import Access, Allowed, may, may_answer

TONES: dict[Status, Tone] = {
    Status.OPEN: Tone.FAILING,
    Status.REOPENED: Tone.FAILING,
    Status.MITIGATED: Tone.PASSING,
    Status.RESOLVED: Tone.PASSING,
    Status.CLOSED: Tone.NEUTRAL,
    Status.CANCELLED: Tone.NEUTRAL,
    Status.MERGED: Tone.NEUTRAL,
}
RESULTS: dict[str, Tone] = {
    Result.PASS: Tone.PASSING,
    Result.FAIL: Tone.FAILING,
    Result.INCONCLUSIVE: Tone.WAITING,
}
WORK: dict[Stage, str] = {
    Stage.TRIAGE: "Looking at what fails",
    Stage.CONTAIN: "Containing it",
    Stage.DIAGNOSE: "Diagnosing",
    Stage.PATCH: "Writing the patch",
    Stage.TEST: "Testing the patch",
    Stage.DEPLOY: "Preparing the rollout",
    Stage.REVIEW: "Writing the review",
    Stage.ESCALATE: "Escalating",
    Stage.HOTFIX: "Containing it at once",
}
TRAFFIC: dict[RolloutState, str] = {
    RolloutState.PLANNED: "The rollout is planned",
    RolloutState.PREPARING: "Rehearsing the way back",
    RolloutState.ARMED: "Ready to shift traffic",
    RolloutState.BAKING: "Baking at {} %",
    RolloutState.AWAITING: "Waiting for an approval at {} %",
    RolloutState.PROMOTING: "Growing from {} %",
    RolloutState.VALIDATING: "All traffic on the new version, watching it",
    RolloutState.HELD: "Held at {} %",
    RolloutState.TAKING_BACK: "Taking traffic back",
}
TIMED = (RolloutState.BAKING, RolloutState.VALIDATING)
GROWING: dict[Act, str] = {
    Act.SHIP: "Ship it",
    Act.REDEPLOY: "Redeploy the older release",
    Act.MITIGATE: "Run the mitigation",
}
REFUSING: dict[Act, str] = {
    Act.SHIP: "Do not deploy",
    Act.REDEPLOY: "Stay as it is",
    Act.MITIGATE: "Do not run it",
}
WINDOW = 3  # buckets that make one reading of "now"


@dataclass(frozen=True)
class Rate:
    """The share of requests that fail now and before, and where it is going."""

    now: float
    before: float | None
    word: str  # "falling", "rising" or "steady"
    at: datetime


@dataclass(frozen=True)
class Doing:
    """What Halon does now, and how long that will take."""

    text: str
    detail: str = ""
    spent: timedelta | None = None
    target: timedelta | None = None
    left: timedelta | None = None
    late: bool = False


@dataclass(frozen=True)
class Bar:
    """One stage's clock; shares are percent of the bar's width."""

    stage: str
    working: timedelta
    waiting: timedelta
    target: timedelta | None
    working_share: float
    waiting_share: float
    target_share: float | None
    late: bool
    running: bool


@dataclass(frozen=True)
class Asked:
    """Something that waits for a person; `mine` when the reader may answer it."""

    headline: str
    lines: tuple[str, ...] = ()
    buttons: tuple[Button, ...] = ()
    approval: str | None = None
    until: datetime | None = None
    mine: bool = True
    link: str | None = None
    seen: str = ""  # what the reader sees of the question, sent along with the answer


@dataclass(frozen=True)
class GateLine:
    """One gate: what it says, in its colour."""

    name: str
    word: str
    detail: str
    tone: Tone


def over(incident: Incident) -> datetime | None:
    """Return since when users are no longer hurt, None while they are or where nobody said so."""
    if TONES[incident.status] is Tone.FAILING:
        return None
    ended = incident.status in (Status.RESOLVED, Status.CLOSED)
    return (incident.resolved_at if ended else None) or incident.mitigated_at


def rate(facts: Facts) -> Rate | None:
    """Return the newest reading of the error rate: from traffic, else from triage."""
    measured = [bucket for bucket in facts.buckets if bucket.requests]
    starts = sorted({bucket.start for bucket in measured})
    if not starts:
        return _rate_of_triage(facts)
    now = _share(measured, starts[-WINDOW:])
    earlier = _share(measured, starts[-2 * WINDOW : -WINDOW])
    first = _rate_of_triage(facts)
    ends = max(one.start + timedelta(seconds=one.seconds) for one in measured)
    return Rate(now or 0.0, first.before if first else None, _going(now, earlier), ends)


def _rate_of_triage(facts: Facts) -> Rate | None:
    said = facts.last(EntryKind.SUGGESTED)
    if said is None or said.content.get("share") is None:
        return None
    return Rate(said.content["share"], said.content.get("baseline"), "steady", said.at)


def _share(buckets: Sequence[Bucket], starts: Sequence[datetime]) -> float | None:
    chosen = [bucket for bucket in buckets if bucket.start in starts]
    requests = sum(bucket.requests or 0 for bucket in chosen)
    return sum(bucket.errors or 0 for bucket in chosen) / requests if requests else None


def _going(now: float | None, earlier: float | None) -> str:
    if now is None or earlier is None or abs(now - earlier) < 0.005:
        return "steady"
    return "falling" if now < earlier else "rising"


def doing(facts: Facts) -> Doing:
    """Return what is done now: traffic first, since it is what users feel."""
    rollout, run = facts.rollout, facts.current
    if rollout is not None and rollout.state in TRAFFIC:
        return _moving(rollout, facts.now)
    if run is None:
        return Doing("Nothing is running")
    clock = next((one for one in facts.clocks if one.stage is run.stage), None)
    said = facts.last(EntryKind.PROGRESS)
    mine = said is not None and said.subject == f"run-{run.id}"
    words = {RunState.READY: "waiting for a worker", RunState.WAITING: "waiting for people"}
    spent = clock.working + clock.waiting if clock else None
    return Doing(
        WORK[run.stage],
        words.get(run.state) or (str(said.content.get("text", "")) if said and mine else ""),
        spent,
        clock.target if clock else None,
        late=bool(clock and clock.target and spent and spent > clock.target),
    )


def _moving(rollout: Rollout, now: datetime) -> Doing:
    timed = rollout.deadline is not None and rollout.state in TIMED
    left = max(timedelta(), rollout.deadline - now) if rollout.deadline and timed else None
    return Doing(TRAFFIC[rollout.state].format(rollout.phase), rollout.reason, left=left)


def bars(clocks: Sequence[StageClock]) -> list[Bar]:
    """Return the stage clocks as bars: the target is the full width until it is passed."""
    return [_bar(clock) for clock in clocks]


def _bar(clock: StageClock) -> Bar:
    spent = clock.working + clock.waiting
    full = max(spent, clock.target or spent, timedelta(seconds=1))
    late = clock.target is not None and spent > clock.target
    return Bar(
        clock.stage.value,
        clock.working,
        clock.waiting,
        clock.target,
        round(100 * (clock.working / full), 2),
        round(100 * (clock.waiting / full), 2),
        round(100 * (clock.target / full), 2) if clock.target and late else None,
        late,
        clock.running,
    )


def asked(
    facts: Facts, questions: Mapping[str, Message], person: Person, access: Access
) -> list[Asked]:
    """Return what waits for people, what the reader may answer first."""
    found = [
        _question(approval, questions.get(approval.id), facts, person, access)
        for approval in facts.asked
    ]
    if (sentence := facts.incident.needs_human) is not None and not found:
        found.append(_human(sentence, facts, person, access))
    if _review_waits(facts):
        mine = isinstance(may(Act.PUBLISH, person, facts.incident.service, access), Allowed)
        found.append(
            Asked(
                "The review is drafted",
                ("Read it, mend it, publish it.",),
                mine=mine,
                link=f"/{facts.incident.id}/review",
            )
        )
    return sorted(found, key=lambda one: not one.mine)


def _question(
    approval: Approval, message: Message | None, facts: Facts, person: Person, access: Access
) -> Asked:
    answer = may_answer(approval, person, Answer.YES, facts.incident, access)
    verb = GROWING.get(approval.act) or f"Grow to {approval.scope} %"
    buttons = (
        Button(verb, "approve", approval.id, Tone.PASSING),
        Button(REFUSING.get(approval.act, "Take back"), "refuse", approval.id, Tone.FAILING),
    )
    return Asked(
        message.headline if message else f"{verb}?",
        message.lines if message else (),
        (message.buttons if message else ()) or buttons,
        approval.id,
        approval.expires_at,
        isinstance(answer, Allowed),
        seen=seen.of(approval),
    )


def _human(sentence: str, facts: Facts, person: Person, access: Access) -> Asked:
    """A person must do something; a canary that is held can be taken back right here."""
    held = facts.rollout is not None and facts.rollout.state is RolloutState.HELD
    back = Button("Take back", "rollback", facts.incident.id, Tone.FAILING)
    mine = isinstance(may(Act.TAKE_BACK, person, facts.incident.service, access), Allowed)
    return Asked("A human is needed", (sentence,), (back,) if held else (), mine=mine)


def _review_waits(facts: Facts) -> bool:
    if facts.incident.status not in (Status.RESOLVED, Status.MITIGATED):
        return False
    running = any(run.stage is Stage.REVIEW and run.state in LIVE_RUNS for run in facts.runs)
    drafted = facts.report(Stage.REVIEW) is not None
    return drafted and not running and facts.last(EntryKind.PUBLISHED) is None


def gates(facts: Facts) -> tuple[list[GateLine], str]:
    """Return the gates of the phase that bakes, and one sentence for what is still needed."""
    phase = facts.last(EntryKind.PHASE)
    if phase is None or facts.rollout is None:
        return [], ""
    gate = phase.content.get("gate") or {}
    lines = [
        GateLine(
            str(one.get("name", "")),
            str(one.get("result", "")),
            str(one.get("detail", "")),
            RESULTS.get(str(one.get("result", "")), Tone.NEUTRAL),
        )
        for one in gate.get("gates", [])
    ]
    return lines, _needed(gate, facts.rollout)


def _needed(gate: Mapping[str, object], rollout: Rollout) -> str:
    if rollout.state not in TRAFFIC:
        return {
            RolloutState.DONE: "Every phase passed.",
            RolloutState.TAKEN_BACK: f"Taken back: {rollout.reason}",
        }.get(rollout.state, rollout.state.value.capitalize() + ".")
    missing = gate.get("missing_requests")
    if missing:
        return f"{missing} more requests are needed for a verdict."
    if gate.get("result") == Result.PASS:
        return "Nothing: the evidence passes."
    if gate.get("result") == Result.FAIL:
        return "Nothing can pass it any more: the canary goes back."
    return f"A verdict: {gate.get('reason') or 'not yet decided'}."


def approvers(facts: Facts, access: Access) -> tuple[str, ...]:
    """Return who may say yes for the incident's service, as platform and user id."""
    return gathering.approvers(facts.incident.service, access)


def take_back(facts: Facts) -> list[str]:
    """Return the commands that take traffic back, the one that works without Halon last."""
    rollout = facts.rollout
    if rollout is None or rollout.state not in TRAFFIC:
        return []
    machine = str(rollout.plan.get("rollback_command") or "")
    return [f"/incident rollback {facts.incident.id}", *([machine] if machine else [])]
