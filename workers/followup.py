"""What a step of a rollout means for people and for the incident, once production has moved.

Called by `workers.traffic` after each step, and again when a step was begun and not ended:
approvals spent, questions asked, the stage run ended, the fix delivered. All may be repeated.
"""

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from incidents import crash, entries, errors
from incidents.approvals import Question
from incidents.models import (
    MACHINE,
    Act,
    Incident,
    Json,
    Outcome,
    Result,
    Rollout,
    RolloutState,
    RunState,
    Stage,
)
from incidents.reports import Diagnosis
from incidents.rollouts import RolloutEvent
from incidents.stages import Ending
from rollout import canary, wiring
from rollout.canary import Do, Seen, Step, Timing
from workers import cases, warrant
from workers.office import Office

MERGED = crash.register("fix.merged", "the fix is on the release branch, and nothing says so")
log = logging.getLogger(__name__)

ENDED = (RunState.FINISHED, RunState.FAILED, RunState.CANCELLED)
RESUME = "resume"  # the scope that lets a held canary go on


@dataclass(frozen=True)
class Begun:
    """A step as its event in the store tells it; enough to end it in another life."""

    do: Do
    seen: Seen
    reason: str
    next_percent: int | None
    gate: Result | None
    call_people: bool
    request: Act | None  # of a person, obeyed by this step
    sequence: int
    at: datetime


def content(step: Step, rollout: Rollout) -> Json:
    """Return what is written down of a step before it is done."""
    return {
        "seen": step.seen.value,
        "reason": step.reason,
        "phase": step.phase,
        "to": step.to,
        "next_percent": step.next_percent,
        "gate": None if step.report is None else step.report.result.value,
        "call_people": step.call_people,
        "request": None if rollout.request is None else rollout.request.value,
    }


def read(event: RolloutEvent) -> Begun | None:
    """Return the step that an event begins, None for other events."""
    told = event.content
    if event.kind not in set(Do) or "seen" not in told:
        return None
    return Begun(
        do=Do(event.kind),
        seen=Seen(told["seen"]),
        reason=told["reason"],
        next_percent=told["next_percent"],
        gate=None if told["gate"] is None else Result(told["gate"]),
        call_people=bool(told["call_people"]),
        request=None if told["request"] is None else Act(told["request"]),
        sequence=event.sequence,
        at=event.at,
    )


