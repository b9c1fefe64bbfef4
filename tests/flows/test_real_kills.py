"""SIGKILL in the whole real system: ten chosen moments, and what the users and the thread get.

Run alone by .ci/run (marker `alone`), since a machine that is busy with something else makes a
restart longer than a lease. `make soak` kills at every point there is, in an order of its own.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import demo_outcome
from demo.history import Scenario
from tests.flows import proc, system
from tests.flows.system import Kill, System

OFFERED = ("triage", "contain")  # before the road of the fix; the second is answered with no

pytestmark = [pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(420)]


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a short path, since sockets do not take long ones."""
    with tempfile.TemporaryDirectory(prefix="k", dir="/tmp") as folder:
        yield Path(folder)
        assert [] == proc.mentioning(folder)


def running(stage: str) -> system.Moment:
    """While a stage has a worker."""
    return lambda state, timeline: any(
        run["stage"] == stage and run["state"] == "leased" for run in state["runs"]
    )


def baking(percent: int) -> system.Moment:
    """When a phase has begun to count."""
    return lambda state, timeline: any(
        entry["kind"] == "phase"
        and entry["content"]["percent"] == percent
        and (entry["content"]["canary"]["requests"] or 0) > 0
        for entry in timeline
    )


def asked(state: dict[str, Any], timeline: list[dict[str, Any]]) -> bool:
    """When the start is asked for."""
    return bool(state.get("approvals"))


def all_of(name: str) -> Callable[[System], list[int]]:
    """A process and its children."""
    return lambda seen: seen.pid(name)


def child_of(name: str) -> Callable[[System], list[int]]:
    """The children alone."""
    return lambda seen: seen.pid(name)[1:]


def ended_as_it_must(seen: System) -> None:
    """Assert what must hold whoever was killed on the way to a fixed service."""
    seen.settle()
    outcome = demo_outcome.judge(seen.production, seen.state, seen.room.timeline("INC-1"))
    assert outcome.right, "\n".join(outcome.lines)
    assert [] == seen.faults()
    (fix,) = seen.fixes()
    assert [("canary", fix), ("stable", fix)] == seen.deploys()
    stages = ["diagnose", "patch", "test", "deploy", "review"]
    assert stages == [run["stage"] for run in seen.state["runs"] if run["stage"] not in OFFERED]


def lived(folder: Path, kills: list[Kill], at: str | None = None) -> None:
    """Live one guest-crash with these kills and assert its end."""
    with system.running(folder, Scenario.GUEST_CRASH, at) as seen:
        seen.live(Scenario.GUEST_CRASH, kills)
        assert [kill.name for kill in kills] == seen.killed
        assert at is None or (folder / "crashed").exists(), f"nobody passed {at}"
        ended_as_it_must(seen)


def test_workers_bot_and_redis_by_their_process(short_folder: Path) -> None:
    """A worker with its child, the child alone, Redis, and the bot while a phase bakes."""
    lived(
        short_folder,
        [
            Kill("the worker and its child", running("diagnose"), all_of("worker-urgent")),
            Kill("Redis", running("patch"), all_of("redis")),
            Kill("the child alone", running("test"), child_of("worker-urgent")),
            Kill("the bot", baking(50), all_of("bot")),
        ],
    )


def test_the_controller_between_moving_the_users_and_saying_so(short_folder: Path) -> None:
    """The controller at the exact point, Redis while people are asked, a worker in the review."""
    lived(
        short_folder,
        [
            Kill("Redis", asked, all_of("redis")),
            Kill("the worker and its child", running("review"), all_of("worker-urgent")),
        ],
        at="rollout.acted/shift",
    )


def test_the_bot_between_posting_and_recording_it(short_folder: Path) -> None:
    """The bot at the exact point, a worker, and the controller while a phase bakes."""
    lived(
        short_folder,
        [
            Kill("the worker and its child", running("patch"), all_of("worker-urgent")),
            Kill("the controller", baking(10), all_of("controller")),
        ],
        at="post.made/report",
    )


@pytest.mark.soak
@pytest.mark.parametrize("at", system.POINTS)
def test_every_point_there_is(short_folder: Path, at: str) -> None:
    """Whoever passes this point first dies there; `make soak` prints the order and its seed."""
    lived(short_folder, [], at=at)
