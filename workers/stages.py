"""THE MAIN FLOW: one wake-up runs one stage of one incident, from claim to what follows.

The RQ worker calls `Runner` with a stage run's id. The table `STAGES` names the function of every
stage; what comes next is `incidents.lifecycle`, applied where the run is finished. Workers never
post and never move traffic. A broad `except` stands here, at the stage boundary, and nowhere below.
"""

import errno
import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from agents import sandbox
from agents.engine import Engine, Role
from incidents import entries, errors, lifecycle, mitigations, reports
from incidents.models import MACHINE, Incident, Outcome, Stage, StageRun, Verdict
from incidents.settings import Service
from incidents.stages import Claimed, Ending
from incidents.steps import Steps
from incidents.store import Store
from workers import (
    contain,
    deploy,
    engines,
    escalation,
    hotfix,
    office,
    playing,
    review,
    triage,
)
from workers.heartbeat import Heartbeat
from workers.job import Job
from workers.office import Office
from workers.settings import WorkerSettings

log = logging.getLogger(__name__)

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
OUTCOMES = {
    Verdict.CONFIRMED: Outcome.CONFIRMED,
    Verdict.LIKELY: Outcome.LIKELY,
    Verdict.INCONCLUSIVE: Outcome.INCONCLUSIVE,
    Verdict.NO_CODE_CAUSE: Outcome.NO_CODE_CAUSE,
}


@dataclass(frozen=True)
class Runner:
    """Runs stages in forked children: settings and store are made once, before the first fork."""

    settings: WorkerSettings
    store: Store

    def warm_up(self) -> None:
        """Do once what every stage begins with, and leave no connection open.

        A database that does not answer yet, or a mistake in halon.toml, is the first stage's to
        tell.
        """
        try:
            office.over(self.store, self.settings, "").stages.rehearse()
        except errors.HalonError as error:
            log.warning("the first stage will take a moment longer: %s", error.message)
        finally:
            self.store.close()

    def run_stage(self, run_id: int) -> None:
        """Run a stage if it is still to be run; a second wake-up of the same run does nothing."""
        try:
            self._run(run_id, office.over(self.store, self.settings, office.owner_of_parent()))
        finally:
            self.store.close()

    def _run(self, run_id: int, desk: Office) -> None:
        lease = timedelta(seconds=self.settings.lease_seconds)
        claimed = desk.stages.claim(run_id, desk.owner, lease)
        if claimed is None:
            return
        with Heartbeat(desk.stages, run_id, claimed.run.fence, lease):
            try:
                box = sandbox.choose(self.settings.sandbox)
                engine = engines.choose(self.settings, desk, claimed, box)
            except errors.PermanentFailure as error:
                _failed(desk, claimed, error.message)
                return
            work(desk, claimed, engine)


def work(desk: Office, claimed: Claimed, engine: Engine) -> None:
    """Run the stage of a claimed run and record how it ended."""
    run = claimed.run
    try:
        ending = _ending(desk, claimed, engine)
        if ending is not None:
            desk.stages.finish(run.id, run.fence, ending)
    except errors.StaleFence:
        log.warning("run %s belongs to another worker now; stopped", run.id)
    except errors.TemporaryFailure as error:
        _again(desk, claimed, error)
    except errors.HalonError as error:
        _failed(desk, claimed, error.message)
    except Exception as error:
        log.exception("stage %s of %s failed", run.stage, claimed.incident.id)
        _failed(desk, claimed, _own(error))


def _ending(desk: Office, claimed: Claimed, engine: Engine) -> Ending | None:
    run, incident = claimed.run, claimed.incident
    job = Job(
        desk,
        run,
        incident,
        _service(desk, run, incident),
        Steps(desk.store, run.id, run.fence),
        engine,
    )
    target = lifecycle.target(incident.severity, run.stage)
    # Once, however many workers died on this run.
    started = entries.stage_started(run, engine.name, target)
    desk.timeline.append_once(incident.number, started, MACHINE)
    try:
        return STAGES[run.stage](job)
    except errors.Cancelled:
        return Ending(Outcome.CANCELLED)


