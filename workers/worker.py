"""The RQ worker: one OS process per queue, one forked child per job, modules preloaded.

Started by `halon worker --queue NAME`. Differs from RQ's own where RQ would lose or double work:
a short heartbeat, a child that dies with its worker, JSON instead of pickle, an allow-list of
functions, and no retries, scheduler or recovery (the controller alone wakes runs again).
"""

import ctypes
import gc
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker
from rq.job import Job

from incidents import errors
from incidents.store import Store
from workers import jobs, stages
from workers.settings import WorkerSettings

# Above the monitoring interval with a margin, and well under the 20 s in which a run must restart.
HEARTBEAT_SECONDS = 15
MONITORING_SECONDS = 4
MAINTENANCE_SECONDS = 5
WORKER_TTL_SECONDS = 20

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)  # looked up before the fork


class NotOurJob(Exception):
    """A job names a function that is not on the list, as anyone who writes to Redis could."""


class AllowListedJob(Job):
    """A job that runs one of the given functions by its name (RQ would import any dotted one).

    A job in Redis may name callbacks too, which RQ imports and calls as readily; ours have none.
    """

    functions: ClassVar[Mapping[str, Callable[..., None]]] = {}
    success_callback = None
    failure_callback = None
    stopped_callback = None

    @property
    def func(self) -> Callable[..., None]:
        """The function of the job's name; raises `NotOurJob` for any other name."""
        function = self.functions.get(str(self.func_name))
        if function is None:
            known = ", ".join(self.functions)
            raise NotOurJob(f"refused to run {self.func_name!r}: only {known} is ours")
        return function


class HalonWorker(Worker):
    """RQ's fork worker with our heartbeat and a child that cannot outlive it."""

    # Looked after at every heartbeat of this process, never in a forked child.
    beside: Callable[[], None] | None = None

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Say that we live, and see that what runs beside us does too."""
        if self.beside is not None:
            self.beside()
        super().heartbeat(timeout, pipeline)

    def get_heartbeat_ttl(self, job: Job) -> int:
        """Return the seconds after which a silent child counts as dead (RQ adds a minute)."""
        return HEARTBEAT_SECONDS

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        """Fork, remembering who we are: inside a container the parent may be pid 1 itself."""
        self._own_pid = os.getpid()
        super().fork_work_horse(job, queue)

    def setup_work_horse_signals(self) -> None:
        """Let the kernel kill the child when the worker dies, even by SIGKILL."""
        super().setup_work_horse_signals()  # type: ignore[no-untyped-call]
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != self._own_pid:  # the parent died before prctl took effect
            os._exit(1)


def make(
    queue: str, connection: Redis, name: str, functions: Mapping[str, Callable[..., None]]
) -> HalonWorker:
    """Return a worker for exactly one queue; two queues in one worker can lose a job for good."""
    return HalonWorker(
        [queue],
        name=name,
        connection=connection,
        job_class=type("OurJob", (AllowListedJob,), {"functions": functions}),
        serializer="json",
        worker_ttl=WORKER_TTL_SECONDS,
        maintenance_interval=MAINTENANCE_SECONDS,
        job_monitoring_interval=MONITORING_SECONDS,
        disable_default_exception_handler=False,
    )


def run(
    queue: str,
    connection: Redis,
    name: str,
    settings: WorkerSettings,
    beside: Callable[[], None] | None = None,
) -> None:
    """Work until told to stop. All that every child needs is made first, so that none pays for it.

    `beside` is called at every heartbeat: it keeps a helper process alive.
    """
    runner = stages.Runner(settings, Store(settings.database))
    runner.warm_up()
    gc.collect()
    gc.freeze()
    try:
        worker = make(queue, connection, name, {jobs.RUN_STAGE: runner.run_stage})
        worker.beside = beside
        worker.work(logging_level="WARNING", with_scheduler=False)
    except RedisError as error:
        raise errors.TemporaryFailure(f"Redis does not answer: {error}") from error
