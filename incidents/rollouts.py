"""Rollouts as stored: the row, its events and its buckets. The controller alone moves one.

`fence` is the leader lease's: a leader with a lower one than stored gets `errors.StaleFence`.
People ask (`request`); they never move traffic themselves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from incidents.models import Act, Bucket, Json, Person, Rollout
from incidents.store import Store
from incidents.timeline import Draft


@dataclass(frozen=True)
class RolloutEvent:
    """One recorded step of a rollout."""

    sequence: int
    at: datetime
    kind: str
    content: Json


class Rollouts:
    """Reads and moves rollouts."""

    def __init__(self, store: Store) -> None:
        raise NotImplementedError

    def create(self, rollout: Rollout, run_fence: int) -> Rollout:
        """Store a planned rollout of a deploy run; the same id again returns the stored one.

        Raises `errors.WrongState` while the service has another open one, `errors.StaleFence`.
        """
        raise NotImplementedError

    def get(self, rollout_id: str) -> Rollout:
        """Return a rollout; raises `errors.NotFound`."""
        raise NotImplementedError

    def open_rollouts(
        self, service: str | None = None, incident: int | None = None
    ) -> list[Rollout]:
        """Return rollouts that have not ended, oldest first."""
        raise NotImplementedError

    def save(
        self, rollout: Rollout, fence: int, event: str, content: Json, entries: Sequence[Draft] = ()
    ) -> Rollout:
        """Store the state after a tick with its event and entries; people's requests are untouched."""
        raise NotImplementedError

    def events(self, rollout_id: str) -> list[RolloutEvent]:
        """Return the events in order."""
        raise NotImplementedError

    def effect(
        self,
        rollout_id: str,
        fence: int,
        key: str,
        act: Callable[[], str],
        look: Callable[[], str | None],
    ) -> str:
        """Make an outside effect of a rollout once, as `steps.Steps.effect` does for a run."""
        raise NotImplementedError

    def request(self, rollout_id: str, act: Act, person: Person) -> Rollout:
        """Ask the controller to HOLD or TAKE_BACK; a take-back is never replaced by a hold."""
        raise NotImplementedError

    def clear_request(self, rollout_id: str, fence: int) -> None:
        """Forget a request that was obeyed."""
        raise NotImplementedError

    def add_buckets(self, rollout_id: str, buckets: Sequence[Bucket]) -> None:
        """Store counts; a bucket of the same version and start replaces the earlier reading."""
        raise NotImplementedError

    def buckets(self, rollout_id: str) -> list[Bucket]:
        """Return the counts in order of start, stable first."""
        raise NotImplementedError
