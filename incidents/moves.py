"""Changes of an incident inside a transaction that someone else opened.

Used by `service` (people) and `following` (the table). Each function writes the change and its
timeline entry; what may follow what is asked of `lifecycle`.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from incidents import errors, lifecycle, rows, schema, timeline
from incidents.models import (
    Act,
    ApprovalState,
    EntryKind,
    Incident,
    Json,
    Person,
    Platform,
    RunState,
    Status,
)
from incidents.store import Tx
from incidents.timeline import Draft

_I, _R = schema.incident, schema.stage_run


def is_human(person: Person) -> bool:
    """Return whether a person, not a program, acts."""
    return person.platform is not Platform.MACHINE and not person.bot


def put(tx: Tx, number: int, **values: Any) -> None:
    """Change columns of an incident; every caller writes the entry that tells of it."""
    tx.run(update(_I).where(_I.c.number == number).values(**values))


def heard(tx: Tx, incident: Incident, person: Person) -> None:
    """Record the first human act: it ends the time to acknowledge."""
    if is_human(person) and incident.acknowledged_at is None:
        put(tx, incident.number, acknowledged_at=tx.now)


def move(tx: Tx, incident: Incident, to: Status, actor: Person, extra: Json) -> None:
    """Change the status as `lifecycle.MOVES` allows, else raise `errors.WrongState`."""
    if to not in lifecycle.MOVES[incident.status]:
        raise errors.WrongState(
            f"{incident.id} is {incident.status.value} and cannot become {to.value}.",
            incident_id=incident.id,
        )
    stamps: dict[Status, dict[str, datetime | None]] = {
        Status.MITIGATED: {"mitigated_at": tx.now},
        # Resolved without a word of mitigation: users stopped being hurt now at the latest.
        Status.RESOLVED: {"resolved_at": tx.now, "mitigated_at": incident.mitigated_at or tx.now},
        Status.REOPENED: {"reopened_at": tx.now, "mitigated_at": None, "resolved_at": None},
    }
    put(tx, incident.number, status=to, needs_human=None, **stamps.get(to, {}))
    heard(tx, incident, actor)
    content = {"from": incident.status.value, "to": to.value} | extra
    timeline.append(tx, incident.number, Draft(EntryKind.STATUS, content), actor)


def need_human(tx: Tx, number: int, sentence: str, actor: Person, extra: Json) -> None:
    """Say what a human must do now."""
    sentence = timeline.redacted(tx, number, sentence)  # pages show the row as well
    put(tx, number, needs_human=sentence)
    content = {"sentence": sentence} | extra
    timeline.append(tx, number, Draft(EntryKind.NEEDS_HUMAN, content), actor)


def call_off(tx: Tx, number: int, actor: Person) -> None:
    """Stop what runs: take open rollouts back, drop open questions, stop runs between steps."""
    rolling = ask_take_back(tx, number, actor)
    approval = schema.approval
    tx.run(
        update(approval)
        .where(
            approval.c.incident == number,
            approval.c.state.in_(
                [ApprovalState.ASKED, ApprovalState.WITHDRAWN, ApprovalState.GRANTED]
            ),
        )
        .values(state=ApprovalState.SUPERSEDED)
    )
    for run in tx.run(rows.select_runs(_R.c.incident == number, live())).all():
        idle = run.state in (RunState.READY, RunState.WAITING) and run.id not in rolling
        values: Json = {"cancel": True}
        if idle:  # nobody is there to see the flag
            values |= {"state": RunState.CANCELLED, "finished_at": tx.now, "outcome": "cancelled"}
        tx.run(update(_R).where(_R.c.id == run.id).values(**values))


def ask_take_back(tx: Tx, number: int, actor: Person) -> set[int]:
    """Ask the controller to take every open rollout back; return the runs that wait for one."""
    rollout = schema.rollout
    where = (rollout.c.incident == number, rollout.c.state.not_in(schema.ENDED_ROLLOUTS))
    found = tx.run(select(rollout.c.stage_run).where(*where)).scalars().all()
    tx.run(update(rollout).where(*where).values(request=Act.TAKE_BACK, request_by=actor))
    return set(found)


def live() -> Any:
    """Return the condition that a stage run has not ended."""
    return _R.c.state.not_in(schema.ENDED_RUNS)