class FollowUp:
    """Carries out what follows from steps."""

    def __init__(self, desk: Office, timing: Timing) -> None:
        self._desk, self._timing = desk, timing

    def of(self, rollout: Rollout, begun: Begun, fence: int) -> None:
        """Do what follows from one step; `rollout` is as it is after the step."""
        if begun.do is Do.SHIFT:
            self._spend(rollout, str(rollout.phase))
        if begun.do is Do.RESUME:
            self._spend(rollout, f"{RESUME} {rollout.phase}")
        if begun.do is Do.ASK and begun.next_percent is not None:
            self._ask(rollout, begun, str(begun.next_percent))
        if begun.request is not None and begun.do in (Do.HOLD, Do.TAKE_BACK, Do.CANCEL):
            self._desk.rollouts.clear_request(rollout.id, fence, begun.request)
        if begun.do is Do.HOLD and begun.gate is not Result.FAIL:
            self._ask(rollout, begun, f"{RESUME} {rollout.phase}")
        try:
            self._move_run(rollout, begun)
        except errors.StaleFence:  # of the run, not ours: production goes on being watched
            log.warning("rollout %s: its stage run was ended by someone else", rollout.id)

    def _move_run(self, rollout: Rollout, begun: Begun) -> None:
        run = self._desk.stages.get(rollout.stage_run)
        if begun.do is Do.HOLD and begun.call_people:
            held = Ending(Outcome.HELD, human=_held(begun))
            self._desk.stages.milestone(run.id, run.fence, held)
        if begun.do is Do.MITIGATED:
            reached = Outcome.VERIFIED if run.stage is Stage.CONTAIN else Outcome.FULL
            self._desk.stages.milestone(run.id, run.fence, Ending(reached))
        if rollout.state in canary.TERMINAL:
            self._end(rollout, begun)

    def _spend(self, rollout: Rollout, scope: str) -> None:
        given = self._desk.approvals.granted(rollout.id, scope, scope)
        if given is not None:
            self._desk.approvals.use(given.id, scope)

    def _ask(self, rollout: Rollout, begun: Begun, scope: str) -> None:
        found = self._diagnosis(self._desk.incidents.get(rollout.incident))
        self._desk.approvals.ask(
            Question(
                incident=rollout.incident,
                service=rollout.service,
                act=Act.EXPAND,
                scope=scope,
                patch_digest=rollout.patch_digest,
                plan_hash=rollout.plan_hash,
                key=f"{rollout.id}-{begun.sequence}",
                rollout=rollout.id,
                verdict=found.verdict if found else None,
                gate=begun.gate,
                expires=self._timing.approval,
            )
        )

    def _diagnosis(self, incident: Incident) -> Diagnosis | None:
        return cases.diagnosis(self._desk, incident)

    def _end(self, rollout: Rollout, begun: Begun) -> None:
        """End the stage run; what follows then is the lifecycle's to say."""
        if rollout.state is RolloutState.DONE:
            self._deliver(rollout)
        run = self._desk.stages.get(rollout.stage_run)
        if run.state in ENDED:
            return
        outcome, human = _outcome(rollout, begun), _human(rollout, begun)
        if run.stage is Stage.CONTAIN and outcome is Outcome.DONE:
            outcome = Outcome.VERIFIED
        if run.stage is Stage.CONTAIN and outcome is Outcome.FAILED:
            # The table lets the diagnosis go on; production must not wait for it.
            self._desk.incidents.needs_human(rollout.incident, human)
        ending = Ending(outcome, report=rollout.plan, human=human)
        self._desk.stages.finish(run.id, run.fence, ending)

    def _deliver(self, rollout: Rollout) -> None:
        """Bring the fix to the release branch, so that the next ordinary deploy keeps it."""
        incident = self._desk.incidents.get(rollout.incident)
        service = self._desk.service(rollout.service)
        fix = warrant.fix_of(self._desk, rollout)
        if fix is None:
            return
        message = f"{fix.title}\n\nIncident: {incident.id}"
        try:
            delivery = wiring.delivery(service, self._desk.folder, self._desk.settings.credentials)
            merged = delivery.merge(delivery.branch(incident.id, fix, message), service.branch)
        except errors.PermanentFailure as error:
            self._undelivered(rollout, error.message)
            return
        if not merged.merged:
            self._undelivered(rollout, merged.text)
            return
        crash.point(MERGED)
        told = entries.delivered(service.branch, merged.revision or rollout.revision, merged.text)
        once = replace(told, subject=f"delivered-{rollout.id}")
        self._desk.timeline.append_once(incident.number, once, MACHINE)

    def _undelivered(self, rollout: Rollout, why: str) -> None:
        """Leave an open action item that names the risk, as `resolved` needs."""
        incident = self._desk.incidents.get(rollout.incident)
        service = self._desk.service(rollout.service)
        self._desk.action_items.add(
            incident.number,
            f"Bring the fix of {incident.id} into {service.branch}: until then the next "
            f"ordinary deploy brings the incident back. {why}",
            ", ".join(service.owners) or "the owners of the service",
            self._desk.store.now() + timedelta(days=1),
            None,
            MACHINE,
        )


def _outcome(rollout: Rollout, begun: Begun) -> Outcome:
    ends = {
        RolloutState.DONE: Outcome.DONE,
        RolloutState.TAKEN_BACK: Outcome.TAKEN_BACK,
        RolloutState.FAILED: Outcome.FAILED,
    }
    cancelled = {Seen.REFUSED: Outcome.REFUSED, Seen.SILENT: Outcome.EXPIRED}
    return ends.get(rollout.state) or cancelled.get(begun.seen, Outcome.CANCELLED)


def _held(begun: Begun) -> str:
    # The store says a milestone once; people are called for each hold by its own question.
    go_on = "" if begun.gate is Result.FAIL else "`/incident approve` lets it go on, "
    return f"The canary is held: {begun.reason}. {go_on}`/incident rollback` takes it back."


def _human(rollout: Rollout, begun: Begun) -> str:
    if rollout.state is RolloutState.FAILED:
        return (
            "Taking back did not work. Run the command of the deployment plan by hand, now: it "
            "needs nothing of Halon."
        )
    again = " `/incident retry` plans it again and asks anew." if begun.seen is Seen.SILENT else ""
    return f"The rollout ended: {begun.reason}.{again}"
