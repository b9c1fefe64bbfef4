"""Stage runs: queued, claimed with a fence, renewed, waited, finished.

Called by workers (claim to finish) and the controller (ready, woken, expired, release_leases_of).
Every write of a run carries its fence; 0 rows changed raises `errors.StaleFence` and nothing else
of that transaction stays. Leases are compared with the database's clock.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Update, and_, or_, select, update

from incidents import crash, entries, errors, following, lifecycle, rows, schema, timeline
from incidents.lifecycle import Next
from incidents.models import (
    MACHINE,
    EntryKind,
    Incident,
    Json,
    Outcome,
    Person,
    RunState,
    Severity,
    Stage,
    StageRun,
)
from incidents.store import Store, Tx
from incidents.timeline import Draft

_R = schema.stage_run
WAKE_AGAIN = timedelta(seconds=10)  # a row is woken at most this often
TRIES = 5  # temporary failures and dead workers that one run may have
OURS = (RunState.LEASED,)
NO_RUN = 0  # ids begin at 1


@dataclass(frozen=True)
class Ready:
    """A run that waits for a worker; `urgent` names its queue."""

    run: StageRun
    severity: Severity
    urgent: bool


@dataclass(frozen=True)
class Claimed:
    """A run that is ours until `run.lease_until`, with the incident as it stands."""

    run: StageRun
    incident: Incident


@dataclass(frozen=True)
class Ending:
    """How a run ended: outcome, report (for machines: not redacted), what to say."""

    outcome: Outcome
    report: Json | None = None
    entries: tuple[Draft, ...] = ()
    human: str = ""  # the sentence if the table says that a human is needed
    engine: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Finished:
    """The ended run, what the table said, and the run that was queued for it."""

    run: StageRun
    following: Next
    queued: StageRun | None


class Stages:
    """Reads and moves stage runs."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def queue_stage(self, incident: int, stage: Stage, actor: Person = MACHINE) -> StageRun:
        """Queue a stage, or return its run that is already live."""
        with self._store.write() as tx:
            return following.queue_by(tx, incident, stage, actor)

    def get(self, run_id: int) -> StageRun:
        """Return a run; raises `errors.NotFound`."""
        with self._store.read() as tx:
            return rows.get_run(tx, run_id)

    def last(self, incident: int, stage: Stage) -> StageRun | None:
        """Return the newest finished run of a stage that stored a report."""
        where = (_R.c.incident == incident, _R.c.stage == stage, _R.c.report.is_not(None))
        with self._store.read() as tx:
            found = tx.run(rows.select_runs(*where, _R.c.finished_at.is_not(None))).all()
        return rows.run(found[-1]) if found else None

    def ready(self) -> list[Ready]:
        """Return runs to wake, by severity then age: ready or lost, and not woken within 10 s."""
        with self._store.read() as tx:
            found = tx.run(
                rows.select_runs(_wants_worker(tx), _not_just_woken(tx))
                .add_columns(schema.incident.c.severity.label("severity"))
                .join(schema.incident, schema.incident.c.number == _R.c.incident)
            ).all()
        ready = [
            Ready(rows.run(row), row.severity, lifecycle.urgent(row.severity, row.stage))
            for row in found
        ]
        return sorted(ready, key=lambda one: (one.severity, one.run.created_at, one.run.id))

    def woken(self, run_id: int) -> bool:
        """Mark a run as woken; False when it was within 10 s or is not waiting for a worker."""
        with self._store.write() as tx:
            where = (_R.c.id == run_id, _wants_worker(tx), _not_just_woken(tx))
            return tx.change(update(_R).where(*where).values(woken_at=tx.now)) == 1

    def claim(
        self, run_id: int, owner: str, lease: timedelta, fence_seen: int | None = None
    ) -> Claimed | None:
        """Take a run with a new fence; None when someone else has it or it is not to be run."""
        with self._store.write() as tx:
            claimed = _claim(tx, run_id, owner, lease, fence_seen)
        if claimed is not None:
            crash.point("run.claimed", claimed.run.stage)
        return claimed

    def rehearse(self) -> None:
        """Ask all that a claim asks, of no run: whoever is forked from here has it compiled."""
        with self._store.write() as tx:
            for ask in (rows.get_run, rows.lock_incident, rows.get_incident):
                with suppress(errors.NotFound):
                    ask(tx, NO_RUN)
            tx.change(_taking(tx, NO_RUN, None).values(**_taken(tx, "", timedelta())))
            _tries(tx, NO_RUN)

    def renew(self, run_id: int, fence: int, lease: timedelta) -> StageRun:
        """Keep a run; the answer's `cancel` says whether to stop."""
        with self._store.write() as tx:
            return guarded(tx, run_id, fence, OURS, lease_until=tx.now + lease)

    def wait(self, run_id: int, fence: int, entries: Sequence[Draft] = ()) -> StageRun:
        """Give the worker back while an approval, a bake or a person is awaited."""
        with self._store.write() as tx:
            incident = rows.lock_incident(tx, rows.get_run(tx, run_id).incident)
            run = guarded(
                tx, run_id, fence, OURS, **_IDLE, state=RunState.WAITING, waiting_since=tx.now
            )
            for draft in entries:
                timeline.append(tx, incident.number, draft, MACHINE)
            return run

    def resume(self, run_id: int) -> bool:
        """Make a waiting run ready again; False when it is not waiting."""
        with self._store.write() as tx:
            where = (_R.c.id == run_id, _R.c.state == RunState.WAITING)
            ready = {"state": RunState.READY, "woken_at": None, "not_before": None}
            return tx.change(update(_R).where(*where).values(**ready)) == 1

    def resume_turns(self) -> list[int]:
        """Make runs ready that waited because another rollout of their service was open."""
        rollout = schema.rollout
        own = select(rollout.c.id).where(rollout.c.stage_run == _R.c.id)
        taken = select(rollout.c.id).where(
            rollout.c.service == _R.c.service, rollout.c.state.not_in(schema.ENDED_ROLLOUTS)
        )
        where = (
            _R.c.state == RunState.WAITING,
            _R.c.service.is_not(None),
            _R.c.stage.in_((Stage.CONTAIN, Stage.DEPLOY)),
            ~own.exists(),
            ~taken.exists(),
        )
        with self._store.read() as tx:
            waiting = list(tx.run(select(_R.c.id).where(*where).order_by(_R.c.id)).scalars())
        return [run_id for run_id in waiting if self.resume(run_id)]

    def retry(self, run_id: int, fence: int, after: timedelta, error: str) -> StageRun | None:
        """Give a run back after a temporary failure; None when its tries are spent."""
        with self._store.write() as tx:
            said = timeline.redacted(tx, rows.get_run(tx, run_id).incident, error)
            run = guarded(tx, run_id, fence, OURS, tries=_R.c.tries + 1, error=said)
            if tx.run(select(_R.c.tries).where(_R.c.id == run_id)).scalar_one() >= TRIES:
                return None
            values: dict[str, Any] = {"waiting_since": tx.now, "not_before": tx.now + after}
            return guarded(tx, run.id, fence, OURS, **_IDLE, state=RunState.READY, **values)

    def milestone(self, run_id: int, fence: int, ending: Ending) -> Next | None:
        """Apply the table to an outcome without ending the run (100 % reached, held); once each."""
        with self._store.write() as tx:
            rows.lock_incident(tx, rows.get_run(tx, run_id).incident)
            run = guarded(tx, run_id, fence, (RunState.LEASED, RunState.WAITING))
            subject = f"run-{run_id}-{ending.outcome.value}"
            if timeline.said_before(tx, run.incident, EntryKind.DECISION, subject):
                return None
            said = {"run": run_id, "stage": run.stage.value, "outcome": ending.outcome.value}
            # How long it has waited so far: the clock of its target may end here (`clocks`).
            so_far = {"milestone": True, "waited_seconds": _waited(tx, run)}
            draft = Draft(EntryKind.DECISION, said | so_far, subject)
            for entry in (*ending.entries, draft):
                timeline.append(tx, run.incident, entry, MACHINE)
            return following.apply(tx, run, ending.outcome, ending.human, say=False)[0]

    def finish(self, run_id: int, fence: int, ending: Ending) -> Finished:
        """End a leased or waiting run: state, report, entries and what follows, all at once."""
        crash.point("run.finishing")
        with self._store.write() as tx:
            rows.lock_incident(tx, rows.get_run(tx, run_id).incident)
            finished = _finish(tx, run_id, fence, ending)
        crash.point("run.finished", finished.run.stage)
        return finished

    def release_leases_of(self, owner: str) -> list[StageRun]:
        """End the leases of a worker that the supervisor saw die; its runs are ready at once."""
        with self._store.write() as tx:
            found = tx.run(rows.select_runs(_R.c.owner == owner, _R.c.state == RunState.LEASED))
            lost = [rows.run(row).id for row in found]
            values = {"lease_until": tx.now, "woken_at": None}
            tx.run(update(_R).where(_R.c.id.in_(lost)).values(**values))
            return [rows.get_run(tx, run_id) for run_id in lost]

    def expired(self) -> list[StageRun]:
        """Return leased runs whose lease has run out."""
        with self._store.read() as tx:
            where = (_R.c.state == RunState.LEASED, _R.c.lease_until <= tx.now)
            return [rows.run(row) for row in tx.run(rows.select_runs(*where))]


