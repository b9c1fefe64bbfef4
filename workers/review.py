"""The review stage: the blameless RCA from the timeline, its action items, and what is remembered.

Called by `workers.stages`. A human edits and publishes; nothing here names a person as a cause.
"""

from datetime import timedelta
from pathlib import Path

from agents import case
from agents.builtin import review as reviewing
from agents.engine import Role
from incidents import crash, entries, errors, models, reports
from incidents.models import MACHINE, KnownIncident, Outcome, Stage
from incidents.stages import Ending
from workers import cases, playing
from workers.job import Job
from workers.office import Office

FILED = crash.register("review.filed", "the action items are stored, the review is not ended")


def review(job: Job) -> Ending:
    """Write the review and file what follows from it."""
    made = case_of(job.office, job.incident)
    written: reports.Report
    if job.incident.service is None:  # nothing to look into: the timeline alone tells
        written = reviewing.write(made)
    else:
        written = playing.play(job, Role.INCIDENT_ANALYZER, made.history)
    if not isinstance(written, reports.Review):
        raise errors.PermanentFailure(f"{job.engine.name} answered with a {written.kind}")
    _file(job, written)
    _remember(job)
    crash.point(FILED)
    content = written.model_dump(mode="json")
    return Ending(
        Outcome.DONE,
        report=content,
        entries=(entries.report(Stage.REVIEW, content),),
        engine=written.engine,
    )


def case_of(desk: Office, incident: models.Incident) -> case.Case:
    """Return all that a review is written from; it needs no repository."""
    service = desk.services.get(incident.service or "")
    return case.Case(
        repository=Path(),
        title=incident.title,
        incident=incident.id,
        severity=incident.severity,
        onset=incident.onset,
        owners=service.owners if service else (),
        diagnosis=cases.diagnosis(desk, incident),
        patch=cases.patch(desk, incident),
        history=_history(desk, incident),
    )


def _history(desk: Office, incident: models.Incident) -> case.History:
    number = incident.number
    clocks = desk.incidents.clocks(number)
    rollouts = [
        desk.rollouts.get(rollout_id) for rollout_id in _rollouts(desk.timeline.entries(number))
    ]
    return case.History(
        incident=desk.incidents.get(number),
        timeline=tuple(desk.timeline.entries(number)),
        tests=cases.latest(desk, incident, Stage.TEST, reports.TestReport),
        plan=cases.latest(desk, incident, Stage.DEPLOY, reports.DeploymentPlan),
        rollout=rollouts[-1] if rollouts else None,
        stage_times=tuple(
            reports.StageTime(
                stage=clock.stage.value,
                target_seconds=None if clock.target is None else clock.target.total_seconds(),
                working_seconds=clock.working.total_seconds(),
                waiting_seconds=clock.waiting.total_seconds(),
            )
            for clock in clocks
        ),
        costs=tuple(desk.costs.by_role(number)),
    )


def _rollouts(timeline: list[models.TimelineEntry]) -> list[str]:
    """Return the rollouts that the timeline speaks of, in order."""
    named = [str(entry.content["rollout"]) for entry in timeline if entry.content.get("rollout")]
    return list(dict.fromkeys(named))


def _file(job: Job, written: reports.Review) -> None:
    now = job.office.store.now()
    for item in written.action_items:
        job.office.action_items.add(
            job.incident.number,
            item.text,
            item.owner,
            now + timedelta(days=item.due_days),
            item.check,
            MACHINE,
        )


def _remember(job: Job) -> None:
    found = cases.diagnosis(job.office, job.incident)
    patch = cases.patch(job.office, job.incident)
    if found is None or found.fingerprint is None:
        return
    job.office.known.remember(
        KnownIncident(
            fingerprint=found.fingerprint,
            incident=job.incident.number,
            title=job.incident.title,
            cause=found.root_cause.statement if found.root_cause else found.summary,
            remedy=patch.title if patch else "none",
        )
    )
