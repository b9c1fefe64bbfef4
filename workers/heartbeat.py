"""Keeps a stage run's lease while its stage works.

Used by `workers.stages` around every stage. A lost lease means that someone else works on the run:
the beats end, the stage finds out at its next step, and the fence keeps it from writing anyway.
"""

import threading
from datetime import timedelta
from types import TracebackType
from typing import Self

from incidents import errors
from incidents.stages import Stages

BEATS_PER_LEASE = 3


class Heartbeat:
    """Renews a lease every third of it, from a thread, until the block ends."""

    def __init__(self, stages: Stages, run_id: int, fence: int, lease: timedelta) -> None:
        self._stages, self._run, self._fence, self._lease = stages, run_id, fence, lease
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(self._lease.total_seconds() / BEATS_PER_LEASE):
            try:
                self._stages.renew(self._run, self._fence, self._lease)
            except errors.StaleFence:
                return  # the stage finds out at its next step; nothing it writes counts
            except errors.TemporaryFailure:
                continue  # a busy database; the next beat comes before the lease is over
