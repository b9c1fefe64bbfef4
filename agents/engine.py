"""Who plays a role: the roles, what a run may use, and the face that both engines have.

Called by workers and cli, implemented by `agents.builtin.engine` and `agents.claude`.
It must never know either of them.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from agents.case import Case
from incidents import reports


class Role(StrEnum):
    """What an agent is asked to be."""

    BUG_DIAGNOSTICIAN = "bug-diagnostician"
    PATCH_DEVELOPER = "patch-developer"
    HOTFIX_TESTER = "hotfix-tester"
    DEPLOYMENT_COORDINATOR = "deployment-coordinator"
    INCIDENT_ANALYZER = "incident-analyzer"
    PRODUCTION_FIXER = "production-fixer"
    HOTFIX = "hotfix"


@dataclass(frozen=True)
class Budget:
    """What one run may use: seconds of wall time, and dollars (exact)."""

    seconds: float
    dollars: Decimal = Decimal(0)


class Engine(Protocol):
    """Plays a role on a case; the report says which engine spoke and what it cost."""

    @property
    def name(self) -> str:
        """Name the engine as reports print it, such as "builtin"."""
        ...

    def plays(self, role: Role) -> bool:
        """Tell whether this engine plays a role at all."""
        ...

    def run(self, role: Role, case: Case, budget: Budget) -> reports.Report:
        """Return the report of the role; raises `errors.PermanentFailure` if it could not run."""
        ...
