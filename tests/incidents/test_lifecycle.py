"""The table of what follows what is total, and its limits hold."""

from itertools import product

import pytest

from incidents import lifecycle
from incidents.lifecycle import Next, Then, Tried, follow
from incidents.models import Outcome, Severity, Stage, Status

LIMITS = [
    Tried(patches, taken_back, escalated)
    for patches, taken_back, escalated in product(range(5), range(4), (False, True))
]


@pytest.mark.parametrize(("stage", "outcome"), list(product(Stage, Outcome)))
def test_every_pair_has_one_answer(stage: Stage, outcome: Outcome) -> None:
    """Cancelled stops; a listed pair goes where the table says; every other is impossible."""
    for tried in LIMITS:
        got = follow(stage, outcome, tried)
        if outcome is Outcome.CANCELLED:
            assert Next(None, Then.STOP) == got
        elif (stage, outcome) not in lifecycle.NEXT:
            assert lifecycle.IMPOSSIBLE == got
        else:
            assert got.then is not Then.IMPOSSIBLE


@pytest.mark.parametrize(("stage", "outcome"), list(product(Stage, Outcome)))
def test_an_incident_escalates_once_by_itself(stage: Stage, outcome: Outcome) -> None:
    """After an escalation nothing but a human's word escalates again."""
    again = [follow(stage, outcome, tried) for tried in LIMITS if tried.escalated]

    assert Stage.ESCALATE not in {got.stage for got in again}


@pytest.mark.parametrize("patches", range(6))
def test_a_patch_is_tried_three_times_in_all(patches: int) -> None:
    expected = Stage.PATCH if patches < 3 else Stage.ESCALATE

    assert expected == follow(Stage.TEST, Outcome.REJECT, Tried(patches=patches)).stage


@pytest.mark.parametrize(
    ("taken_back", "expected"), [(1, Stage.DIAGNOSE), (2, Stage.ESCALATE), (3, Stage.ESCALATE)]
)
def test_a_rollout_that_is_taken_back_is_diagnosed_once_more(
    taken_back: int, expected: Stage
) -> None:
    tried = Tried(taken_back=taken_back)

    assert expected == follow(Stage.DEPLOY, Outcome.TAKEN_BACK, tried).stage


def test_no_path_by_the_machine_alone_is_endless() -> None:
    """Whatever the stages say, the table ends within a bounded number of runs."""

    def longest(stage: Stage, tried: Tried, depth: int) -> int:
        assert depth < 40
        lengths = [depth]
        for outcome in Outcome:
            patches = tried.patches + (stage is Stage.PATCH and outcome is Outcome.PATCHED)
            if stage is Stage.DIAGNOSE:
                patches = 0
            back = tried.taken_back + (outcome is Outcome.TAKEN_BACK)
            escalated = tried.escalated or stage is Stage.ESCALATE
            now = Tried(patches, back, escalated)
            got = follow(stage, outcome, now)
            if got.stage is not None:
                lengths.append(longest(got.stage, now, depth + 1))
        return max(lengths)

    assert longest(Stage.TRIAGE, Tried(), 1) < 40


def test_every_status_has_its_moves_and_merged_is_the_end() -> None:
    assert set(Status) == set(lifecycle.MOVES)
    assert frozenset() == lifecycle.MOVES[Status.MERGED]


def test_the_targets_are_those_of_the_design() -> None:
    assert {"P0": 75, "P1": 150, "P2": 300, "P3": 960} == {
        severity.value: lifecycle.total_target(severity).total_seconds() / 60
        for severity in Severity
    }
    assert lifecycle.target(Severity.P0, Stage.TRIAGE) is None


@pytest.mark.parametrize(
    ("share", "money", "expected"),
    [
        (0.26, False, Severity.P0),
        (0.25, False, Severity.P1),
        (0.05, False, Severity.P1),
        (0.049, False, Severity.P2),
        (0.0, False, Severity.P3),
        (0.0, True, Severity.P1),
        (0.3, True, Severity.P0),
        (None, True, Severity.P1),
        (None, False, None),
    ],
)
def test_a_share_suggests_a_severity_and_an_unknown_share_none(
    share: float | None, money: bool, expected: Severity | None
) -> None:
    assert expected == lifecycle.suggest_severity(share, data_or_money=money)


@pytest.mark.parametrize(
    ("stage", "outcome", "expected"),
    [
        (Stage.TRIAGE, Outcome.RECENT_CHANGE, Next(Stage.DIAGNOSE, offer_contain=True)),
        (Stage.PATCH, Outcome.NONE_SAFE, Next(Stage.ESCALATE, offer_contain=True)),
        (Stage.CONTAIN, Outcome.VERIFIED, Next(None, Then.MITIGATED)),
        (Stage.CONTAIN, Outcome.HELD, Next(None, Then.NEEDS_HUMAN)),
        (Stage.CONTAIN, Outcome.REFUSED, Next(None, Then.STOP)),
        (Stage.CONTAIN, Outcome.EXPIRED, Next(None, Then.STOP)),
        (Stage.CONTAIN, Outcome.TAKEN_BACK, Next(None, Then.STOP)),
        (Stage.CONTAIN, Outcome.FAILED, Next(None, Then.STOP)),
    ],
)
def test_a_way_back_is_offered_beside_the_work_and_never_steers_it(
    stage: Stage, outcome: Outcome, expected: Next
) -> None:
    """Only its success changes the incident; whatever else becomes of it, the diagnosis goes on."""
    assert expected == follow(stage, outcome, Tried())