_IDLE: dict[str, Any] = {"owner": None, "lease_until": None, "woken_at": None}


def guarded(
    tx: Tx, run_id: int, fence: int, states: tuple[RunState, ...], **values: Any
) -> StageRun:
    """Change a run that is still ours under this fence, else raise `errors.StaleFence`."""
    where = (_R.c.id == run_id, _R.c.fence == fence, _R.c.state.in_(states))
    # With nothing to change it is still an UPDATE: it proves the fence and holds the row.
    if not tx.change(update(_R).where(*where).values(**(values or {"fence": fence}))):
        raise errors.StaleFence(f"Stage run {run_id} is no longer held with fence {fence}.")
    return rows.get_run(tx, run_id)


def _wants_worker(tx: Tx) -> Any:
    return or_(
        and_(
            _R.c.state == RunState.READY,
            or_(_R.c.not_before.is_(None), _R.c.not_before <= tx.now),
        ),
        and_(_R.c.state == RunState.LEASED, _R.c.lease_until <= tx.now),
    )


def _not_just_woken(tx: Tx) -> Any:
    return or_(_R.c.woken_at.is_(None), _R.c.woken_at <= tx.now - WAKE_AGAIN)


def _claim(
    tx: Tx, run_id: int, owner: str, lease: timedelta, fence_seen: int | None
) -> Claimed | None:
    before = rows.get_run(tx, run_id)
    rows.lock_incident(tx, before.incident)
    before = rows.get_run(tx, run_id)
    taking = _taking(tx, run_id, fence_seen)
    if not tx.change(taking.values(**_taken(tx, owner, lease, before))):
        return None
    run = rows.get_run(tx, run_id)
    if (ending := _not_to_be_run(tx, run)) is not None:
        _finish(tx, run_id, run.fence, ending)
        return None
    return Claimed(run, rows.get_incident(tx, run.incident))


