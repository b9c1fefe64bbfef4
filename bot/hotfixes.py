"""What `/hotfix` asks for: a containment of typed words, or verify, ship and drop of one.

Called by `bot.commands`. It writes what was asked into the timeline and queues the urgent stage,
which alone knows how; nothing here reads a repository.
"""

from dataclasses import dataclass

from bot.parsing import HOTFIX_ACTIONS, TITLE_LIMIT, Command
from bot.said import Said
from incidents import entries, errors
from incidents.models import Act, EntryKind, Incident, Person, Severity, Stage, TimelineEntry
from incidents.service import Incidents, Opening
from incidents.stages import Stages
from incidents.timeline import Timeline

ACTS = {"verify": Act.HOTFIX, "drop": Act.HOTFIX, "ship": Act.SHIP}
SAID = {
    "contain": "is being contained now",
    "verify": "is checked again now",
    "ship": "is handed to deploy",
    "drop": "is being taken out",
}


def act_of(command: Command) -> Act:
    """Return what a person must be allowed to do."""
    return ACTS.get(command.text, Act.HOTFIX)


def opened(incidents: Incidents, command: Command, person: Person, key: str) -> Incident:
    """Return the incident of typed words, whose one stage is the hotfix; once per key."""
    lines = [line.strip() for line in command.text.splitlines() if line.strip()]
    return incidents.open(
        Opening(
            title=(lines[-1] if lines[0].startswith("Traceback") else lines[0])[:TITLE_LIMIT],
            reporter=person,
            key=key,
            severity=command.severity or Severity.P1,
            service=command.service,
            source="hotfix",
            conversations=() if command.place is None else (command.place,),
            stage=None,
        )
    )


@dataclass(frozen=True)
class Desk:
    """The store's faces that a hotfix is asked through."""

    incidents: Incidents
    stages: Stages
    timeline: Timeline


def _asked(timeline: Timeline, incident: Incident) -> list[TimelineEntry]:
    entries_ = timeline.entries(incident.number)
    return [one for one in entries_ if one.kind is EntryKind.HOTFIX]


def asked(desk: Desk, incident: Incident, command: Command, person: Person, key: str) -> Said:
    """Write what is wanted and queue the stage; the same key asks once."""
    act = command.text if command.text in HOTFIX_ACTIONS else "contain"
    words = command.text if act == "contain" else ""
    draft = entries.hotfix(act, words, key)
    made = [run for run in desk.incidents.runs(incident.number) if run.stage is Stage.HOTFIX]
    before = _asked(desk.timeline, incident)
    if draft.subject not in [one.subject for one in before]:
        if any(run.finished_at is None for run in made):
            raise errors.WrongState(
                "A hotfix is under way here; wait for its report.", incident_id=incident.id
            )
        desk.timeline.append_once(incident.number, draft, person)
    if len(made) < len(_asked(desk.timeline, incident)):
        # Also for a repetition after a crash, which finds what was only written.
        desk.stages.queue_stage(incident.number, Stage.HOTFIX, person)
    return Said(f"{incident.id} {SAID[act]}.", True, incident.id)
