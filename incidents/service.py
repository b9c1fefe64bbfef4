"""The only way to change an incident: each change and its timeline entry are one transaction.

Called by bot commands, stages and the controller. Who may do it is `incidents.policy`, asked by the
caller before; what may follow what is `incidents.lifecycle`, enforced here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from incidents.models import (
    MACHINE,
    Change,
    Incident,
    Person,
    ServiceRole,
    Severity,
    Stage,
    StageClock,
    StageRun,
)
from incidents.store import Store


@dataclass(frozen=True)
class Opening:
    """What is typed or detected when an incident opens; the same `key` is the same incident."""

    title: str
    reporter: Person
    key: str
    severity: Severity | None = None  # None: P2 until triage suggests
    service: str | None = None
    private: bool = False
    emergency: bool = False
    drill: bool = False
    source: str = "command"
    onset: datetime | None = None
    conversations: tuple[str, ...] = ()  # "<platform>:<place>"; web:INC-n is always added
    stage: Stage | None = Stage.TRIAGE  # the first stage; None for a hotfix or a single role


class Incidents:
    """Reads and changes incidents."""

    def __init__(self, store: Store) -> None:
        raise NotImplementedError

    def open(self, opening: Opening) -> Incident:
        """Open an incident and queue its first stage, or return the one its key already opened."""
        raise NotImplementedError

    def get(self, number: int) -> Incident:
        """Return an incident; raises `errors.NotFound`."""
        raise NotImplementedError

    def find(self, text: str) -> Incident:
        """Return the incident that "INC-4", "inc 4" or "4" names; raises `errors.NotFound`."""
        raise NotImplementedError

    def list(self, live_only: bool = True) -> Sequence[Incident]:
        """Return incidents by severity, then age."""
        raise NotImplementedError

    def services(self, incident: int) -> dict[str, ServiceRole]:
        """Return the services of an incident and what each is to it."""
        raise NotImplementedError

    def set_service(
        self, incident: int, service: str, person: Person, role: ServiceRole = ServiceRole.SUSPECTED
    ) -> Incident:
        """Name a service's part; the first suspected one becomes the incident's, and runs that waited for it go on."""
        raise NotImplementedError

    def note(self, incident: int, person: Person, text: str) -> None:
        """Append what a person says."""
        raise NotImplementedError

    def acknowledge(self, incident: int, person: Person) -> Incident:
        """Record that a person has seen it; again changes nothing."""
        raise NotImplementedError

    def own(self, incident: int, person: Person) -> Incident:
        """Make a person the commander."""
        raise NotImplementedError

    def change_severity(self, incident: int, severity: Severity, person: Person) -> Incident:
        """Change the severity; only a person may."""
        raise NotImplementedError

    def set_onset(self, incident: int, onset: datetime, actor: Person = MACHINE) -> Incident:
        """Record since when it fails, as evidence has it."""
        raise NotImplementedError

    def make_private(self, incident: int, private: bool, person: Person) -> Incident:
        """Hide an incident from all but its responders, or show it again."""
        raise NotImplementedError

    def needs_human(self, incident: int, sentence: str, actor: Person = MACHINE) -> Incident:
        """Say what a human must do now; cleared by the next human change of status or stage."""
        raise NotImplementedError

    def mitigated(self, incident: int, person: Person, what: str) -> Incident:
        """Record that users are no longer hurt; raises `errors.WrongState`."""
        raise NotImplementedError

    def resolve(self, incident: int, person: Person, what: str = "") -> Incident:
        """Resolve and queue the review; refused while a rollout is open (`errors.WrongState`)."""
        raise NotImplementedError

    def close(self, incident: int, person: Person) -> Incident:
        """Close a resolved incident; only a person may."""
        raise NotImplementedError

    def cancel(self, incident: int, person: Person, why: str) -> Incident:
        """Call it off: open rollouts are asked to be taken back, running stages stop between steps."""
        raise NotImplementedError

    def merge(self, incident: int, into: int, person: Person) -> Incident:
        """Continue in another incident; the rest is as `cancel`."""
        raise NotImplementedError

    def reopen(self, incident: int, person: Person, why: str) -> Incident:
        """Open it again at triage; what was tried before no longer counts against the limits."""
        raise NotImplementedError

    def overdue(self, incident: int, stage: Stage, twice: bool) -> bool:
        """Say once per stage and level that it is past its target; True when newly said."""
        raise NotImplementedError

    def record_change(self, change: Change, person: Person, incident: int | None = None) -> bool:
        """Record a change of a service, once; True when it is new."""
        raise NotImplementedError

    def changes(
        self, service: str, since: datetime, until: datetime | None = None
    ) -> Sequence[Change]:
        """Return recorded changes in order of time."""
        raise NotImplementedError

    def clocks(self, incident: int) -> tuple[StageClock, ...]:
        """Return working and waiting time per stage against the targets, as of now."""
        raise NotImplementedError

    def runs(self, incident: int) -> Sequence[StageRun]:
        """Return every stage run of an incident, oldest first."""
        raise NotImplementedError
