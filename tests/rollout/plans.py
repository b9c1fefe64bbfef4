"""A plan for tests, made by the real planner."""

from incidents.models import Severity
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
