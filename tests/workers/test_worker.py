"""The RQ worker as a real process: what it refuses, and that no child outlives it."""

import os
import pickle
import signal
import subprocess
import zlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis
from rq import Queue
from rq.job import Callback, Job
from rq.registry import FailedJobRegistry

from incidents.models import RunState, Stage
from tests import repositories
from tests.cli.plants import HALON, alive, children, until
from tests.workers.conftest import Server
from tests.workers.desks import Place, open_incident
from workers import jobs

pytestmark = pytest.mark.slow


@pytest.fixture
def worker(place: Place, redis_server: Server, connection: Redis) -> Iterator[int]:
    """The pid of a worker of the normal queue."""
    env = {"PATH": os.environ["PATH"], **place.environment(redis_server.url)}
    with (place.root / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [*HALON, "worker"], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    until(lambda: connection.scard("rq:workers"), what="the worker's birth")
    yield process.pid
    process.kill()
    process.wait(10)


@pytest.fixture
def queue(connection: Redis) -> Queue:
    return Queue(jobs.NORMAL, connection=connection, serializer="json")


def failed(queue: Queue) -> list[str]:
    return list(FailedJobRegistry(queue=queue).get_job_ids())


def test_a_function_that_is_not_ours_is_refused(worker: int, queue: Queue, tmp_path: Path) -> None:
    made = tmp_path / "made"
    job = queue.enqueue("os.mkdir", str(made))

    until(lambda: failed(queue) == [job.id])

    assert not made.exists()
    result = Job.fetch(job.id, connection=queue.connection, serializer="json").latest_result()
    assert result is not None
    assert "refused to run 'os.mkdir'" in str(result.exc_string)


@pytest.mark.parametrize("when", ["on_success", "on_failure"])
def test_a_callback_is_never_called(
    worker: int, queue: Queue, place: Place, tmp_path: Path, when: str
) -> None:
    """A name that RQ would import and call in the worker, were it asked to."""
    with place.opened() as desk:
        open_incident(desk)
        (ready,) = desk.stages.ready()
        desk.stages.claim(ready.run.id, "someone else", timedelta(minutes=1))
    # A run that another has is a success with nothing done; one that is not there is a failure.
    run = ready.run.id if when == "on_success" else 99
    queue.enqueue(jobs.RUN_STAGE, args=(run,), **{when: Callback("planted.called")})
    after = queue.enqueue("os.mkdir", "/none")  # the worker lives and works on

    until(lambda: after.id in failed(queue))

    log = (tmp_path / "worker.log").read_text()
    assert "planted" not in log


def test_pickle_is_not_read(worker: int, queue: Queue, tmp_path: Path) -> None:
    """With pickle whoever can write to Redis runs what they like, before any name is looked at."""
    made = tmp_path / "made"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(made),)

    job = queue.enqueue(jobs.RUN_STAGE, 0)
    evil = Queue("evil", connection=queue.connection, serializer="json").enqueue(jobs.RUN_STAGE, 0)
    queue.connection.hset(evil.key, "data", zlib.compress(pickle.dumps(Evil())))
    queue.connection.rpush(queue.key, evil.id)
    last = queue.enqueue("os.mkdir", "/none")

    until(lambda: last.id in failed(queue))

    assert job.id != evil.id
    assert not made.exists()


def test_a_stage_that_was_woken_is_claimed_and_run(
    worker: int, place: Place, connection: Redis
) -> None:
    with place.opened() as desk:
        incident = open_incident(desk)
        escalated = desk.stages.queue_stage(incident.number, Stage.ESCALATE)
        wakeups = jobs.Wakeups(connection)
        for _ in range(3):  # the claim lets only one of them work
            wakeups.wake(jobs.NORMAL, escalated)

        until(lambda: desk.stages.get(escalated.id).state is RunState.FINISHED)

        run = desk.stages.get(escalated.id)
        assert (1, "nothing") == (run.fence, run.outcome)
        assert desk.incidents.get(incident.number).needs_human


def test_the_child_of_a_killed_worker_dies_with_it(
    worker: int, place: Place, connection: Redis, tmp_path: Path
) -> None:
    """And its run is free again as soon as the supervisor has told of the death."""
    repositories.new(tmp_path / "repository").commit("first", {"a": "b"})
    place.write_services(test="sleep 60")
    with place.opened() as desk:
        incident = open_incident(desk)
        run = desk.stages.queue_stage(incident.number, Stage.DIAGNOSE)
        jobs.Wakeups(connection).wake(jobs.NORMAL, run)
        until(lambda: desk.stages.get(run.id).state is RunState.LEASED)
        (child,) = until(lambda: children(worker))

        os.kill(worker, signal.SIGKILL)

        until(lambda: not alive(child), 5)
        owner = desk.stages.get(run.id).owner
        assert owner is not None
        assert owner.endswith(f":{worker}")
        assert [run.id] == [lost.id for lost in desk.stages.release_leases_of(owner)]
        assert run.id in [ready.run.id for ready in desk.stages.ready()]


def test_a_worker_without_a_redis_is_one_sentence(place: Place) -> None:
    env = {"PATH": os.environ["PATH"], **place.environment("unix:///none/such.sock")}
    done = subprocess.run(
        [*HALON, "worker"], env=env, capture_output=True, text=True, timeout=60, check=False
    )

    assert 3 == done.returncode, done.stderr
    assert 1 == len(done.stderr.splitlines()), done.stderr
