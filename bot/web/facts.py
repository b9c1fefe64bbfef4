"""What the page knows of one incident at one moment, read from the store in one go.

Called in a thread by `bot.web.live` and the API, at most about once a second per incident however
many people look. Only reads; who may see an incident is decided here, by `incidents.policy`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from bot.web.room import Room
from incidents import errors
from incidents.models import (
    Act,
    ActionItem,
    Approval,
    Bucket,
    EntryKind,
    Incident,
    Json,
    Person,
    Rollout,
    RunState,
    Stage,
    StageClock,
    StageRun,
    TimelineEntry,
)
from incidents.policy import Allowed, may

LIVE_RUNS = (RunState.READY, RunState.LEASED, RunState.WAITING)
OF_A_ROLLOUT = (EntryKind.PHASE, EntryKind.HELD, EntryKind.TAKEN_BACK, EntryKind.QUESTION)


@dataclass(frozen=True)
class Facts:
    """One incident with everything beside its thread, as of `now`."""

    incident: Incident
    now: datetime
    entries: tuple[TimelineEntry, ...]
    runs: tuple[StageRun, ...]
    clocks: tuple[StageClock, ...]
    asked: tuple[Approval, ...]  # the questions that still take an answer
    rollout: Rollout | None  # the open one, else the last
    buckets: tuple[Bucket, ...]
    cost: Decimal
    items: tuple[ActionItem, ...] = ()  # follow-ups, by due date

    @property
    def current(self) -> StageRun | None:
        """The stage run that is worked on or waits, newest first."""
        return next((run for run in reversed(self.runs) if run.state in LIVE_RUNS), None)

    def last(self, kind: EntryKind) -> TimelineEntry | None:
        """Return the newest entry of a kind whose content has not been purged."""
        found = (entry for entry in reversed(self.entries) if entry.kind is kind)
        return next((entry for entry in found if "purged" not in entry.content), None)

    def report(self, stage: Stage) -> Json | None:
        """Return the newest report of a stage as the timeline tells it: redacted, or purged."""
        told = (entry for entry in reversed(self.entries) if entry.kind is EntryKind.REPORT)
        found = (entry.content for entry in told if entry.content.get("stage") == stage.value)
        return next((content["report"] for content in found if "report" in content), None)


def read(room: Room, number: int) -> Facts:
    """Read an incident; raises `errors.NotFound`."""
    incident = room.incidents.get(number)
    entries = tuple(room.timeline.entries(number))
    rollout = _rollout(room, number, entries)
    return Facts(
        incident=incident,
        now=room.now(),
        entries=entries,
        runs=tuple(room.incidents.runs(number)),
        clocks=room.incidents.clocks(number),
        asked=tuple(room.approvals.pending(number)),
        rollout=rollout,
        buckets=() if rollout is None else tuple(room.rollouts.buckets(rollout.id)),
        cost=room.costs.total(number),
        items=tuple(room.action_items.list(number)),
    )


def _rollout(room: Room, number: int, entries: Sequence[TimelineEntry]) -> Rollout | None:
    if rolling := room.rollouts.open_rollouts(incident=number):
        return rolling[-1]
    told = (entry for entry in reversed(entries) if entry.kind in OF_A_ROLLOUT)
    ids = (entry.content.get("rollout") for entry in told)
    last = next((rollout for rollout in ids if isinstance(rollout, str)), None)
    try:
        return None if last is None else room.rollouts.get(last)
    except errors.NotFound:
        return None  # asked for, and never made


def may_see(room: Room, incident: Incident, person: Person) -> bool:
    """Return whether a person may see an incident; a private one is for its responders."""
    act = Act.OWN if incident.private else Act.STATUS
    return isinstance(may(act, person, incident.service, room.access()), Allowed)


def visible(room: Room, person: Person) -> list[Incident]:
    """Return the incidents that a person may see: live ones by severity, then the rest, newest."""
    live = [one for one in room.incidents.list() if may_see(room, one, person)]
    shown = {one.number for one in live}
    ended = [one for one in room.incidents.list(live_only=False) if one.number not in shown]
    ended.sort(key=lambda one: one.number, reverse=True)
    return live + [one for one in ended if may_see(room, one, person)][:50]


def find(room: Room, text: str, person: Person) -> Incident:
    """Return the incident that "INC-4" names; one that may not be seen does not exist."""
    incident = room.incidents.find(text)
    if not may_see(room, incident, person):
        raise errors.NotFound(f"There is no incident {text!r}.", incident_id=incident.id)
    return incident
