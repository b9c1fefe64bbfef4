"""The review stage: the blameless RCA from the timeline, its action items, and what is remembered.

Called by `workers.stages`. A human edits and publishes; nothing here names a person as a cause.
"""

from dataclasses import replace
from datetime import timedelta

from agents import case
from agents.engine import Role
from incidents import crash, entries, errors, models, reports
from incidents.models import MACHINE, KnownIncident, Outcome, Stage
from incidents.stages import Ending
from workers import cases
from workers.job import Job

FILED = crash.register("review.filed", "the action items are stored, the review is not ended")


def review(job: Job) -> Ending:
    """Write the review and file what follows from it."""
    with cases.repository(job.office, job.service) as mirror:
        made = cases.make(job.office, job.incident, job.service, mirror)
        made = replace(made, history=_history(job))
        stored = job.steps.step(
            Role.INCIDENT_ANALYZER.value,
            {"attempt": job.run.attempt},
            lambda: job.engine.run(Role.INCIDENT_ANALYZER, made, job.budget()).model_dump(
                mode="json"
            ),
        )
    written = reports.load(stored)
    if not isinstance(written, reports.Review):
        raise errors.PermanentFailure(f"{job.engine.name} answered with a {written.kind}")
    _file(job, written)
    _remember(job, made)
    crash.point(FILED)
    return Ending(
        Outcome.DONE,
        report=stored,
        entries=(entries.report(Stage.REVIEW, stored),),
        engine=job.engine.name,
    )


def _history(job: Job) -> case.History:
    number = job.incident.number
    clocks = job.office.incidents.clocks(number)
    rollouts = [
        job.office.rollouts.get(rollout_id)
        for rollout_id in _rollouts(job.office.timeline.entries(number))
    ]
    return case.History(
        incident=job.office.incidents.get(number),
        timeline=tuple(job.office.timeline.entries(number)),
        tests=cases.latest(job.office, job.incident, Stage.TEST, reports.TestReport),
        plan=cases.latest(job.office, job.incident, Stage.DEPLOY, reports.DeploymentPlan),
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


def _remember(job: Job, made: case.Case) -> None:
    found = made.diagnosis
    if found is None or found.fingerprint is None:
        return
    job.office.known.remember(
        KnownIncident(
            fingerprint=found.fingerprint,
            incident=job.incident.number,
            title=job.incident.title,
            cause=found.root_cause.statement if found.root_cause else found.summary,
            remedy=made.patch.title if made.patch else "none",
        )
    )
