"""Stage runs: queued, claimed with a fence, renewed, waited, finished.

Called by workers (claim to finish) and the controller (ready, woken, expired, release_leases_of).
Every write of a run carries its fence; 0 rows changed raises `errors.StaleFence` and nothing else
of that transaction stays. Leases are compared with the database's clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from incidents.lifecycle import Next
from incidents.models import (
    MACHINE,
    Incident,
    Json,
    Outcome,
    Person,
    Severity,
    Stage,
    StageRun,
)
from incidents.store import Store
from incidents.timeline import Draft


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
    """How a run ended: outcome, the report (machine form, unredacted), what to say, what a human must do."""

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
        raise NotImplementedError

    def queue_stage(self, incident: int, stage: Stage, actor: Person = MACHINE) -> StageRun:
        """Queue a stage, or return its run that is already live."""
        raise NotImplementedError

    def get(self, run_id: int) -> StageRun:
        """Return a run; raises `errors.NotFound`."""
        raise NotImplementedError

    def last(self, incident: int, stage: Stage) -> StageRun | None:
        """Return the newest finished run of a stage that stored a report."""
        raise NotImplementedError

    def ready(self) -> list[Ready]:
        """Return runs to wake, by severity then age: ready or lease run out, not woken within 10 s."""
        raise NotImplementedError

    def woken(self, run_id: int) -> bool:
        """Mark a run as woken; False when it was within 10 s or is not waiting for a worker."""
        raise NotImplementedError

    def claim(
        self, run_id: int, owner: str, lease: timedelta, fence_seen: int | None = None
    ) -> Claimed | None:
        """Take a run with a new fence; None when someone else has it or it is not to be run."""
        raise NotImplementedError

    def renew(self, run_id: int, fence: int, lease: timedelta) -> StageRun:
        """Keep a run; the answer's `cancel` says whether to stop."""
        raise NotImplementedError

    def wait(self, run_id: int, fence: int, entries: Sequence[Draft] = ()) -> StageRun:
        """Give the worker back while an approval, a bake or a person is awaited."""
        raise NotImplementedError

    def resume(self, run_id: int) -> bool:
        """Make a waiting run ready again; False when it is not waiting."""
        raise NotImplementedError

    def retry(self, run_id: int, fence: int, after: timedelta, error: str) -> StageRun | None:
        """Give a run back after a temporary failure; None when its three tries are spent and it must fail."""
        raise NotImplementedError

    def milestone(self, run_id: int, fence: int, ending: Ending) -> Next | None:
        """Apply the table to an outcome without ending the run (100 % reached, held); once per outcome."""
        raise NotImplementedError

    def finish(self, run_id: int, fence: int, ending: Ending) -> Finished:
        """End a leased or waiting run: state, report, entries and what follows in one transaction."""
        raise NotImplementedError

    def release_leases_of(self, owner: str) -> list[StageRun]:
        """End the leases of a worker that the supervisor saw die; its runs are ready at once."""
        raise NotImplementedError

    def expired(self) -> list[StageRun]:
        """Return leased runs whose lease has run out."""
        raise NotImplementedError
