"""What follows what: one total, pure table from (stage, outcome) to the next step of an incident.

Called by `incidents.service` when a stage run ends, and by the controller for clocks. Holds no
I/O and no clock. The table is DESIGN's; a test walks every pair, so a missing one is a failure.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from incidents.models import Outcome, Severity, Stage, Status


class Then(StrEnum):
    """What happens besides (or instead of) a next stage."""

    GO_ON = "go on"
    NEEDS_HUMAN = "needs a human"
    MITIGATED = "mitigated"
    RESOLVED = "resolved"
    WAIT = "wait"  # the rollout or validation goes on
    STOP = "stop"
    IMPOSSIBLE = "impossible"  # this stage cannot end so; reaching it is a bug and needs a human


@dataclass(frozen=True)
class Next:
    """The next stage, if any, what happens to the incident, and whether `contain` is offered."""

    stage: Stage | None = None
    then: Then = Then.GO_ON
    offer_contain: bool = False


@dataclass(frozen=True)
class Tried:
    """How often things were tried in this incident before the outcome that is being decided."""

    patches: int = 0  # finished patch runs since the last diagnosis
    taken_back: int = 0  # rollouts taken back, this one included
    escalated: bool = False


ATTEMPTS_AT_A_PATCH = 3

_S, _O, _T = Stage, Outcome, Then
_HUMAN = Next(None, _T.NEEDS_HUMAN)
_STOP = Next(None, _T.STOP)
_ESCALATE = Next(_S.ESCALATE)
IMPOSSIBLE = Next(None, _T.IMPOSSIBLE)

# The whole behaviour on one screen; what is not listed is IMPOSSIBLE, CANCELLED always stops.
NEXT: dict[tuple[Stage, Outcome], Next] = {
    (_S.TRIAGE, _O.DONE): Next(_S.DIAGNOSE),
    (_S.TRIAGE, _O.RECENT_CHANGE): Next(_S.DIAGNOSE, offer_contain=True),
    (_S.TRIAGE, _O.NO_INCIDENT): _HUMAN,
    (_S.TRIAGE, _O.FAILED): Next(_S.DIAGNOSE),
    (_S.CONTAIN, _O.VERIFIED): Next(None, _T.MITIGATED),
    (_S.CONTAIN, _O.REFUSED): _STOP,
    (_S.CONTAIN, _O.EXPIRED): _STOP,
    (_S.CONTAIN, _O.TAKEN_BACK): _STOP,  # the thread tells; diagnosis goes on all the while
    (_S.CONTAIN, _O.HELD): _HUMAN,
    (_S.CONTAIN, _O.FAILED): _STOP,
    (_S.DIAGNOSE, _O.CONFIRMED): Next(_S.PATCH),
    (_S.DIAGNOSE, _O.LIKELY): Next(_S.PATCH),
    (_S.DIAGNOSE, _O.INCONCLUSIVE): _ESCALATE,
    (_S.DIAGNOSE, _O.NO_CODE_CAUSE): _HUMAN,
    (_S.DIAGNOSE, _O.FAILED): _ESCALATE,
    (_S.PATCH, _O.PATCHED): Next(_S.TEST),
    (_S.PATCH, _O.NONE_SAFE): Next(_S.ESCALATE, offer_contain=True),
    (_S.PATCH, _O.FAILED): _ESCALATE,
    (_S.TEST, _O.APPROVE): Next(_S.DEPLOY),
    (_S.TEST, _O.REJECT): Next(_S.PATCH),  # ESCALATE after the third patch, see `follow`
    (_S.TEST, _O.FAILED): _ESCALATE,
    (_S.DEPLOY, _O.REFUSED): _HUMAN,
    (_S.DEPLOY, _O.EXPIRED): _HUMAN,
    (_S.DEPLOY, _O.FULL): Next(None, _T.MITIGATED),
    (_S.DEPLOY, _O.TAKEN_BACK): Next(_S.DIAGNOSE),  # once, then ESCALATE, see `follow`
    (_S.DEPLOY, _O.HELD): _HUMAN,
    (_S.DEPLOY, _O.FAILED): _ESCALATE,
    (_S.DEPLOY, _O.DONE): Next(_S.REVIEW, _T.RESOLVED),  # the validation was good
    (_S.REVIEW, _O.DONE): _STOP,
    (_S.REVIEW, _O.FAILED): _HUMAN,
    (_S.ESCALATE, _O.PATCHED): Next(_S.TEST),
    (_S.ESCALATE, _O.NOTHING): _HUMAN,
    (_S.ESCALATE, _O.FAILED): _HUMAN,
    (_S.HOTFIX, _O.PATCHED): _STOP,  # contained on paper or in a tree; people go on
    (_S.HOTFIX, _O.DONE): _STOP,  # verified, or dropped
    (_S.HOTFIX, _O.APPROVE): Next(_S.DEPLOY),  # shipped by a person's word, with all gates
    (_S.HOTFIX, _O.NOTHING): _HUMAN,
    (_S.HOTFIX, _O.FAILED): _HUMAN,
}


def follow(stage: Stage, outcome: Outcome, tried: Tried) -> Next:
    """Return what follows when `stage` ended with `outcome`, limits on repeating applied."""
    if outcome is Outcome.CANCELLED:
        return _STOP
    spent = (
        (stage, outcome) == (Stage.TEST, Outcome.REJECT) and tried.patches >= ATTEMPTS_AT_A_PATCH
    ) or ((stage, outcome) == (Stage.DEPLOY, Outcome.TAKEN_BACK) and tried.taken_back > 1)
    following = _ESCALATE if spent else NEXT.get((stage, outcome), IMPOSSIBLE)
    if following.stage is Stage.ESCALATE and tried.escalated:
        return Next(None, Then.NEEDS_HUMAN, following.offer_contain)
    return following


def again(stage: Stage, outcome: Outcome | None) -> Stage:
    """Return what a person's "retry" runs after a stage that ended without a way on."""
    if outcome is Outcome.NO_INCIDENT:
        return Stage.DIAGNOSE  # a person knows better than the figures
    return stage


