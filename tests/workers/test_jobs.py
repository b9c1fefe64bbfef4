"""Waking workers through a real Redis."""

import os
import signal
import time
from collections.abc import Callable

import pytest
from redis import Redis
from rq import Queue

from incidents import errors
from incidents.models import Severity, Stage
from tests.workers.conftest import Server
from tests.workers.desks import Place, open_incident
from workers import jobs


def test_a_wake_up_holds_a_name_and_an_id_as_json(connection: Redis, place: Place) -> None:
    with place.opened() as desk:
        incident = open_incident(desk, severity=Severity.P0)
        (waiting,) = desk.stages.ready()
        jobs.Wakeups(connection).wake(jobs.URGENT, waiting.run)
        assert jobs.URGENT == jobs.queue_of(incident, waiting.run)

    (job,) = Queue(jobs.URGENT, connection=connection, serializer="json").jobs
    assert (jobs.RUN_STAGE, (waiting.run.id,), {}) == (job.func_name, tuple(job.args), job.kwargs)


def test_contain_and_p0_go_to_the_urgent_queue_and_the_rest_does_not(place: Place) -> None:
    with place.opened() as desk:
        severe = open_incident(desk, "a", severity=Severity.P0)
        mild = open_incident(desk, "b", severity=Severity.P2)
        contain = desk.stages.queue_stage(mild.number, Stage.CONTAIN)
        diagnose = desk.stages.queue_stage(mild.number, Stage.DIAGNOSE)

    assert [jobs.URGENT, jobs.URGENT, jobs.NORMAL] == [
        jobs.queue_of(severe, diagnose),
        jobs.queue_of(mild, contain),
        jobs.queue_of(mild, diagnose),
    ]


def test_room_is_for_one_more_than_nobody_and_less_what_lies_there(
    connection: Redis, place: Place
) -> None:
    wakeups = jobs.Wakeups(connection)
    assert 1 == wakeups.room(jobs.NORMAL)
    with place.opened() as desk:
        open_incident(desk)
        (waiting,) = desk.stages.ready()
        wakeups.wake(jobs.NORMAL, waiting.run)

    assert 0 == wakeups.room(jobs.NORMAL)


ASKS: dict[str, Callable[[str], object]] = {
    "room": lambda url: jobs.Wakeups(jobs.connect(url)).room(jobs.NORMAL),
    "ping": jobs.ping,
    "look": jobs.look,
}


@pytest.mark.parametrize("ask", ASKS)
def test_a_redis_that_is_away_is_a_temporary_failure(ask: str) -> None:
    with pytest.raises(errors.TemporaryFailure):
        ASKS[ask]("unix:///none/such.sock")


def test_an_address_that_is_none_is_said_without_quoting_it() -> None:
    for ask in (jobs.connect, jobs.ping, jobs.look):
        with pytest.raises(errors.HalonError) as raised:
            ask("http://:hunter2@host:port")
        assert "hunter2" not in raised.value.message


def test_a_redis_that_hangs_is_given_up_within_seconds(
    redis_server: Server, connection: Redis
) -> None:
    """The controller moves traffic: nothing may hold it up for longer than its lease."""
    wakeups = jobs.Wakeups(jobs.connect(redis_server.url))
    assert 1 == wakeups.room(jobs.NORMAL)
    os.kill(redis_server.process.pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        with pytest.raises(errors.TemporaryFailure):
            wakeups.room(jobs.NORMAL)
        spent = time.monotonic() - begun
    finally:
        os.kill(redis_server.process.pid, signal.SIGCONT)

    assert spent < 2 * 2 * jobs.ANSWER_SECONDS
    assert 1 == wakeups.room(jobs.NORMAL)


def test_a_look_tells_what_the_server_is_and_that_it_takes_writes(
    redis_server: Server, connection: Redis
) -> None:
    seen = jobs.look(redis_server.url)

    assert (True, None) == (seen.append_only, seen.refuses)
    assert seen.version_pair >= (6, 2)


def test_a_server_out_of_memory_says_why_it_refuses(
    redis_server: Server, connection: Redis
) -> None:
    connection.config_set("maxmemory", "1")
    try:
        refuses = jobs.look(redis_server.url).refuses
    finally:
        connection.config_set("maxmemory", "0")

    assert refuses is not None
    assert "maxmemory" in refuses