def _service(desk: Office, run: StageRun, incident: Incident) -> Service:
    """Return the service of a run; a review can be written of an incident that names none."""
    name = run.service or incident.service
    if name is None and run.stage is Stage.REVIEW:
        return Service(name="unnamed", repository="")
    return desk.service(name)


def diagnose(job: Job) -> Ending:
    """Find the cause and prove it."""
    found = playing.play(job, Role.BUG_DIAGNOSTICIAN)
    if not isinstance(found, reports.Diagnosis):
        raise errors.PermanentFailure(f"{job.engine.name} answered with a {found.kind}")
    return _reported(job, found, OUTCOMES[found.verdict], human=_advice(found, job.service))


def patch(job: Job) -> Ending:
    """Make the smallest safe change, or say why there is none."""
    made = playing.play(job, Role.PATCH_DEVELOPER)
    outcome = Outcome.PATCHED if isinstance(made, reports.Patch) else Outcome.NONE_SAFE
    return _reported(job, made, outcome)


def test(job: Job) -> Ending:
    """Try the patch in five ways."""
    tested = playing.play(job, Role.HOTFIX_TESTER)
    if not isinstance(tested, reports.TestReport):
        raise errors.PermanentFailure(f"{job.engine.name} answered with a {tested.kind}")
    return _reported(job, tested, Outcome.APPROVE if tested.approve else Outcome.REJECT)


STAGES: dict[Stage, Callable[[Job], Ending | None]] = {
    Stage.TRIAGE: triage.triage,
    Stage.CONTAIN: contain.offer,
    Stage.DIAGNOSE: diagnose,
    Stage.PATCH: patch,
    Stage.TEST: test,
    Stage.DEPLOY: deploy.plan,  # both answer None: the controller goes on from there
    Stage.REVIEW: review.review,
    Stage.ESCALATE: escalation.escalate,
    Stage.HOTFIX: hotfix.hotfix,
}


def _reported(job: Job, report: reports.Report, outcome: Outcome, human: str = "") -> Ending:
    content = report.model_dump(mode="json")
    return Ending(
        outcome,
        report=content,
        entries=(entries.report(job.run.stage, content),),
        human=human,
        engine=report.engine,
    )


def _advice(found: reports.Diagnosis, service: Service) -> str:
    """Return what a human must do when the table calls for one."""
    where = found.root_cause.dependency if found.root_cause else None
    place = f"Look at {where}" if where else "Look at the evidence"
    named = mitigations.offered(service)
    offered = f"To stop the harm: {named}. " if named else ""
    return (
        f"{found.summary} {place}; no patch is proposed. {offered}"
        "`/incident mitigated WHAT` records what stopped the harm, then `/incident resolve`."
    )


def _again(desk: Office, claimed: Claimed, error: errors.TemporaryFailure) -> None:
    run = claimed.run
    try:
        again = desk.stages.retry(run.id, run.fence, error.retry_after, error.message)
    except errors.StaleFence:
        log.warning("run %s belongs to another worker now; stopped", run.id)
        return
    if again is None:
        _failed(desk, claimed, error.message)


def _own(error: Exception) -> str:
    """Return the sentence for an error that nobody translated."""
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return f"There is no room left on the disk ({error.strerror}); make room there."
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}:{place.lineno}"
    return f"An error of Halon's own ({type(error).__name__} in {where}); its log has the rest."


def _failed(desk: Office, claimed: Claimed, message: str) -> None:
    """End the run as failed; when even that is not ours to write any more, someone else goes on."""
    run = claimed.run
    trouble = entries.trouble(
        f"The stage {run.stage.value} could not finish: {message}",
        "Mend that, then open the incident again, and Halon looks anew; or go on by hand: "
        "`/incident mitigated WHAT`, `/incident resolve`. Nothing recorded is lost.",
    )
    try:
        desk.stages.finish(
            run.id,
            run.fence,
            Ending(Outcome.FAILED, entries=(trouble,), human=message, error=message),
        )
    except errors.StaleFence:
        log.warning("run %s belongs to another worker now; stopped", run.id)