def first_stage(emergency: bool) -> Stage:
    """Return the stage that an opened incident starts with; an emergency is diagnosed at once."""
    return Stage.DIAGNOSE if emergency else Stage.TRIAGE


def urgent(severity: Severity, stage: Stage) -> bool:
    """Return whether a run goes to the urgent queue: P0 and contain never wait behind the rest."""
    return severity is Severity.P0 or stage in (Stage.CONTAIN, Stage.HOTFIX)


MOVES: dict[Status, frozenset[Status]] = {
    Status.OPEN: frozenset({Status.MITIGATED, Status.RESOLVED, Status.CANCELLED, Status.MERGED}),
    Status.MITIGATED: frozenset(
        {Status.RESOLVED, Status.REOPENED, Status.CANCELLED, Status.MERGED}
    ),
    Status.RESOLVED: frozenset({Status.CLOSED, Status.REOPENED}),
    Status.CLOSED: frozenset({Status.REOPENED}),
    Status.CANCELLED: frozenset({Status.REOPENED}),
    Status.REOPENED: frozenset(
        {Status.MITIGATED, Status.RESOLVED, Status.CANCELLED, Status.MERGED}
    ),
    Status.MERGED: frozenset(),
}

# Users are hurt: containing is worth an offer.
HURT = frozenset({Status.OPEN, Status.REOPENED})
LIVE = frozenset({Status.OPEN, Status.REOPENED, Status.MITIGATED})

_MINUTES: dict[Severity, tuple[int, int, int, int, int]] = {
    # severity: diagnose, fix, test, deploy, total
    Severity.P0: (15, 30, 15, 15, 75),
    Severity.P1: (30, 60, 30, 30, 150),
    Severity.P2: (60, 120, 60, 60, 300),
    Severity.P3: (240, 480, 120, 120, 960),
}


def target(severity: Severity, stage: Stage) -> timedelta | None:
    """Return the default time target of a stage, None for stages that have none."""
    diagnose, fix, test, deploy, _ = _MINUTES[severity]
    minutes = {
        Stage.DIAGNOSE: diagnose,
        Stage.PATCH: fix,
        Stage.TEST: test,
        Stage.DEPLOY: deploy,
    }.get(stage)
    return None if minutes is None else timedelta(minutes=minutes)


def total_target(severity: Severity) -> timedelta:
    """Return the default target from onset to 100 %."""
    return timedelta(minutes=_MINUTES[severity][4])


def suggest_severity(share: float | None, *, data_or_money: bool = False) -> Severity | None:
    """Return the severity that a share of hurt users (0..1) suggests; unknown stays unknown."""
    if share is None:
        return Severity.P1 if data_or_money else None
    if share > 0.25:
        return Severity.P0
    if share >= 0.05 or data_or_money:
        return Severity.P1
    return Severity.P2 if share > 0 else Severity.P3
