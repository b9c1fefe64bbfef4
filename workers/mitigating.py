"""Runs a named mitigation after its yes: once, with a limit on its time, then its check.

Called by the controller alone, which verifies the yes. A command that was begun and whose end
nobody saw is never begun again: its check says how it stands, or a person has to look.
"""

import logging
import time

from incidents import crash, entries, errors, lifecycle, mitigations
from incidents.mitigations import UNDO
from incidents.models import MACHINE, Act, Approval, EntryKind, RolloutState
from incidents.settings import Mitigation, Service
from rollout import hooks
from rollout.hooks import Hooks
from workers.office import Office

log = logging.getLogger(__name__)
BEGUN = crash.register("mitigation.begun", "the yes is spent, nobody knows whether it was run")
STEP = "run"
PAUSE_SECONDS = 1.0  # between two looks of a check: many things take a moment to show


class Mitigating:
    """Carries out what was approved; one instance per controller process."""

    def __init__(self, desk: Office) -> None:
        self._desk = desk
        self._mine: set[str] = set()  # begun by this process

    def due(self) -> list[Approval]:
        """Return what was approved and has not ended, oldest first; forged ones never."""
        found = self._desk.approvals.of_act(Act.MITIGATE)
        return [one for one in found if one.id not in self._mine and not self._ended(one)]

    def carry_out(self, approval: Approval) -> None:
        """Run it, or find out how one stands that an earlier controller began."""
        self._mine.add(approval.id)
        try:
            service = self._desk.service(approval.service)
            found = mitigations.find(service, approval.scope)
            named = mitigations.digest(service, approval.scope)
        except (errors.NotFound, errors.PermanentFailure) as error:
            self._end(approval, "failed", f"Not run: {error.message}")
            return
        if named != approval.patch_digest:
            said = "Not run: halon.toml was changed since it was approved. Ask for it again."
            self._end(approval, "failed", said)
        elif approval.used_for is not None:
            self._look(approval, found)
        elif self._busy(service):
            self._mine.discard(approval.id)
        else:
            self._run(approval, found)

    def _busy(self, service: Service) -> bool:
        """Tell whether a rollout moves the service: one thing at a time changes production."""
        rolling = self._desk.rollouts.open_rollouts(service.name)
        return any(one.state is not RolloutState.PLANNED for one in rolling)

    def _run(self, approval: Approval, found: Mitigation) -> None:
        try:
            self._desk.approvals.use(approval.id, STEP)
        except (errors.WrongState, errors.NotAllowed) as error:
            log.warning("mitigation %s: %s", approval.scope, error.message)
            return
        crash.point(BEGUN)
        argv = mitigations.argv(found, approval.scope)
        problem = _problem(argv, found.seconds)
        if problem:
            self._end(approval, "failed", problem)
        else:
            self._look(approval, found, ran=True)

    def _look(self, approval: Approval, found: Mitigation, *, ran: bool = False) -> None:
        """Say how it stands, by its check."""
        undoing = approval.scope.startswith(UNDO)
        if found.check is None or undoing:
            known = "It was run; nothing checks it: look whether it works."
            unknown = "It was begun and its end was not seen: look by hand before anything else."
            self._end(approval, "unchecked" if ran else "unknown", known if ran else unknown)
            return
        problem = _checked(found.check, found.seconds)
        if problem:
            words = f"It was run, and its check fails: {problem}"
            self._end(approval, "no effect", words)
        else:
            self._end(approval, "works", "It was run, and its check passes.")

    def _end(self, approval: Approval, state: str, words: str) -> None:
        told = entries.mitigation(approval.id, approval.scope, state, words, self._undo(approval))
        self._desk.timeline.append_once(approval.incident, told, MACHINE)
        incident = self._desk.incidents.get(approval.incident)
        helps = state == "works" and not approval.scope.startswith(UNDO)
        if helps and incident.status in lifecycle.HURT:
            what = f"the mitigation {approval.scope} works by its check"
            self._desk.incidents.mitigated(approval.incident, MACHINE, what)

    def _undo(self, approval: Approval) -> str | None:
        """Return the command that undoes it, None where there is none."""
        service = self._desk.services.get(approval.service)
        found = service.mitigations.get(approval.scope) if service else None
        return f"/incident mitigate {UNDO}{approval.scope}" if found and found.undo else None

    def _ended(self, approval: Approval) -> bool:
        subject = f"mitigation-{approval.id}"
        return self._desk.timeline.said(approval.incident, EntryKind.MITIGATION, subject)


def _problem(argv: tuple[str, ...], seconds: float) -> str:
    """Run a command once; return what was wrong, "" for nothing."""
    hook = Hooks({"mitigation": argv}, {}, hooks.kept_environment())
    try:
        hooks.run(hook, "mitigation", {}, seconds)
    except (errors.TemporaryFailure, errors.PermanentFailure) as error:
        return error.message
    return ""


def _checked(argv: tuple[str, ...], seconds: float) -> str:
    """Run a check until it passes or its time is over; return its last problem, "" for none."""
    end = time.monotonic() + seconds
    while True:
        problem = _problem(argv, max(0.1, end - time.monotonic()))
        if not problem or time.monotonic() + PAUSE_SECONDS >= end:
            return problem
        time.sleep(PAUSE_SECONDS)
