"""A plan for tests, made by the real planner."""

from datetime import UTC, datetime

from incidents.models import Rollout, RolloutState, SafeVersion, Severity
from incidents.reports import DeploymentPlan, Patch, RemedyKind
from rollout import gate, plan
from rollout.deployers.port import Abilities

ABLE = Abilities(weights=True, drop_free=True, sticky=False, reads_back=True)
OLD, NEW, GOOD = "a" * 40, "b" * 40, "c" * 40


def patch(**other: object) -> Patch:
    """Return a small patch."""
    base = {
        "engine": "builtin",
        "remedy": RemedyKind.REVERT,
        "title": "Revert the guest cart",
        "diff": "",
        "digest": "d" * 64,
        "base": OLD,
        "tree": "e" * 40,
    }
    return Patch.model_validate({**base, **other})


def subject(**other: object) -> plan.Subject:
    """Return what is to be deployed."""
    base: dict[str, object] = {
        "service": "checkout",
        "driver": "processes",
        "severity": Severity.P0,
        "patch": patch(),
        "revision": NEW,
        "stable_revision": OLD,
        "last_good_revision": GOOD,
    }
    return plan.Subject(**{**base, **other})  # type: ignore[arg-type]


def made(**other: object) -> DeploymentPlan:
    """Return the plan of a subject at 600 requests per minute."""
    return plan.build_plan(
        subject(**other),
        abilities=ABLE,
        gates=gate.Gates(hotfix=True),
        requests_per_minute=600,
        rollback_command="halon rollback 1",
    )


def rollout(plan_made: DeploymentPlan) -> Rollout:
    """Return the rollout of a plan before anything has moved."""
    return Rollout(
        id="r1",
        incident=1,
        stage_run=1,
        service=plan_made.service,
        state=RolloutState.PLANNED,
        revision=plan_made.revision,
        stable_revision=plan_made.stable_revision,
        last_good_revision=plan_made.last_good_revision,
        patch_digest=plan_made.patch_digest,
        plan=plan_made.model_dump(mode="json"),
        plan_hash=plan.plan_hash(plan_made),
        phase=0,
        phase_started_at=None,
        deadline=None,
        safe_version=SafeVersion(plan_made.safe_version),
        latched=False,
        fence=4,
        created_at=datetime.now(UTC),
    )