def _taking(tx: Tx, run_id: int, fence_seen: int | None) -> Update:
    seen = () if fence_seen is None else (_R.c.fence == fence_seen,)
    return update(_R).where(_R.c.id == run_id, _wants_worker(tx), *seen)


def _taken(tx: Tx, owner: str, lease: timedelta, before: StageRun | None = None) -> dict[str, Any]:
    """Return the columns of a run that somebody has taken; `before` is how it stood."""
    died = before is not None and before.state is RunState.LEASED
    return {
        "fence": _R.c.fence + 1,
        "state": RunState.LEASED,
        "owner": owner,
        "lease_until": tx.now + lease,
        "started_at": (before and before.started_at) or tx.now,
        "waiting_since": None,
        "waiting_seconds": _waited(tx, before) if before else 0.0,
        # A lease that was not given back is a worker that died in the middle.
        "tries": _R.c.tries + int(died),
    }


def _tries(tx: Tx, run_id: int) -> int:
    return tx.run(select(_R.c.tries).where(_R.c.id == run_id)).scalar() or 0


def _not_to_be_run(tx: Tx, run: StageRun) -> Ending | None:
    if run.cancel:
        return Ending(Outcome.CANCELLED)
    if _tries(tx, run.id) < TRIES:
        return None
    said = f"The stage {run.stage.value} was started {TRIES} times and its worker died each time."
    trouble = entries.trouble(
        said, f"Look at the worker's log, then `/incident {run.stage.value}`."
    )
    return Ending(Outcome.FAILED, entries=(trouble,), human=said, error=said)


def _waited(tx: Tx, run: StageRun) -> float:
    if run.waiting_since is None:
        return run.waiting_seconds
    return run.waiting_seconds + max(0.0, (tx.now - run.waiting_since).total_seconds())


def _finish(tx: Tx, run_id: int, fence: int, ending: Ending) -> Finished:
    ends = {Outcome.CANCELLED: RunState.CANCELLED, Outcome.FAILED: RunState.FAILED}
    number = rows.get_run(tx, run_id).incident
    run = guarded(
        tx,
        run_id,
        fence,
        (RunState.LEASED, RunState.WAITING),
        **_IDLE,
        state=ends.get(ending.outcome, RunState.FINISHED),
        finished_at=tx.now,
        waiting_seconds=_waited(tx, rows.get_run(tx, run_id)),
        waiting_since=None,
        outcome=ending.outcome,
        report=ending.report,
        engine=ending.engine,
        error=ending.error and timeline.redacted(tx, number, ending.error),
    )
    for draft in ending.entries:
        timeline.append(tx, run.incident, draft, MACHINE)
    after, queued = following.apply(tx, run, ending.outcome, ending.human)
    return Finished(run, after, queued)
