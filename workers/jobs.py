"""Job names and the wake-up call: the only part of `workers` that the bot may know.

A job is a dotted string and ids; the database is the truth, so a lost or doubled wake-up costs a
delay and nothing else. Never holds logic and never imports a stage.
"""

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker
from rq.worker import WorkerStatus

from incidents import errors
from incidents.models import Incident, Severity, Stage, StageRun

RUN_STAGE = "workers.stages.run_stage"
ALLOWED = frozenset({RUN_STAGE})

URGENT = "urgent"
NORMAL = "normal"
QUEUES = (URGENT, NORMAL)

# RQ's own time limit is only the outer fence; the stage keeps its own deadline.
OUTER_LIMIT_SECONDS = 6 * 3600
FAILURE_TTL_SECONDS = 24 * 3600


def queue_of(incident: Incident, run: StageRun) -> str:
    """Return the queue of a run: `urgent` carries P0 and contain, so that a P0 never waits."""
    urgent = incident.severity is Severity.P0 or run.stage is Stage.CONTAIN
    return URGENT if urgent else NORMAL


def connect(url: str) -> Redis:
    """Return a client for `redis://`, `rediss://` or `unix://` addresses."""
    return Redis.from_url(url, socket_connect_timeout=2, health_check_interval=15)


def ping(url: str) -> None:
    """Ask a server whether it answers; raises `TemporaryFailure` with what it said instead."""
    try:
        with Redis.from_url(url, socket_connect_timeout=1, socket_timeout=2) as client:
            client.ping()
    except (RedisError, ValueError) as error:
        raise _failure(error) from error


class Wakeups:
    """Wakes workers through RQ; translates Redis' errors, which mean a delay and never a loss."""

    def __init__(self, connection: Redis) -> None:
        self._connection = connection

    def wake(self, queue: str, run: StageRun) -> None:
        """Enqueue one wake-up of a run; raises `TemporaryFailure` while Redis cannot take it.

        The same run may be woken twice: the claim in the database lets only one of the two work.
        RQ's `unique` is not used: it refuses as long as a lost job's hash lives.
        """
        try:
            self._queue(queue).enqueue(
                RUN_STAGE,
                run.id,
                job_id=f"stage-{run.id}-{run.fence}",
                job_timeout=OUTER_LIMIT_SECONDS,
                result_ttl=0,
                failure_ttl=FAILURE_TTL_SECONDS,
            )
        except RedisError as error:
            raise _failure(error) from error

    def room(self, queue: str) -> int:
        """Return how many runs to release now: one per idle worker, less what already lies there.

        Releasing no more keeps the order by severity ours: a list in Redis would freeze it.
        One is always released, for a worker that is just starting.
        """
        try:
            idle = sum(
                worker.get_state() == WorkerStatus.IDLE
                for worker in Worker.all(queue=self._queue(queue))
            )
            return max(1, idle) - self._queue(queue).count
        except RedisError as error:
            raise _failure(error) from error

    def _queue(self, name: str) -> Queue:
        return Queue(name, connection=self._connection, serializer="json")


def _failure(error: Exception) -> errors.TemporaryFailure:
    return errors.TemporaryFailure(
        f"Redis does not take work ({error}); work goes on by itself once it answers. "
        "`halon doctor` says which server is meant."
    )
