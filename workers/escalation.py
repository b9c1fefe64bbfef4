"""The escalate stage: production-fixer, given everything that was tried, and then people.

Called by `workers.stages`. A patch of his goes to the tests like any other; without one a person is
told what was tried, what production runs, what was measured, and what to type.
"""

from collections.abc import Iterator
from dataclasses import replace

from agents.case import Attempt, Case
from agents.engine import Role
from incidents import entries, errors, reports
from incidents.models import EntryKind, Outcome, Stage, StageRun, TimelineEntry
from incidents.stages import Ending
from workers import captures, cases, playing
from workers.job import Job

SAID = 160  # characters of one attempt's own words


def escalate(job: Job) -> Ending:
    """Let production-fixer try what nobody tried, and hand over what came of it.

    The builtin engine answers with an escalation, a model with a patch or with why there is none.
    """
    try:
        made = playing.play(job, Role.PRODUCTION_FIXER, more=lambda known: _more(job, known))
    except errors.PermanentFailure as error:
        # No repository, no service: nothing can be tried, and people are called all the same.
        return Ending(Outcome.NOTHING, human=_human(job, None, error.message))
    content = made.model_dump(mode="json")
    patched = isinstance(made, reports.Patch) or (
        isinstance(made, reports.Escalation) and made.patch is not None
    )
    return Ending(
        Outcome.PATCHED if patched else Outcome.NOTHING,
        report=content,
        entries=(entries.report(Stage.ESCALATE, content),),
        human=_human(job, made),
        engine=job.engine.name,
    )


def _more(job: Job, known: Case) -> Case:
    return replace(
        known,
        attempts=tuple(attempts(job)),
        environments=cases.environments(job.service, job.incident),
        captures=captures.take(job.service),
        replaying=None,  # an earlier escalation's: this one is to think of another
    )


def attempts(job: Job) -> Iterator[Attempt]:
    """Yield what the stages of this incident did and how each ended, oldest first."""
    for run in job.office.incidents.runs(job.incident.number):
        if run.id == job.run.id or run.outcome is None:
            continue
        report = reports.load(run.report) if run.report else None
        keys: tuple[str, ...] = ()
        if isinstance(report, reports.Escalation):
            keys = tuple(one.key for one in report.experiments if one.finished)
        yield Attempt(f"{run.stage.value} {run.attempt}", _ended(run, report), keys)


def _ended(run: StageRun, report: reports.Report | None) -> str:
    outcome = run.outcome.value if run.outcome else "no end"
    said = run.error or ""
    match report:
        case reports.Diagnosis() | reports.TestReport() | reports.Escalation():
            said = report.summary
        case reports.Patch():
            said = report.title
        case reports.NoPatch():
            said = report.reason
        case _:
            pass
    said = " ".join(said.split())
    short = said if len(said) <= SAID else f"{said[: SAID - 2].rstrip()} …"
    return f"{outcome} ({short})" if short else outcome


def _human(job: Job, made: reports.Report | None, unable: str = "") -> str:
    """Say the least that a person needs, the most important first: messages are cut."""
    found = made if isinstance(made, reports.Escalation) else None
    timeline = job.office.timeline.entries(job.incident.number)
    parts = [
        found.summary
        if found and found.solved
        else f"Production-fixer could not look. {unable}"
        if unable
        else "Production-fixer did not find the cause either.",
        _production(timeline),
        found.diagnosis.recommended if found and found.diagnosis else "",
        "`/incident mitigated WHAT` records what stopped the harm, `/incident escalate WHAT` looks "
        "again with what you add, `/incident resolve` ends it.",
        f"It would have to know {found.needs[0]}." if found and found.needs else "",
    ]
    return " ".join(part for part in parts if part)


def _production(timeline: list[TimelineEntry]) -> str:
    """Say which version serves since a take-back, and whether it is the broken one."""
    back = next((e for e in reversed(timeline) if e.kind is EntryKind.TAKEN_BACK), None)
    if back is None or "revision" not in back.content:
        return ""
    revision = str(back.content["revision"])[:12]
    if back.content.get("broken"):
        return f"Production is back on {revision}, the version with the incident: users are hurt."
    return (
        f"Production runs {revision}, the last good version, since {back.at:%H:%M} UTC: check "
        "whether users are still hurt, and expect that the next ordinary deploy brings it back."
    )
