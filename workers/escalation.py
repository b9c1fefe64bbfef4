"""The escalate stage: the production-fixer's try where an engine plays it, else over to people.

Called by `workers.stages`. Whoever gets it is told what was tried and how production stands.
"""

from agents.engine import Role
from incidents import entries, reports
from incidents.models import EntryKind, Outcome, Stage, TimelineEntry
from incidents.stages import Ending
from workers import cases, playing
from workers.job import Job


def escalate(job: Job) -> Ending:
    """Let the production-fixer try, where there is a diagnosis to start from; else hand over."""
    known = cases.latest(job.office, job.incident, Stage.DIAGNOSE, reports.Diagnosis)
    if known is None or not job.engine.plays(Role.PRODUCTION_FIXER):
        return _handed_over(job)
    made = playing.play(job, Role.PRODUCTION_FIXER)
    content = made.model_dump(mode="json")
    told = (entries.report(job.run.stage, content),)
    if isinstance(made, reports.Patch):
        return Ending(Outcome.PATCHED, report=content, entries=told, engine=made.engine)
    over = _handed_over(job)
    return Ending(over.outcome, report=content, entries=told, human=over.human, engine=made.engine)


def _handed_over(job: Job) -> Ending:
    """Say what was tried, what production runs, and what to type."""
    timeline = job.office.timeline.entries(job.incident.number)
    parts = ["Halon has no further step of its own.", _production(timeline), _tried(job)]
    parts.append(
        "The reports above hold the evidence and the gaps. `/incident mitigated WHAT` records what "
        "stopped the harm, `/incident resolve` ends it."
    )
    return Ending(Outcome.NOTHING, human=" ".join(part for part in parts if part))


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


def _tried(job: Job) -> str:
    tried = [
        f"{run.stage.value} {run.attempt}: {run.outcome.value}"
        for run in job.office.incidents.runs(job.incident.number)
        if run.id != job.run.id and run.outcome is not None
    ]
    return f"Tried: {'; '.join(tried)}." if tried else ""
