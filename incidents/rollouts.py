"""Rollouts as stored: the row, its events and its buckets. The controller alone moves one.

`fence` is the leader lease's: a leader with a lower one than stored gets `errors.StaleFence`.
People ask (`request`); they never move traffic themselves. What the controller saves carries its
seal: built without the key, this class can plan and ask, and what it saves counts as nobody's.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, func, literal, or_, select, update

from incidents import approvals, effects, errors, mac, rows, schema, stages, timeline
from incidents.models import MACHINE, Act, Bucket, Json, Person, Rollout, RolloutState
from incidents.rows import value
from incidents.store import Store, Tx
from incidents.timeline import Draft

_R, _E = schema.rollout, schema.rollout_event
REQUESTS = (Act.HOLD, Act.TAKE_BACK)
# What a tick may not change: who it belongs to, and what people asked for meanwhile.
FIXED = (
    *("id", "incident", "stage_run", "service", "created_at"),
    *("fence", "request", "request_by", "seal"),
)


@dataclass(frozen=True)
class RolloutEvent:
    """One recorded step of a rollout."""

    sequence: int
    at: datetime
    kind: str
    content: Json


class Rollouts:
    """Reads and moves rollouts."""

    def __init__(self, store: Store, key: bytes | None = None) -> None:
        self._store, self._key = store, key

    def create(self, rollout: Rollout, run_fence: int) -> Rollout:
        """Store a planned rollout of a deploy run; the same id again returns the stored one.

        The plan's hash is set here (`approvals.digest`), and `created_at` is the database's time.
        Raises `errors.WrongState` while the service has another open one, `errors.StaleFence`.
        """
        with self._store.write() as tx:
            rows.lock_incident(tx, rollout.incident)
            stages.guarded(tx, rollout.stage_run, run_fence, stages.OURS)
            made = {
                "plan_hash": approvals.digest(rollout.plan),
                "created_at": tx.now,
                "fence": 0,
                "request": None,
                "request_by": None,
                "seal": None,
            }
            if tx.insert_new(_R, _row(rollout) | made) is None and not _known(tx, rollout.id):
                raise errors.WrongState(
                    f"{rollout.service!r} has another open rollout; let it end or take it back.",
                    incident_id=f"INC-{rollout.incident}",
                )
            return _get(tx, rollout.id)

    def get(self, rollout_id: str) -> Rollout:
        """Return a rollout; raises `errors.NotFound`."""
        with self._store.read() as tx:
            return _get(tx, rollout_id)

    def open_rollouts(
        self, service: str | None = None, incident: int | None = None
    ) -> list[Rollout]:
        """Return rollouts that have not ended, oldest first."""
        where: list[ColumnElement[bool]] = [_R.c.state.not_in(schema.ENDED_ROLLOUTS)]
        if service is not None:
            where.append(_R.c.service == service)
        if incident is not None:
            where.append(_R.c.incident == incident)
        with self._store.read() as tx:
            found = tx.run(select(_R).where(*where).order_by(_R.c.created_at, _R.c.id)).all()
        return [rows.rollout(row) for row in found]

    def unreported(self) -> list[Rollout]:
        """Return rollouts that have ended while their stage run still waits: a crash between."""
        run = schema.stage_run
        with self._store.read() as tx:
            found = tx.run(
                select(_R)
                .join(run, run.c.id == _R.c.stage_run)
                .where(_R.c.state.in_(schema.ENDED_ROLLOUTS), run.c.state.not_in(schema.ENDED_RUNS))
                .order_by(_R.c.created_at, _R.c.id)
            ).all()
        return [rows.rollout(row) for row in found]

    def save(
        self, rollout: Rollout, fence: int, event: str, content: Json, entries: Sequence[Draft] = ()
    ) -> Rollout:
        """Store the state after a tick, its event and entries; people's requests stay untouched."""
        with self._store.write() as tx:
            rows.lock_incident(tx, rollout.incident)
            moved = {name: got for name, got in _row(rollout).items() if name not in FIXED}
            # Pages show the row as well, and a new error is quoted in it.
            moved["reason"] = timeline.redacted(tx, rollout.incident, rollout.reason)
            # A latch never opens: a stale copy of the row cannot undo a FAIL.
            moved["latched"] = or_(_R.c.latched, literal(rollout.latched))
            _fenced(tx, rollout.id, fence, **moved)
            _add_event(tx, rollout.id, event, content)
            for draft in entries:
                timeline.append(tx, rollout.incident, draft, MACHINE)
            if self._key is not None:
                seal = mac.seal(self._key, _get(tx, rollout.id))
                _put(tx, (_R.c.id == rollout.id,), seal=seal)
            return _get(tx, rollout.id)

    def is_ours(self, rollout: Rollout) -> bool:
        """Tell whether the controller wrote this; a plan that waits for its yes is a worker's."""
        if rollout.state is RolloutState.PLANNED:
            return True
        return self._key is not None and mac.is_sealed(self._key, rollout)

    def events(self, rollout_id: str) -> list[RolloutEvent]:
        """Return the events in order."""
        with self._store.read() as tx:
            found = tx.run(select(_E).where(_E.c.rollout == rollout_id).order_by(_E.c.sequence))
            return [value(RolloutEvent, row) for row in found]

    def effect(
        self,
        rollout_id: str,
        fence: int,
        key: str,
        act: Callable[[], str],
        look: Callable[[], str | None],
    ) -> str:
        """Make an outside effect of a rollout once, as `steps.Steps.effect` does for a run."""

        def guard(tx: Tx) -> None:
            _fenced(tx, rollout_id, fence)

        return effects.once(self._store, guard, {"rollout": rollout_id}, key, act, look)

    def request(self, rollout_id: str, act: Act, person: Person) -> Rollout:
        """Ask the controller to HOLD or TAKE_BACK; a take-back is never replaced by a hold."""
        if act not in REQUESTS:
            raise errors.WrongState(f"A rollout can be held or taken back, not {act.value!r}.")
        with self._store.write() as tx:
            before = _get(tx, rollout_id)
            rows.lock_incident(tx, before.incident)
            if before.state in schema.ENDED_ROLLOUTS:
                raise errors.WrongState(
                    f"Rollout {rollout_id!r} has ended: {before.state.value}.",
                    incident_id=f"INC-{before.incident}",
                )
            asked = or_(_R.c.request.is_(None), _R.c.request == Act.HOLD)
            _put(tx, (_R.c.id == rollout_id, asked), request=act, request_by=person)
            _add_event(tx, rollout_id, "request", {"act": act.value, "by": str(person)})
            return _get(tx, rollout_id)

    def clear_request(self, rollout_id: str, fence: int, obeyed: Act | None = None) -> None:
        """Forget a request that was obeyed; a different one that came meanwhile stays."""
        with self._store.write() as tx:
            if obeyed is None or _get(tx, rollout_id).request is obeyed:
                _fenced(tx, rollout_id, fence, request=None, request_by=None)

    def add_buckets(self, rollout_id: str, buckets: Sequence[Bucket]) -> None:
        """Store counts; a bucket of the same version and start replaces the earlier reading."""
        self._add(schema.bucket, rollout_id, buckets)

    def buckets(self, rollout_id: str) -> list[Bucket]:
        """Return the counts in order of start, canary before stable."""
        return self._stored(schema.bucket, rollout_id)

    def add_replayed(self, rollout_id: str, buckets: Sequence[Bucket]) -> None:
        """Store counts of replayed requests, apart from those of users."""
        self._add(schema.replayed_bucket, rollout_id, buckets)

    def replayed(self, rollout_id: str) -> list[Bucket]:
        """Return the counts of replayed requests in order of start."""
        return self._stored(schema.replayed_bucket, rollout_id)

    def _add(self, table: Table, rollout_id: str, buckets: Sequence[Bucket]) -> None:
        with self._store.write() as tx:
            for bucket in buckets:
                row = asdict(bucket)
                where = (
                    table.c.rollout == rollout_id,
                    table.c.version == bucket.version,
                    table.c.start == bucket.start,
                )
                if not tx.change(update(table).where(*where).values(**row)):
                    tx.run(table.insert().values(**row, rollout=rollout_id))

    def _stored(self, table: Table, rollout_id: str) -> list[Bucket]:
        with self._store.read() as tx:
            where = select(table).where(table.c.rollout == rollout_id)
            found = tx.run(where.order_by(table.c.start, table.c.version)).all()
        return [rows.bucket(row) for row in found]


