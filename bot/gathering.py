"""Reads from the store what a message or a card needs besides its entry.

Called by the poster, in a thread: every call blocks. Only reads, and only what the kind of entry
asks for.
"""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import ValidationError

from bot.card import View
from bot.render import OF_A_QUESTION, PICTURED, Context, target
from bot.story import Told, told
from incidents import errors, mitigations, policy, reports
from incidents.approvals import Approvals
from incidents.models import (
    Act,
    Approval,
    EntryKind,
    Incident,
    Json,
    Rollout,
    RunState,
    Stage,
    TimelineEntry,
)
from incidents.policy import OPERATOR, Access
from incidents.rollouts import Rollouts
from incidents.service import Incidents
from incidents.stages import Stages
from incidents.timeline import Timeline

CALLING = (EntryKind.QUESTION, EntryKind.NEEDS_HUMAN, EntryKind.HELD, EntryKind.OVERDUE)


@dataclass(frozen=True)
class Gathering:
    """The store's faces that messages are made from."""

    incidents: Incidents
    timeline: Timeline
    stages: Stages
    approvals: Approvals
    rollouts: Rollouts
    access: Callable[[], Access]
    now: Callable[[], datetime]  # the database's clock

    def context(self, entry: TimelineEntry) -> Context:
        """Return what the message of an entry needs."""
        incident = self.incidents.get(entry.incident)
        found = self._context(entry, incident)
        return replace(found, called=self._called(entry, incident)) if _asks(entry) else found

    def _called(self, entry: TimelineEntry, incident: Incident) -> tuple[str, ...]:
        """Return whom an entry asks to act: its approvers, else the commander, else responders."""
        if entry.kind is EntryKind.QUESTION:
            return approvers(entry.content.get("service"), self.access())
        if entry.kind is EntryKind.OVERDUE and (asked := self.approvals.pending(incident.number)):
            return approvers(asked[-1].service, self.access())  # again: they did not answer
        if incident.commander is not None:
            return (str(incident.commander),)
        known = self.access().services.get(incident.service or "")
        people = known.responders.model_dump() if known else {}
        return tuple(f"{platform}:{user}" for platform, users in people.items() for user in users)

    def _context(self, entry: TimelineEntry, incident: Incident) -> Context:
        if entry.kind in OF_A_QUESTION:
            return self._of_question(entry, incident)
        if entry.kind in PICTURED:
            return self._of_rollout(entry, incident)
        if entry.kind is EntryKind.PROGRESS:
            return Context(incident, started=self._started(entry))
        return Context(incident)

    def _of_question(self, entry: TimelineEntry, incident: Incident) -> Context:
        approval = self._approval(entry)
        rollout = self._rollout(entry.content.get("rollout"))
        return Context(
            incident,
            approval=approval,
            approvers=approvers(entry.content.get("service"), self.access()),
            needed=self._needed(approval, incident),
            rollout=rollout,
            tests=self._tests(incident.number),
            counts=self._counts(entry) if rollout is not None else None,
            mitigation=_mitigation(entry, self.access()),
        )

    def _needed(self, approval: Approval | None, incident: Incident) -> int:
        if approval is None:
            return 1
        return policy.quorum(approval.act, approval.service, incident.severity, self.access())

    def _of_rollout(self, entry: TimelineEntry, incident: Incident) -> Context:
        rollout = self._rollout(entry.content.get("rollout"))
        if rollout is None:
            return Context(incident, counts=self._counts(entry))
        return Context(
            incident,
            rollout=rollout,
            counts=self._counts(entry),
            buckets=tuple(self.rollouts.buckets(rollout.id)),
            told=self._told(entry, rollout),
        )

    def _told(self, entry: TimelineEntry, rollout: Rollout) -> Told:
        before = [
            one for one in self.timeline.entries(entry.incident) if one.sequence <= entry.sequence
        ]
        return told(before, rollout.id)

    def _approval(self, entry: TimelineEntry) -> Approval | None:
        try:
            return self.approvals.get(str(entry.content.get("approval")))
        except errors.NotFound:
            return None

    def _rollout(self, rollout_id: object) -> Rollout | None:
        try:
            return self.rollouts.get(rollout_id) if isinstance(rollout_id, str) else None
        except errors.NotFound:
            return None

    def _tests(self, incident: int) -> reports.TestReport | None:
        run = self.stages.last(incident, Stage.TEST)
        if run is None or run.report is None:
            return None
        try:
            report = reports.load(run.report)
        except ValidationError:
            return None
        return report if isinstance(report, reports.TestReport) else None

    def _counts(self, entry: TimelineEntry) -> Json | None:
        """Return both versions' figures of the last phase that had any, up to this entry."""
        found = None
        for one in self.timeline.entries(entry.incident):
            if one.sequence > entry.sequence:
                break
            if one.kind is not EntryKind.PHASE or "canary" not in one.content:
                continue
            same = one.content.get("rollout") == entry.content.get("rollout")
            if same and one.content["canary"].get("requests") is not None:
                found = one.content
        return found

    def _started(self, entry: TimelineEntry) -> Json:
        """Return what was said when the stage of a progress entry began; the last word counts."""
        began: Json = {}
        for one in self.timeline.entries(entry.incident):
            if one.kind is EntryKind.STAGE_STARTED and target(one) == target(entry):
                began |= one.content
        return began

    def superseded(self, incident: int) -> list[TimelineEntry]:
        """Return the questions that no longer take an answer although nobody gave one."""
        asked = {
            str(entry.content.get("approval")): entry
            for entry in self.timeline.entries(incident)
            if entry.kind is EntryKind.QUESTION
        }
        return [entry for entry in asked.values() if self._is_superseded(entry)]

    def _is_superseded(self, entry: TimelineEntry) -> bool:
        approval = self._approval(entry)
        return approval is None or approval.state.value == "superseded"

    def view(self, number: int) -> View:
        """Return an incident as its card shows it now."""
        incident = self.incidents.get(number)
        runs = self.incidents.runs(number)
        rolling = self.rollouts.open_rollouts(incident=number)
        rollout = rolling[-1] if rolling else None
        return View(
            incident=incident,
            now=self.now(),
            clocks=self.incidents.clocks(number),
            waits=any(run.state is RunState.WAITING for run in runs),
            pending=tuple(self.approvals.pending(number)),
            approvers=approvers(incident.service, self.access()),
            rollout=rollout,
            buckets=() if rollout is None else tuple(self.rollouts.buckets(rollout.id)),
            triage=_triage(self.timeline.entries(number)),
        )


