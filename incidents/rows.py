"""Rows of the store turned into the frozen values of `incidents.models`, and the other way round.

Used by the modules of this package; here and nowhere else column names meet field names.
"""

from dataclasses import fields
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Row, Select, bindparam, func, select

from incidents import errors, schema
from incidents.columns import parse_person
from incidents.models import (
    Approval,
    Bucket,
    Delivery,
    Incident,
    Json,
    Rollout,
    StageRun,
    TimelineEntry,
    Timer,
)
from incidents.store import Tx

V = TypeVar("V")
PURGED: Json = {"purged": True}

_INCIDENT = select(schema.incident).where(schema.incident.c.number == bindparam("this"))
_HELD_INCIDENT = _INCIDENT.with_for_update()


def value(kind: type[V], row: Row[Any], **instead: Any) -> V:
    """Return the frozen value whose fields are columns of the row; `instead` replaces some."""
    columns, names = row._mapping, _names(kind)  # type: ignore[arg-type] # classes have a hash
    return kind(**({name: columns[name] for name in names if name not in instead} | instead))


@cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def incident(row: Row[Any]) -> Incident:
    """Return an incident."""
    return value(Incident, row)


def entry(row: Row[Any]) -> TimelineEntry:
    """Return a timeline entry; purged content reads as such."""
    return value(TimelineEntry, row, content=PURGED if row.content is None else row.content)


def run(row: Row[Any]) -> StageRun:
    """Return a stage run of `select_runs`."""
    return value(StageRun, row, cost=Decimal(row.cost or 0))


def approval(row: Row[Any]) -> Approval:
    """Return an approval."""
    return value(Approval, row, agreed=tuple(map(parse_person, row.agreed or ())))


def rollout(row: Row[Any]) -> Rollout:
    """Return a rollout."""
    return value(Rollout, row, passed_phases=tuple(row.passed_phases))


def bucket(row: Row[Any]) -> Bucket:
    """Return a bucket; what was not measured stays None."""
    return value(
        Bucket,
        row,
        latencies_ms=None if row.latencies_ms is None else tuple(row.latencies_ms),
        histogram=None if row.histogram is None else tuple((le, n) for le, n in row.histogram),
        fingerprints=tuple((text, n) for text, n in row.fingerprints),
    )


def timer(row: Row[Any]) -> Timer:
    """Return a timer."""
    return value(Timer, row)


def delivery(row: Row[Any]) -> Delivery:
    """Return a delivery."""
    return value(Delivery, row)


def select_runs(*where: ColumnElement[bool]) -> Select[Any]:
    """Select stage runs with what each has cost, oldest first."""
    spent = (
        select(func.sum(schema.cost_entry.c.dollars))
        .where(schema.cost_entry.c.stage_run == schema.stage_run.c.id)
        .scalar_subquery()
        .label("cost")
    )
    return select(schema.stage_run, spent).where(*where).order_by(schema.stage_run.c.id)


def get_run(tx: Tx, run_id: int) -> StageRun:
    """Return one stage run; raises `errors.NotFound`."""
    row = tx.run(select_runs(schema.stage_run.c.id == run_id)).first()
    if row is None:
        raise errors.NotFound(f"There is no stage run {run_id}.")
    return run(row)


def get_incident(tx: Tx, number: int) -> Incident:
    """Return one incident; raises `errors.NotFound`."""
    return _found(tx.run(_INCIDENT, {"this": number}).first(), number)


def lock_incident(tx: Tx, number: int) -> Incident:
    """Return one incident, held until the transaction ends.

    Every change takes this lock first: sequences have no gaps, and PostgreSQL meets no deadlock.
    """
    locked = _found(tx.run(_HELD_INCIDENT, {"this": number}).first(), number)
    tx.held.add(number)
    return locked


def hold_incident(tx: Tx, number: int) -> None:
    """Take an incident's lock unless this transaction has it; raises `errors.NotFound`."""
    if number not in tx.held:
        lock_incident(tx, number)


def _found(row: Row[Any] | None, number: int) -> Incident:
    if row is None:
        raise errors.NotFound(f"There is no incident INC-{number}.", incident_id=f"INC-{number}")
    return incident(row)