def _row(rollout: Rollout) -> dict[str, Any]:
    names = (name for name in rollout.__dataclass_fields__)
    return {name: getattr(rollout, name) for name in names}


def _known(tx: Tx, rollout_id: str) -> bool:
    return tx.run(select(_R.c.id).where(_R.c.id == rollout_id)).first() is not None


def _get(tx: Tx, rollout_id: str) -> Rollout:
    row = tx.run(select(_R).where(_R.c.id == rollout_id)).first()
    if row is None:
        raise errors.NotFound(f"There is no rollout {rollout_id!r}.")
    return rows.rollout(row)


def _put(tx: Tx, where: tuple[Any, ...], **values: Any) -> int:
    return tx.change(update(_R).where(*where).values(**values))


def _fenced(tx: Tx, rollout_id: str, fence: int, **values: Any) -> None:
    """Change a rollout unless a newer leader has written to it."""
    if not _put(tx, (_R.c.id == rollout_id, _R.c.fence <= fence), **values, fence=fence):
        raise errors.StaleFence(f"Rollout {rollout_id!r} has a newer leader than fence {fence}.")


def _add_event(tx: Tx, rollout_id: str, kind: str, content: Json) -> None:
    last = select(func.max(_E.c.sequence)).where(_E.c.rollout == rollout_id)
    sequence = (tx.run(last).scalar() or 0) + 1
    row = {"rollout": rollout_id, "sequence": sequence, "at": tx.now, "kind": kind}
    tx.run(_E.insert().values(**row, content=content))
