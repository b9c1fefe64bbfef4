"""Deployer `processes` against a real host, its way back, and the rehearsal of it."""

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from incidents import errors
from rollout import rehearsal, watchdog
from rollout.deployers import processes_take_back
from rollout.deployers.processes import Processes
from tests.rollout import plans
from tests.rollout.production import Load, Production, kill, until


def test_a_whole_rollout_with_every_step_read_back(production: Production) -> None:
    good, old = production.revision("good"), production.revision("old", errors=0.5)
    new = production.revision("new")
    production.start(old)
    deployer = Processes(production.folder)
    plan = plans.made(revision=new, stable_revision=old, last_good_revision=good)
    assert [] == deployer.preflight(plan)
    ready = deployer.prepare(plan, "3")
    assert (0, new, True, True) == (
        ready.weight, ready.canary_revision, ready.canary_healthy, ready.standby_healthy,
    )  # fmt: skip
    for percent in (10, 50, 100, 100):
        assert percent == deployer.set_weight(percent, "3").weight
    assert 100 == deployer.prepare(plan, "3").weight  # preparing again moves nothing
    for _ in range(2):
        done = deployer.promote("3")
        assert (0, new, None) == (done.weight, done.stable_revision, done.canary_revision)
    for _ in range(2):
        back = deployer.take_back(good, "3")
        assert (0, good, None, True) == (
            back.weight, back.stable_revision, back.canary_revision, back.stable_healthy,
        )  # fmt: skip


def test_an_older_token_is_refused_by_every_command(production: Production) -> None:
    old, new = production.revision("old"), production.revision("new")
    production.start(old)
    deployer = Processes(production.folder)
    plan = plans.made(revision=new, stable_revision=old)
    deployer.prepare(plans.made(revision=new, stable_revision=old, last_good_revision=None), "9")
    before = production.seen()["obeying"]
    commands: tuple[Callable[[], object], ...] = (
        lambda: deployer.prepare(plan, "8"),
        lambda: deployer.set_weight(10, "8"),
        lambda: deployer.promote("8"),
        lambda: deployer.take_back(old, "8"),
    )
    for command in commands:
        with pytest.raises(errors.StaleFence, match="older"):
            command()
    argv = deployer.take_back_argv(old, "8")
    done = subprocess.run(argv, capture_output=True, check=False)
    assert processes_take_back.SUPERSEDED == done.returncode
    assert before == production.seen()["obeying"]
    with pytest.raises(errors.PermanentFailure, match="token"):
        deployer.set_weight(10, "../etc")


def test_a_silent_host_is_a_temporary_failure_and_not_a_weight(production: Production) -> None:
    old = production.revision("old")
    production.start(old)
    deployer = Processes(production.folder, seconds=0.5)
    kill(production.process_id())
    assert production.process is not None
    production.process.wait(20)
    with pytest.raises(errors.TemporaryFailure, match="silent"):
        until(lambda: deployer.observe() is None)
    with pytest.raises(errors.TemporaryFailure, match="silent"):
        deployer.take_back(old, "1")


def test_no_host_at_all_is_said(tmp_path: Path) -> None:
    deployer = Processes(tmp_path / "nowhere")
    (problem,) = deployer.preflight(plans.made())
    assert problem.fatal
    assert "no host reports" in problem.text


def test_preflight_names_another_stable(production: Production) -> None:
    production.start(production.revision("old"))
    (problem,) = Processes(production.folder).preflight(plans.made())
    assert "make a new plan" in problem.text


def test_a_canary_that_cannot_start_is_said_with_its_log(production: Production) -> None:
    old, bad = production.revision("old"), production.revision("bad", dies=1)
    production.start(old)
    deployer = Processes(production.folder, seconds=3)
    plan = plans.made(revision=bad, stable_revision=old, last_good_revision=None)
    with pytest.raises(errors.TemporaryFailure, match="exit 7"):
        deployer.prepare(plan, "1")


def test_the_rehearsal_runs_the_way_back_for_real_and_leaves_stable_alone(
    production: Production,
) -> None:
    good, old = production.revision("good"), production.revision("old")
    new = production.revision("new")
    production.start(old)
    deployer = Processes(production.folder)
    plan = plans.made(revision=new, stable_revision=old, last_good_revision=good)
    deployer.prepare(plan, "2")
    with Load(production, clients=2).running() as load:
        load.at_least(20)
        shown = rehearsal.rehearse(deployer, plan, "2")
        load.at_least(20)
    assert (True, {"200"}, {old}) == (shown.passed, set(load.statuses), set(load.revisions))
    assert shown.seconds > 0
    assert "healthy" in shown.text


def test_a_rehearsal_that_fails_says_so(production: Production) -> None:
    old = production.revision("old")
    production.start(old)
    production.settle(stable=old, fence=5)
    plan = plans.made(revision="f" * 40, stable_revision=old, last_good_revision=None)
    shown = rehearsal.rehearse(Processes(production.folder), plan, "4")
    assert (False, True) == (shown.passed, "older" in shown.text)


def test_the_watchdog_takes_traffic_back_when_the_controller_is_gone(
    production: Production, tmp_path: Path
) -> None:
    old, new = production.revision("old"), production.revision("new")
    production.start(old)
    deployer = Processes(production.folder)
    plan = plans.made(revision=new, stable_revision=old, last_good_revision=None)
    deployer.prepare(plan, "1")
    argv = tuple(deployer.take_back_argv(old, "1"))
    lease = tmp_path / "lease"
    with Load(production, clients=2).running() as load:
        watchdog.arm(lease, watchdog.Lease(watchdog.TAKE_BACK, argv, seconds=0.5))
        threading.Thread(target=deployer.set_weight, args=(50, "1")).start()
        until(lambda: production.seen()["weight"] == 50)
        until(lambda: production.seen()["weight"] == 0 and production.seen()["canary"] is None)
        load.at_least(20)
    assert {"200"} == set(load.statuses)