def _asks(entry: TimelineEntry) -> bool:
    """Return whether people are called by an entry; each is said once, so each calls once."""
    return entry.kind in CALLING


def _mitigation(entry: TimelineEntry, access: Access) -> Json | None:
    """Return what a question about a named mitigation has to show, as halon.toml has it now."""
    service = access.services.get(str(entry.content.get("service")))
    if entry.content.get("act") != Act.MITIGATE.value or service is None:
        return None
    scope = str(entry.content["scope"])
    found = service.mitigations.get(scope.removeprefix(mitigations.UNDO))
    if found is None:
        return None
    again = scope.startswith(mitigations.UNDO) or found.undo is None
    command = shlex.join(mitigations.argv(found, scope))
    return {"risk": found.risk, "command": command, "undo": not again}


def approvers(service: str | None, access: Access) -> tuple[str, ...]:
    """Return who may say yes for a service, as platform and user id."""
    known = access.services.get(service or "")
    people = known.approvers.model_dump() if known else {}
    named = tuple(f"{platform}:{user}" for platform, users in people.items() for user in users)
    operator = str(OPERATOR)
    if access.chat_configured or operator in named:
        return named
    return (operator, *named)


def _triage(entries: Sequence[TimelineEntry]) -> tuple[float, float | None, datetime] | None:
    for entry in reversed(entries):
        if entry.kind is EntryKind.SUGGESTED and entry.content.get("share") is not None:
            return entry.content["share"], entry.content.get("baseline"), entry.at
    return None
