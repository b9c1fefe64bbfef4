"""The builtin engine: every role without a key, by evidence and replays, for $0.

Made by workers, the shell verbs and the bench with a sandbox and a folder for workspaces. It picks
the role's function, opens the tools for it and closes them; it holds no rule of its own.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from agents import sandbox
from agents.builtin import diagnose, fixer, hotfix, remedy, review, testing, workbench
from agents.builtin.deadline import Deadline
from agents.builtin.workbench import Workbench
from agents.case import Case
from agents.engine import Budget, Role
from incidents import errors, reports

ROLES: dict[Role, Callable[[Workbench], reports.Report]] = {
    Role.BUG_DIAGNOSTICIAN: diagnose.diagnose,
    Role.PATCH_DEVELOPER: remedy.patch,
    Role.HOTFIX_TESTER: testing.test,
    Role.INCIDENT_ANALYZER: review.review,
    Role.HOTFIX: hotfix.play,
    Role.PRODUCTION_FIXER: fixer.escalate,
}


class Builtin:
    """Implements `agents.engine.Engine`; `folder` keeps the workspaces warm between runs."""

    name = workbench.ENGINE

    def __init__(self, box: sandbox.Sandbox, folder: Path) -> None:
        self._sandbox = box
        self._folder = folder

    def plays(self, role: Role) -> bool:
        """Tell whether it plays a role; escalation and a plan's words need judgement."""
        return role in ROLES

    def run(self, role: Role, case: Case, budget: Budget) -> reports.Report:
        """Return the report of the role; raises `errors.HalonError` if it could not run."""
        if role not in ROLES:
            raise errors.PermanentFailure(
                f"The builtin engine does not play the role {role.value!r}."
            )
        with self._opened(case, budget) as bench:
            return ROLES[role](bench)

    def fix(self, case: Case, budget: Budget) -> tuple[reports.Report, ...]:
        """Return diagnosis, patch and its test report, as far as they go."""
        with self._opened(case, budget) as bench:
            found = diagnose.diagnose(bench)
            bench.case = replace(case, diagnosis=found)
            mended = remedy.patch(bench)
            if isinstance(mended, reports.NoPatch):
                return found, mended
            bench.case = replace(bench.case, patch=mended)
            return found, mended, testing.test(bench)

    def _opened(self, case: Case, budget: Budget) -> AbstractContextManager[Workbench]:
        return workbench.opened(case, self._sandbox, self._folder, Deadline(budget.seconds))
