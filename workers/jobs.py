"""Job names and the wake-up call: the only part of `workers` that the bot may know.

A job is a name and ids; the database is the truth, so a lost or doubled wake-up costs a
delay and nothing else. Never holds logic and never imports a stage.
"""

from dataclasses import dataclass

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue, Worker
from rq.worker import WorkerStatus

from incidents import errors
from incidents.models import Incident, Severity, Stage, StageRun

RUN_STAGE = "run_stage"  # the one name that a worker knows

URGENT = "urgent"
NORMAL = "normal"
QUEUES = (URGENT, NORMAL)

# RQ's own time limit is only the outer fence; the stage keeps its own deadline.
OUTER_LIMIT_SECONDS = 6 * 3600
FAILURE_TTL_SECONDS = 24 * 3600
ANSWER_SECONDS = 2


def queue_of(incident: Incident, run: StageRun) -> str:
    """Return the queue of a run: `urgent` carries P0 and contain, so that a P0 never waits."""
    urgent = incident.severity is Severity.P0 or run.stage in (Stage.CONTAIN, Stage.HOTFIX)
    return URGENT if urgent else NORMAL


def connect(url: str) -> Redis:
    """Return a client for `redis://`, `rediss://` or `unix://` addresses.

    It never waits long: a server that hangs must not hold up the controller, which moves traffic.
    RQ's worker, which does wait for work, lengthens the timeout of its own client itself.
    """
    try:
        return Redis.from_url(
            url,
            socket_connect_timeout=ANSWER_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            health_check_interval=15,
            retry=Retry(NoBackoff(), 1),  # a connection that went stale while idle
        )
    except ValueError as error:
        raise errors.BadSettings("REDIS_URL is not an address of a Redis.") from error


def ping(url: str) -> None:
    """Ask a server whether it answers; raises `TemporaryFailure` with what it said instead."""
    try:
        with Redis.from_url(url, socket_connect_timeout=1, socket_timeout=2) as client:
            client.ping()
    except (RedisError, ValueError) as error:
        raise _silent(error) from error


@dataclass(frozen=True)
class Condition:
    """How a Redis server stands; `refuses` says why it takes no writes, None when it does."""

    version: str
    append_only: bool
    refuses: str | None

    @property
    def version_pair(self) -> tuple[int, int]:
        """The version's first two numbers."""
        first, second, *_ = [*self.version.split("."), "0"]
        return int(first), int(second)


def look(url: str) -> Condition:
    """Ask a server how it stands; raises `TemporaryFailure` when it does not answer."""
    try:
        with Redis.from_url(url, socket_connect_timeout=1, socket_timeout=2) as client:
            server, persistence = client.info("server"), client.info("persistence")
            refuses = None
            try:
                # A write that leaves nothing: a full disk or memory refuses even this one.
                client.set("halon:doctor", "1", px=1)
            except RedisError as error:
                refuses = str(error)
    except (RedisError, ValueError) as error:
        raise _silent(error) from error
    version = server.get("valkey_version") or server["redis_version"]
    return Condition(str(version), bool(persistence.get("aof_enabled")), refuses)


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


def _silent(error: RedisError | ValueError) -> errors.TemporaryFailure:
    if isinstance(error, ValueError):  # its text may quote the address, and so the password
        return errors.TemporaryFailure("This is not an address of a Redis.")
    return errors.TemporaryFailure(f"Redis does not answer: {error}")


def _failure(error: RedisError) -> errors.TemporaryFailure:
    return errors.TemporaryFailure(
        f"Redis does not take work ({error}); work goes on by itself once it answers. "
        "`halon doctor` says which server is meant."
    )
