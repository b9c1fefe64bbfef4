"""A rerun goes on where the last one died: steps once, outside effects once."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from incidents import crash
from incidents.models import Outcome, RunState, Stage
from incidents.stages import Ending
from incidents.steps import Steps
from tests.incidents.builders import World

ROOT = Path(__file__).parents[2]
STEPS = ("read", "think", "write")


class Outside:
    """A world beyond our database that remembers what was made in it."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.worked: list[str] = []

    def work(self, name: str) -> str:
        self.worked.append(name)
        return name.upper()

    def make(self) -> str:
        self.made.append("branch")
        return "branch"

    def look(self) -> str | None:
        return self.made[0] if self.made else None


def play(world: World, run_id: int, outside: Outside) -> None:
    """One life of a worker: claim, three steps, one effect, finish."""
    claimed = world.claim(run_id)
    steps = Steps(world.store, run_id, claimed.run.fence)
    for name in STEPS:
        steps.step(name, {"of": run_id}, lambda name=name: outside.work(name))  # type: ignore[misc]
    steps.effect(f"push-{run_id}", outside.make, outside.look)
    world.stages.finish(run_id, claimed.run.fence, Ending(Outcome.DONE))


def points() -> list[str]:
    """Every point that a stage of three steps and an effect passes, by name and detail."""
    with_detail = {"step": STEPS, "effect": ("push-1",), "run": ("",)}
    return [
        f"{name}/{detail}" if detail else name
        for name in crash.POINTS
        if name.split(".")[0] in with_detail
        for detail in with_detail[name.split(".")[0]]
    ]


@pytest.fixture(autouse=True)
def disarmed() -> object:
    yield
    crash.disarm()


def test_the_list_of_points_is_what_a_stage_really_passes(world: World) -> None:
    run = world.stages.queue_stage(world.open().number, Stage.TRIAGE)
    passed: set[str] = set()
    crash.watch(
        lambda name, detail: passed.add(name if name.startswith("run.") else f"{name}/{detail}")
    )
    play(world, run.id, Outside())

    assert set(points()) == passed


@pytest.mark.parametrize("at", points())
def test_a_crash_at_any_point_loses_nothing_and_doubles_nothing(world: World, at: str) -> None:
    incident = world.open()
    (run,) = world.incidents.runs(incident.number)
    outside = Outside()
    crash.arm(at, crash.raise_crash)
    with pytest.raises(crash.Crash):
        play(world, run.id, outside)
    if world.stages.get(run.id).state is not RunState.FINISHED:
        world.clock.pass_(seconds=16)
        play(world, run.id, outside)

    assert ["branch"] == outside.made
    assert set(STEPS) == set(outside.worked)
    # Only work that was done and not yet recorded may be done again.
    again = {name for name in STEPS if outside.worked.count(name) > 1}
    assert ({at.split("/")[1]} if at.startswith("step.worked") else set()) == again
    assert Outcome.DONE is world.stages.get(run.id).outcome
    assert [Stage.TRIAGE, Stage.DIAGNOSE] == [r.stage for r in world.incidents.runs(1)]
    assert ["opened", "decision"] == world.kinds(incident)


def test_a_finished_step_is_not_run_again(world: World) -> None:
    run = world.stage(world.open(), Stage.TRIAGE)
    steps = Steps(world.store, run.id, run.fence)

    assert {"a": [1, 2]} == steps.step("s", {"x": 1}, lambda: {"a": (1, 2)})
    assert {"a": [1, 2]} == steps.step("s", {"x": 1}, lambda: pytest.fail("it ran again"))


def test_a_step_without_an_output_is_finished_as_well(world: World) -> None:
    run = world.stage(world.open(), Stage.TRIAGE)
    steps = Steps(world.store, run.id, run.fence)
    steps.step("s", {}, lambda: None)

    assert steps.step("s", {}, lambda: pytest.fail("it ran again")) is None


def test_other_inputs_are_another_step(world: World) -> None:
    """A stored answer to an old question is never taken for the answer to a new one."""
    run = world.stage(world.open(), Stage.TRIAGE)
    steps = Steps(world.store, run.id, run.fence)
    steps.step("s", {"revision": "a"}, lambda: "of a")

    assert "of b" == steps.step("s", {"revision": "b"}, lambda: "of b")
    assert "of a" == steps.step("s", {"revision": "a"}, lambda: pytest.fail("it ran again"))


def test_a_step_that_fails_is_not_recorded(world: World) -> None:
    run = world.stage(world.open(), Stage.TRIAGE)
    steps = Steps(world.store, run.id, run.fence)
    with pytest.raises(ZeroDivisionError):
        steps.step("s", {}, lambda: 1 / 0)

    assert 2 == steps.step("s", {}, lambda: 2)


def test_a_worker_that_lost_its_run_during_a_step_records_nothing(world: World) -> None:
    run = world.stage(world.open(), Stage.TRIAGE)
    steps = Steps(world.store, run.id, run.fence)

    def slow() -> str:
        world.clock.pass_(seconds=16)
        world.claim(run, "w2")
        return "too late"

    with pytest.raises(Exception, match="no longer held"):
        steps.step("s", {}, slow)

    mine = Steps(world.store, run.id, run.fence + 1)
    assert "mine" == mine.step("s", {}, lambda: "mine")


def test_an_effect_whose_outcome_is_unknown_is_looked_up_and_not_made_again(world: World) -> None:
    run = world.stage(world.open(), Stage.TRIAGE)
    steps = Steps(world.store, run.id, run.fence)

    def made_and_lost() -> str:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        steps.effect("push", made_and_lost, lambda: None)

    def refused() -> str:
        pytest.fail("it was made again")

    assert "branch" == steps.effect("push", refused, lambda: "branch")
    assert "branch" == steps.effect("push", refused, refused)


def test_an_effect_that_was_never_made_is_made(world: World) -> None:
    run = world.stage(world.open(), Stage.TRIAGE)
    steps = Steps(world.store, run.id, run.fence)
    with pytest.raises(ZeroDivisionError):
        steps.effect("push", lambda: str(1 / 0), lambda: None)

    assert "made" == steps.effect("push", lambda: "made", lambda: None)


LIFE = """
import os, sys
from incidents import crash
crash.arm_from_environment(os.environ)
crash.point("step.before", "other")
crash.point("step.before", "mine")
print("alive")
"""


def test_the_environment_kills_a_process_once(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    environment = {
        "PATH": os.environ["PATH"],
        "HALON_CRASH_AT": "step.before/mine",
        "HALON_CRASH_MARK": str(mark),
    }
    lives = [
        subprocess.run(
            [sys.executable, "-c", LIFE],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        for _ in range(2)
    ]

    assert [-signal.SIGKILL, 0] == [life.returncode for life in lives]
    assert ["", "alive\n"] == [life.stdout for life in lives]


def test_an_unarmed_point_does_nothing() -> None:
    crash.arm_from_environment({})
    crash.point("step.before", "mine")
