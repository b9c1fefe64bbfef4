"""The plan: phases, the safe version, what the traffic allows, and what an approval is bound to."""

from dataclasses import replace

import pytest

from incidents.models import RunMode, SafeVersion, Severity, Verdict
from incidents.reports import Patch, RemedyKind
from rollout import gate, plan
from tests.rollout import plans


def test_three_phases_with_their_bakes() -> None:
    chosen = plan.phases(Severity.P0, plans.ABLE, gate.Gates())
    assert [(10, 600, 120), (50, 600, 120), (100, 1800, 120)] == [
        (phase.percent, phase.bake_seconds, phase.minimum_seconds) for phase in chosen
    ]


def test_a_deployer_without_weights_has_one_phase() -> None:
    chosen = plan.phases(Severity.P0, replace(plans.ABLE, weights=False), gate.Gates())
    assert [100] == [phase.percent for phase in chosen]


@pytest.mark.parametrize(
    ("severity", "expected"),
    [
        (Severity.P0, (120, 150, 300, 450, 600)),
        (Severity.P1, (300, 450, 600)),
        (Severity.P2, (600,)),
        (Severity.P3, (600,)),
    ],
)
def test_looks_are_fixed(severity: Severity, expected: tuple[float, ...]) -> None:
    assert expected == plan.looks(plan.phases(severity, plans.ABLE, gate.Gates())[0])


def test_the_safe_version() -> None:
    migration = plans.patch(migration=True)
    cases = [
        (plans.subject(), SafeVersion.LAST_GOOD, plans.GOOD, False),
        (plans.subject(stable_carries_incident=False), SafeVersion.STABLE, plans.OLD, False),
        (plans.subject(last_good_revision=None), SafeVersion.STABLE, plans.OLD, True),
        (plans.subject(last_good_deployable=False), SafeVersion.STABLE, plans.OLD, True),
        (plans.subject(last_good_revision=plans.OLD), SafeVersion.STABLE, plans.OLD, True),
        (plans.subject(patch=migration), SafeVersion.STABLE, plans.OLD, True),
        (plans.subject(migrates=True), SafeVersion.STABLE, plans.OLD, True),
    ]
    for subject, version, revision, broken in cases:
        safe = plan.choose_safe(subject)
        assert (version, revision, broken) == (safe.version, safe.revision, safe.broken)


def test_too_little_traffic_is_said_before_anything_moves() -> None:
    first = plan.phases(Severity.P0, plans.ABLE, gate.Gates())[0]
    few = plan.estimate_traffic(30, first, gate.Gates())
    many = plan.estimate_traffic(600, first, gate.Gates())
    unknown = plan.estimate_traffic(None, first, gate.Gates())
    assert (66, False, True, None) == (few.needed, few.enough, many.enough, unknown.enough)
    assert "replay" in few.text
    assert "unknown" in unknown.text


def test_the_hash_covers_what_is_approved_and_not_the_rehearsal() -> None:
    made = plans.made()
    rehearsed = made.model_copy(update={"rehearsal": "done in 1 s"})
    other = made.model_copy(update={"revision": "f" * 40})
    assert plan.plan_hash(made) == plan.plan_hash(rehearsed)
    assert plan.plan_hash(made) != plan.plan_hash(other)


def test_a_migration_and_a_broken_way_back_are_gaps() -> None:
    made = plans.made(patch=plans.patch(migration=True))
    assert any("migration" in gap for gap in made.gaps)
    assert [False, False] == [check.passed for check in made.checklist[:2]]


@pytest.mark.parametrize(
    ("mode", "verdict", "patch", "alone"),
    [
        (RunMode.AUTO, Verdict.CONFIRMED, plans.patch(), True),
        (RunMode.AUTO, Verdict.LIKELY, plans.patch(), False),
        (RunMode.AUTO, Verdict.CONFIRMED, plans.patch(remedy=RemedyKind.GUARD), False),
        (RunMode.AUTO, Verdict.CONFIRMED, plans.patch(migration=True), False),
        (RunMode.AUTO, Verdict.CONFIRMED, plans.patch(protected=("Makefile (built)",)), False),
        (RunMode.REVIEW, Verdict.CONFIRMED, plans.patch(), False),
    ],
)
def test_who_may_go_alone(mode: RunMode, verdict: Verdict, patch: Patch, alone: bool) -> None:
    assert alone == (plan.may_go_alone(mode, verdict, patch) is None)
