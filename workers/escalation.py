"""The escalate stage: hands over to people, with what was tried and how production stands.

Called by `workers.stages`. It has no step of its own beyond saying what a person needs to know now.
"""

from incidents.models import EntryKind, Outcome, TimelineEntry
from incidents.stages import Ending
from workers.job import Job


def escalate(job: Job) -> Ending:
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
