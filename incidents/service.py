"""The only way to change an incident: each change and its timeline entry are one transaction.

Called by bot commands, stages and the controller. Who may do it is `incidents.policy`, asked by the
caller before; what may follow what is `incidents.lifecycle`, enforced here.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import insert, select, update

from incidents import clocks, entries, errors, following, lifecycle, moves, rows, schema, timeline
from incidents.changes import Changes
from incidents.models import (
    MACHINE,
    Duty,
    EntryKind,
    Incident,
    Json,
    Person,
    RolloutState,
    RunState,
    ServiceRole,
    Severity,
    Stage,
    StageClock,
    StageRun,
    Status,
)
from incidents.store import Tx
from incidents.timeline import Draft

_I, _S, _R = schema.incident, schema.incident_service, schema.stage_run
_PART, _FOLLOWS = insert(_S), insert(schema.conversation)
FIRST_ROLE = ServiceRole.SUSPECTED
SEEN_AS_CAUSE = (ServiceRole.SUSPECTED, ServiceRole.CAUSE)


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


class Incidents(Changes):
    """Reads and changes incidents."""

    def open(self, opening: Opening) -> Incident:
        """Open an incident and queue its first stage, or return the one its key already opened."""
        with self._store.write() as tx:
            incident = _insert(tx, opening)
            if incident is None:
                return rows.incident(tx.run(select(_I).where(_I.c.key == opening.key)).one())
            return _opened(tx, incident, opening)

    def get(self, number: int) -> Incident:
        """Return an incident; raises `errors.NotFound`."""
        with self._store.read() as tx:
            return rows.get_incident(tx, number)

    def find(self, text: str) -> Incident:
        """Return the incident that "INC-4", "inc 4" or "4" names; raises `errors.NotFound`."""
        found = re.fullmatch(r"(?:inc)?[\s#-]*(\d{1,9})", text.strip(), re.I | re.A)
        if found is None:
            raise errors.NotFound(f"{text!r} names no incident; write it as INC-4.")
        return self.get(int(found[1]))

    def list(self, live_only: bool = True) -> Sequence[Incident]:
        """Return incidents by severity, then age."""
        where = (_I.c.status.in_(sorted(lifecycle.LIVE)),) if live_only else ()
        with self._store.read() as tx:
            found = tx.run(select(_I).where(*where).order_by(_I.c.severity, _I.c.number)).all()
        return [rows.incident(row) for row in found]

    def services(self, incident: int) -> dict[str, ServiceRole]:
        """Return the services of an incident and what each is to it."""
        with self._store.read() as tx:
            found = tx.run(select(_S).where(_S.c.incident == incident).order_by(_S.c.service)).all()
        return {row.service: row.role for row in found}

    def set_service(
        self, incident: int, service: str, person: Person, role: ServiceRole = ServiceRole.SUSPECTED
    ) -> Incident:
        """Name a service's part; a suspect becomes the incident's if none is named, or by a human.

        Runs that waited for a service to be named go on with it.
        """
        with self._store.write() as tx:
            before = rows.lock_incident(tx, incident)
            moves.heard(tx, before, person)
            _take_part(tx, incident, service, role)
            named = before.service is None or moves.is_human(person)
            main = service if role in SEEN_AS_CAUSE and named else before.service
            if main is not None and main != before.service:
                moves.put(tx, incident, service=main)
                _go_on_with(tx, incident, main)
            content = {"service": service, "role": role.value, "main": main == service}
            timeline.append(tx, incident, Draft(EntryKind.SERVICE, content), person)
            return rows.get_incident(tx, incident)

    def note(self, incident: int, person: Person, text: str) -> None:
        """Append what a person says."""
        with self._store.write() as tx:
            moves.heard(tx, rows.lock_incident(tx, incident), person)
            timeline.append(tx, incident, Draft(EntryKind.NOTE, {"text": text}), person)

    def acknowledge(self, incident: int, person: Person) -> Incident:
        """Record that a person has seen it; again changes nothing."""
        with self._store.write() as tx:
            before = rows.lock_incident(tx, incident)
            if not timeline.said_before(tx, incident, EntryKind.STATUS, f"ack-{person}"):
                moves.heard(tx, before, person)
                draft = Draft(EntryKind.STATUS, {"acknowledged": True}, f"ack-{person}")
                timeline.append(tx, incident, draft, person)
            return rows.get_incident(tx, incident)

    def own(
        self,
        incident: int,
        person: Person,
        duty: Duty = Duty.COMMANDER,
        handover: Json | None = None,
    ) -> Incident:
        """Give a person a duty; `handover` is where things stand, told when it changes hands."""
        with self._store.write() as tx:
            before = rows.lock_incident(tx, incident)
            moves.heard(tx, before, person)
            had: Person | None = getattr(before, duty.value)
            if had != person:
                moves.put(tx, incident, **{duty.value: person})
                content = {"from": str(had) if had else None, "to": str(person)}
                told = {"handover": handover} if had and handover else {}
                content_of_duty = content | {"duty": duty.value} | told
                timeline.append(tx, incident, Draft(EntryKind.OWNER, content_of_duty), person)
            return rows.get_incident(tx, incident)

    def change_severity(self, incident: int, severity: Severity, person: Person) -> Incident:
        """Change the severity; only a person may."""
        _only_people(person, incident, "change a severity; Halon suggests one")
        with self._store.write() as tx:
            before = rows.lock_incident(tx, incident)
            moves.heard(tx, before, person)
            moves.put(tx, incident, severity=severity, severity_typed=True)
            content = {"from": before.severity.value, "to": severity.value}
            timeline.append(tx, incident, Draft(EntryKind.SEVERITY, content), person)
            return rows.get_incident(tx, incident)

    def declare_emergency(self, incident: int, person: Person) -> Incident:
        """Take the emergency path with an open incident: P0, stabilise, diagnose."""
        _only_people(person, incident, "declare an emergency")
        with self._store.write() as tx:
            before = rows.lock_incident(tx, incident)
            if before.status not in lifecycle.HURT:
                raise errors.WrongState(
                    f"{before.id} is {before.status.value}, so there is nothing to stabilise; "
                    "`/incident reopen` says that it is back.",
                    incident_id=before.id,
                )
            moves.heard(tx, before, person)
            values = {"severity": Severity.P0, "severity_typed": True, "emergency": True}
            moves.put(tx, incident, **values)
            content = {"from": before.severity.value, "to": Severity.P0.value, "emergency": True}
            timeline.append(tx, incident, Draft(EntryKind.SEVERITY, content), person)
            following.queue(tx, incident, Stage.CONTAIN)
            if not _is_diagnosed(tx, incident):
                following.queue(tx, incident, Stage.DIAGNOSE)
            return rows.get_incident(tx, incident)

    def set_onset(self, incident: int, onset: datetime, actor: Person = MACHINE) -> Incident:
        """Record since when it fails, as evidence has it."""
        with self._store.write() as tx:
            before = rows.lock_incident(tx, incident)
            if before.onset != onset:
                moves.put(tx, incident, onset=onset)
                content = {"onset": onset.isoformat()}
                timeline.append(tx, incident, Draft(EntryKind.SUGGESTED, content, "onset"), actor)
            return rows.get_incident(tx, incident)

    def make_private(self, incident: int, private: bool, person: Person) -> Incident:
        """Hide an incident from all but its responders, or show it again."""
        with self._store.write() as tx:
            rows.lock_incident(tx, incident)
            moves.put(tx, incident, private=private)
            content = {"private": private}
            timeline.append(tx, incident, Draft(EntryKind.STATUS, content), person)
            return rows.get_incident(tx, incident)

    def retry(self, incident: int, person: Person) -> StageRun:
        """Run again what ended without a way on: the last stage, or the escalation after it."""
        with self._store.write() as tx:
            before = rows.lock_incident(tx, incident)
            if before.status not in lifecycle.LIVE and before.status is not Status.RESOLVED:
                raise errors.WrongState(
                    f"{before.id} is {before.status.value}; `/incident reopen` comes first.",
                    incident_id=before.id,
                )
            runs = [rows.run(row) for row in tx.run(rows.select_runs(_R.c.incident == incident))]
            if live := [one for one in runs if one.state not in schema.ENDED_RUNS]:
                raise errors.WrongState(
                    f"{before.id} is at work on {live[-1].stage.value}; nothing waits for a retry.",
                    incident_id=before.id,
                )
            ended = [one for one in runs if one.stage is not Stage.CONTAIN]
            stage = lifecycle.again(ended[-1].stage, ended[-1].outcome) if ended else Stage.TRIAGE
            return following.queue_by(tx, incident, stage, person)

    def run_role(self, incident: int, stage: Stage, person: Person, words: str) -> StageRun:
        """Run one stage for itself: its report is posted, and nothing follows from it.

        A rollout cannot be half a thing: `deploy` goes on as always, with its questions.
        """
        with self._store.write() as tx:
            before = rows.lock_incident(tx, incident)
            moves.heard(tx, before, person)
            mine = (_R.c.incident == incident, _R.c.stage == stage, moves.live())
            if tx.run(select(_R.c.id).where(*mine)).first() is not None:
                raise errors.WrongState(
                    f"{before.id} is at work on {stage.value} already.", incident_id=before.id
                )
            run = following.queue(tx, incident, stage)
            content = {"text": words, "alone": stage.value}
            subject = None if stage is Stage.DEPLOY else entries.alone(run.id)
            timeline.append(tx, incident, Draft(EntryKind.NOTE, content, subject), person)
            return run

    def needs_human(self, incident: int, sentence: str, actor: Person = MACHINE) -> Incident:
        """Say what a human must do now; cleared by the next human change of status or stage."""
        with self._store.write() as tx:
            rows.lock_incident(tx, incident)
            moves.need_human(tx, incident, sentence, actor, {})
            return rows.get_incident(tx, incident)

    def mitigated(self, incident: int, person: Person, what: str) -> Incident:
        """Record that users are no longer hurt; raises `errors.WrongState`."""
        with self._store.write() as tx:
            before = rows.lock_incident(tx, incident)
            moves.move(tx, before, Status.MITIGATED, person, {"what": what})
            return rows.get_incident(tx, incident)

    def resolve(self, incident: int, person: Person, what: str = "") -> Incident:
        """Resolve and queue the review; refused while a rollout is open (`errors.WrongState`)."""
        with self._store.write() as tx:
            before = rows.lock_incident(tx, incident)
            _refuse_open_rollout(tx, before)
            moves.move(tx, before, Status.RESOLVED, person, {"what": what})
            moves.call_off(tx, incident, person)
            following.queue(tx, incident, Stage.REVIEW)
            return rows.get_incident(tx, incident)

    def close(self, incident: int, person: Person) -> Incident:
        """Close a resolved incident; only a person may."""
        _only_people(person, incident, "close an incident")
        with self._store.write() as tx:
            before = rows.lock_incident(tx, incident)
            moves.move(tx, before, Status.CLOSED, person, {})
            return rows.get_incident(tx, incident)

    def cancel(self, incident: int, person: Person, why: str) -> Incident:
        """Call it off: open rollouts are to be taken back, running stages stop between steps."""
        with self._store.write() as tx:
            before = rows.lock_incident(tx, incident)
            moves.move(tx, before, Status.CANCELLED, person, {"why": why})
            moves.call_off(tx, incident, person)
            return rows.get_incident(tx, incident)

    def merge(self, incident: int, into: int, person: Person) -> Incident:
        """Continue in another incident; the rest is as `cancel`."""
        if incident == into:
            raise errors.WrongState(f"INC-{into} cannot be merged into itself.")
        with self._store.write() as tx:
            both = {number: rows.lock_incident(tx, number) for number in sorted((incident, into))}
            moves.move(tx, both[incident], Status.MERGED, person, {"into": both[into].id})
            moves.put(tx, incident, merged_into=into)
            moves.call_off(tx, incident, person)
            content = {"text": "", "merged": both[incident].id}
            timeline.append(tx, into, Draft(EntryKind.NOTE, content), person)
            return rows.get_incident(tx, incident)

    def reopen(self, incident: int, person: Person, why: str) -> Incident:
        """Open it again at triage; what was tried before no longer counts against the limits."""
        with self._store.write() as tx:
            before = rows.lock_incident(tx, incident)
            moves.move(tx, before, Status.REOPENED, person, {"why": why})
            moves.call_off(tx, incident, person)
            following.queue(tx, incident, lifecycle.first_stage(before.emergency))
            return rows.get_incident(tx, incident)

    def overdue(self, incident: int, stage: Stage, twice: bool) -> bool:
        """Say once per stage and level that it is past its target; True when newly said."""
        subject = f"{stage.value}-{'twice' if twice else 'once'}"
        with self._store.write() as tx:
            rows.lock_incident(tx, incident)
            if timeline.said_before(tx, incident, EntryKind.OVERDUE, subject):
                return False
            content = {"stage": stage.value, "twice": twice}
            timeline.append(tx, incident, Draft(EntryKind.OVERDUE, content, subject), MACHINE)
            return True

    def clocks(self, incident: int) -> tuple[StageClock, ...]:
        """Return working and waiting time per stage against the targets, as of now."""
        with self._store.read() as tx:
            found = tx.run(rows.select_runs(_R.c.incident == incident))
            runs = [rows.run(row) for row in found]
            full = clocks.reached(timeline.decisions(tx, incident))
            severity = rows.get_incident(tx, incident).severity
            return clocks.stage_clocks(runs, severity, tx.now, full)

    def runs(self, incident: int) -> Sequence[StageRun]:
        """Return every stage run of an incident, oldest first."""
        with self._store.read() as tx:
            return [rows.run(row) for row in tx.run(rows.select_runs(_R.c.incident == incident))]


def _insert(tx: Tx, opening: Opening) -> Incident | None:
    severity = opening.severity or Severity.P2
    made = tx.insert_new(
        _I,
        {
            "key": opening.key,
            "title": opening.title,
            "severity": severity,
            "severity_typed": opening.severity is not None,
            "status": Status.OPEN,
            "service": opening.service,
            "opened_at": tx.now,
            "onset": opening.onset,
            "reporter": opening.reporter,
            "private": opening.private,
            "emergency": opening.emergency,
            "drill": opening.drill,
            "source": opening.source,
            "salt": secrets.token_hex(16),
        },
    )
    if made is None:
        return None
    incident = rows.incident(made)
    tx.held.add(incident.number)  # nobody else sees it yet
    return incident


def _opened(tx: Tx, incident: Incident, opening: Opening) -> Incident:
    number = incident.number
    title = timeline.redacted(tx, number, incident.title)
    if title != incident.title:
        moves.put(tx, number, title=title)
    if opening.service is not None:
        tx.run(_PART, {"incident": number, "service": opening.service, "role": FIRST_ROLE})
    for name in dict.fromkeys((f"web:INC-{number}", *opening.conversations)):
        tx.run(_FOLLOWS, {"incident": number, "name": name})
    content = {
        "title": title,
        "severity": (opening.severity or Severity.P2).value,
        "severity_typed": opening.severity is not None,
        "service": opening.service,
        "emergency": opening.emergency,
        "drill": opening.drill,
        "source": opening.source,
    }
    timeline.append(tx, number, Draft(EntryKind.OPENED, content), opening.reporter)
    if opening.stage is not None:
        skips = opening.emergency and opening.stage is Stage.TRIAGE
        first = lifecycle.first_stage(opening.emergency) if skips else opening.stage
        if opening.emergency:  # before the diagnosis: it takes a second, and that one minutes
            following.begin(tx, incident, Stage.CONTAIN)
        following.begin(tx, incident, first)
    return replace(incident, title=title)


def _take_part(tx: Tx, incident: int, service: str, role: ServiceRole) -> None:
    where = (_S.c.incident == incident, _S.c.service == service)
    if not tx.change(update(_S).where(*where).values(role=role)):
        tx.run(_PART, {"incident": incident, "service": service, "role": role})


def _go_on_with(tx: Tx, incident: int, service: str) -> None:
    unnamed = (_R.c.incident == incident, _R.c.service.is_(None), moves.live())
    waits = tx.run(select(_R.c.id).where(*unnamed, _R.c.state == RunState.WAITING)).scalars().all()
    tx.run(update(_R).where(*unnamed).values(service=service))
    ready = {"state": RunState.READY, "woken_at": None, "not_before": None}
    tx.run(update(_R).where(_R.c.id.in_(waits)).values(**ready))


def _is_diagnosed(tx: Tx, incident: int) -> bool:
    where = (_R.c.incident == incident, _R.c.stage == Stage.DIAGNOSE, _R.c.outcome.is_not(None))
    return tx.run(select(_R.c.id).where(*where).limit(1)).first() is not None


def _refuse_open_rollout(tx: Tx, incident: Incident) -> None:
    rollout = schema.rollout
    open_ = (
        select(rollout.c.id, rollout.c.state, _R.c.stage)
        .join(_R, _R.c.id == rollout.c.stage_run)
        .where(
            rollout.c.incident == incident.number,
            rollout.c.state.not_in(schema.ENDED_ROLLOUTS),
        )
    )
    # An offer that nobody took has moved nothing; calling off drops it.
    offer = (RolloutState.PLANNED, Stage.CONTAIN)
    found = next((one for one in tx.run(open_) if (one.state, one.stage) != offer), None)
    if found is not None:
        raise errors.WrongState(
            f"{incident.id} has the open rollout {found.id!r}; let it end or take it back first.",
            incident_id=incident.id,
        )


def _only_people(person: Person, incident: int, what: str) -> None:
    if not moves.is_human(person):
        raise errors.NotAllowed(f"Only a person may {what}.", incident_id=f"INC-{incident}")
