"""Deployer `command` against a team's real hooks: what they say, and what is so."""

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from incidents import errors
from rollout import rehearsal, watchdog, way_back
from rollout.deployers.command import Command, Settings
from tests.rollout import plans
from tests.rollout.deployers.team import PLAN, Team
from tests.rollout.production import alive, kill, until

OLD, NEW, GOOD = plans.OLD, plans.NEW, plans.GOOD


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team.begin(tmp_path / "team")


def deployer(team: Team, *more: str, **keys: Any) -> Command:
    settings = Settings.model_validate(team.hooks("set_weight", *more, **keys))
    return Command("checkout", settings, team.folder.parent / "halon")


def short(**seconds: float) -> dict[str, float]:
    return {"prepare": 5.0, "set_weight": 2.0, "promote": 5.0, "take_back": 5.0, **seconds}


def back(command: Command, to: str, token: str) -> subprocess.CompletedProcess[str]:
    """Walk the way back as the watchdog does: nothing of our environment, nothing of our path."""
    return subprocess.run(
        command.take_back_argv(to, token),
        capture_output=True, text=True, check=False, cwd="/", env={"PATH": os.defpath}, timeout=30,
    )  # fmt: skip


def test_a_whole_rollout_with_every_step_read_back(team: Team) -> None:
    command = deployer(team)
    assert [] == command.preflight(PLAN)
    ready = command.prepare(PLAN, "3")
    assert (0, NEW, True, True) == (
        ready.weight, ready.canary_revision, ready.canary_healthy, ready.settled,
    )  # fmt: skip
    for percent in (10, 50, 100):
        assert percent == command.set_weight(percent, "3").weight
    assert 100 == command.prepare(PLAN, "3").weight  # preparing again moves nothing
    for _ in range(2):
        done = command.promote("3")
        assert (0, NEW, None) == (done.weight, done.stable_revision, done.canary_revision)
    for _ in range(2):
        gone = command.take_back(GOOD, "3")
        assert (0, GOOD, None, True) == (
            gone.weight, gone.stable_revision, gone.canary_revision, gone.settled,
        )  # fmt: skip
    once = ["prepare", "set_weight", "set_weight", "set_weight", "promote"]
    assert [*once, "take_back", "take_back"] == team.calls()


def test_a_hook_sees_its_documented_environment_and_no_more(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "for the registry")
    monkeypatch.setenv("HALON_TELEGRAM", "not for hooks")
    command = deployer(team, environment=["SECRET"], cwd=str(team.folder))
    command.prepare(plans.made(), "7")
    command.set_weight(10, "7")
    command.take_back(GOOD, "8")
    common = {
        "HALON_SERVICE": "checkout",
        "HALON_ROLLOUT": f"checkout-{NEW[:12]}",
        "HALON_REVISION": NEW,
        "HALON_STABLE": OLD,
        "HALON_LAST_GOOD": GOOD,
        "SECRET": "for the registry",
        "cwd": str(team.folder),
    }
    assert team.last("set_weight") == {
        **common, "hook": "set_weight", "HALON_HOOK": "set_weight", "HALON_PERCENT": "10",
        "HALON_FENCE": "7", "HALON_TO": "",
    }  # fmt: skip
    assert team.last("take_back") == {
        **common, "hook": "take_back", "HALON_HOOK": "take_back", "HALON_PERCENT": "0",
        "HALON_FENCE": "8", "HALON_TO": GOOD,
    }  # fmt: skip


def test_an_argument_is_never_a_shells(team: Team) -> None:
    odd = team.folder / "$(touch pwned); a b"
    odd.mkdir()
    (odd / "world.json").write_text(json.dumps(team.world()), encoding="utf-8")
    keys = Team(odd).hooks("set_weight", cwd=str(team.folder))
    command = Command("checkout", Settings.model_validate(keys), team.folder.parent / "halon")
    assert OLD == command.observe().stable_revision
    assert not list(team.folder.glob("pwned"))


@pytest.mark.parametrize("name", ["prepare", "set_weight", "promote", "take_back"])
def test_a_hook_that_says_yes_and_does_nothing_is_noticed(team: Team, name: str) -> None:
    command = deployer(team, seconds=short(**{name: 0.5}))
    if name != "prepare":
        command.prepare(PLAN, "1")
    if name == "promote":
        command.set_weight(100, "1")
    team.change(rules={name: {"lies": True}})
    steps = {
        "prepare": lambda: command.prepare(PLAN, "1"),
        "set_weight": lambda: command.set_weight(10, "1"),
        "promote": lambda: command.promote("1"),
        "take_back": lambda: command.take_back(OLD, "1"),
    }
    with pytest.raises(errors.TemporaryFailure, match=f"{name} was commanded and did not come"):
        steps[name]()
    assert name in team.calls()


def test_exit_codes_say_whether_to_try_again(team: Team) -> None:
    command = deployer(team)
    command.prepare(PLAN, "1")
    team.change(rules={"set_weight": {"fails": 1, "exit": 75}})
    with pytest.raises(errors.TemporaryFailure, match="another try: the registry is down"):
        command.set_weight(10, "1")
    assert 10 == command.set_weight(10, "1").weight
    team.change(rules={"set_weight": {"fails": 1, "exit": 1}})
    with pytest.raises(errors.PermanentFailure, match="failed: the registry is down"):
        command.set_weight(50, "1")


def test_a_take_back_that_fails_twice_and_then_works(team: Team, tmp_path: Path) -> None:
    command = deployer(team)
    command.prepare(PLAN, "1")
    command.set_weight(50, "1")
    team.change(rules={"take_back": {"fails": 2}})
    with pytest.raises(errors.TemporaryFailure, match="registry"):  # never given up on
        command.take_back(OLD, "1")
    lease = tmp_path / "lease"
    argv = tuple(command.take_back_argv(OLD, "1"))
    watchdog.arm(lease, watchdog.Lease(watchdog.TAKE_BACK, argv, seconds=0.2))
    until(lambda: (team.world()["weight"], team.world()["canary"]) == (0, None))
    until(lambda: not watchdog.watching(lease))
    assert [1, 0] == [e["exit"] for e in watchdog.acted(lease) if e["did"] == "take_back"]


def test_a_late_hook_ends_with_all_that_it_started(team: Team) -> None:
    late = team.folder / "late.sh"
    late.write_text("#!/bin/sh\nsleep 60 & echo $! > child\nwait\n", encoding="utf-8")
    late.chmod(0o755)
    keys = {"cwd": str(team.folder), "seconds": short(prepare=0.5), "prepare": [str(late)]}
    with pytest.raises(errors.TemporaryFailure, match="took longer"):
        deployer(team, **keys).prepare(PLAN, "1")
    child = int((team.folder / "child").read_text())
    until(lambda: not alive(child))


def test_taking_back_waits_behind_no_other_hook(team: Team) -> None:
    command = deployer(team, seconds=short(set_weight=60.0))
    command.prepare(PLAN, "1")
    team.change(rules={"set_weight": {"hang": True}})
    failed: list[errors.HalonError] = []

    def shift() -> None:
        try:
            command.set_weight(50, "1")
        except errors.HalonError as error:
            failed.append(error)

    shifting = threading.Thread(target=shift)
    shifting.start()
    until(lambda: "set_weight" in team.calls())
    assert 0 == back(command, OLD, "1").returncode
    shifting.join(10)
    assert ["set_weight was overtaken by take_back."] == [error.message for error in failed]
    assert isinstance(failed[0], errors.TemporaryFailure)
    assert (0, OLD, None) == tuple(team.world()[key] for key in ("weight", "stable", "canary"))


def test_the_hook_of_a_killed_controller_is_ended_by_its_successor(team: Team) -> None:
    command = deployer(team, seconds=short(set_weight=60.0))
    command.prepare(PLAN, "1")
    team.change(rules={"set_weight": {"hang": True}})
    program = (
        "import sys; from pathlib import Path; from rollout import way_back\n"
        "way_back.load(Path(sys.argv[1])).set_weight(50, '1')"
    )
    file = command.take_back_argv(OLD, "1")[4]
    controller = subprocess.Popen(
        [sys.executable, "-c", program, file], cwd=Path(__file__).parents[3]
    )
    record = team.folder.parent / "halon/commanded.json"
    until(lambda: json.loads(record.read_text())["running"] and "set_weight" in team.calls())
    orphan = json.loads(record.read_text())["running"]["pid"]
    kill(controller.pid)
    controller.wait(10)
    assert alive(orphan)
    with pytest.raises(errors.TemporaryFailure, match="still at work"):
        command.promote("1") if command.observe().weight else command.set_weight(10, "1")
    team.change(rules={})
    assert 10 == command.set_weight(10, "2").weight
    assert not alive(orphan)


def test_an_older_token_is_refused_by_every_command(team: Team) -> None:
    command = deployer(team)
    command.prepare(PLAN, "9")
    before = team.calls()
    commands: tuple[Callable[[], object], ...] = (
        lambda: command.prepare(PLAN, "8"),
        lambda: command.set_weight(10, "8"),
        lambda: command.promote("8"),
        lambda: command.take_back(OLD, "8"),
    )
    for refused in commands:
        with pytest.raises(errors.StaleFence, match="older"):
            refused()
    assert way_back.SUPERSEDED == back(command, OLD, "8").returncode
    assert before == team.calls()
    assert way_back.DONE == back(command, OLD, "newest").returncode
    with pytest.raises(errors.PermanentFailure, match="token"):
        command.set_weight(10, "../etc")


def test_an_answer_that_is_none_is_unseen_and_not_zero(team: Team) -> None:
    command = deployer(team)
    for printed, said in (
        ('{"stable": "a", "canary": null, "healthy": true}', "says no weight"),
        ('{"weight": 0, "stable": "a", "canary": null}', "whether it is healthy"),
    ):
        team.change(rules={"observe": {"print": printed}})
        with pytest.raises(errors.TemporaryFailure, match=said):
            command.observe()
    assert [True] == [problem.fatal for problem in command.preflight(PLAN)]


def test_traffic_to_a_canary_that_does_not_run_is_said(team: Team) -> None:
    team.change(weight=10)
    seen = deployer(team).observe()
    assert (10, None, False) == (seen.weight, seen.canary_revision, seen.canary_healthy)
    assert "does not run" in (seen.trouble or "")


def test_a_weight_that_somebody_else_changed_is_noticed(team: Team) -> None:
    command = deployer(team)
    command.prepare(PLAN, "1")
    assert command.set_weight(50, "1").settled
    team.change(weight=30)
    seen = command.observe()
    assert (30, False) == (seen.weight, seen.settled)


def test_preflight_finds_what_cannot_work(team: Team) -> None:
    team.change(stable=GOOD, canary="d" * 40, weight=5)
    command = deployer(team, promote=["/no/such/program"])
    texts = "\n".join(p.text for p in command.preflight(PLAN) if p.fatal)
    for word in ("/no/such/program", "make a new plan", "Another canary", "already gets 5 %"):
        assert word in texts
    assert [] == team.calls()
    with pytest.raises(errors.WrongState, match="Production runs"):
        command.prepare(PLAN, "1")


def test_a_sick_canary_gets_no_more_traffic(team: Team) -> None:
    command = deployer(team)
    command.prepare(PLAN, "1")
    team.change(healthy=False)
    with pytest.raises(errors.TemporaryFailure, match="not healthy"):
        command.set_weight(10, "1")
    assert 0 == team.world()["weight"]
    assert 0 == command.take_back(OLD, "1").weight


def test_the_teams_pipeline_is_frozen_while_a_rollout_is_open(team: Team) -> None:
    command = deployer(team, "freeze", "unfreeze")
    command.prepare(PLAN, "1")
    assert team.world()["frozen"]
    assert 0 == back(command, OLD, "1").returncode
    assert not team.world()["frozen"]
    command.prepare(PLAN, "1")
    command.set_weight(100, "1")
    assert ["freeze", "prepare"] == team.calls()[-3:-1]
    team.change(rules={"unfreeze": {"fails": 1}})
    told = command.promote("1")
    assert (NEW, True) == (told.stable_revision, "still frozen" in (told.trouble or ""))
    assert "still frozen" in (command.observe().trouble or "")


def test_a_pipeline_that_cannot_be_frozen_stops_the_start(team: Team) -> None:
    team.change(rules={"freeze": {"fails": 1}})
    with pytest.raises(errors.PermanentFailure, match="freeze failed"):
        deployer(team, "freeze", "unfreeze").prepare(PLAN, "1")
    assert team.world()["canary"] is None


def test_the_rehearsal_walks_the_way_back_and_prepares_again(team: Team) -> None:
    command = deployer(team)
    command.prepare(PLAN, "1")
    shown = rehearsal.rehearse(command, PLAN, "1")
    assert (True, ["prepare", "take_back", "prepare"]) == (shown.passed, team.calls())
    team.change(rules={"take_back": {"lies": True}})
    lying = deployer(team, seconds=short(take_back=0.5))
    failed = rehearsal.rehearse(lying, PLAN, "1")
    assert (False, True) == (failed.passed, "did not come true" in failed.text)


def test_the_way_back_needs_nothing_installed_and_keeps_secrets_to_itself(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "for the registry")
    command = deployer(team, environment=["SECRET"])
    command.prepare(PLAN, "1")
    argv = command.take_back_argv(OLD, "newest")
    assert ["-I", "-S"] == argv[1:3]  # no site-packages: only the standard library is in reach
    assert "registry" not in " ".join(argv)
    assert 0o600 == stat.S_IMODE(Path(argv[4]).stat().st_mode)
    done = back(command, OLD, "newest")
    assert (0, {"weight": 0, "stable": OLD, "trouble": None}) == (
        done.returncode, json.loads(done.stdout),
    )  # fmt: skip
    assert "for the registry" == team.last("take_back")["SECRET"]
    assert way_back.USAGE == way_back.main(["/no/such/file", OLD, "1"])


def test_who_plans_without_credentials_looks_and_overwrites_nothing(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "for the registry")
    file = Path(deployer(team, environment=["SECRET"]).take_back_argv(OLD, "1")[4])
    before = file.read_text(encoding="utf-8")
    monkeypatch.delenv("SECRET")
    planning = deployer(team, environment=["SECRET"])
    assert [] == planning.preflight(PLAN)
    planning.take_back_argv(OLD, "1")
    assert before == file.read_text(encoding="utf-8")
    with pytest.raises(errors.PermanentFailure, match="SECRET: not set"):
        planning.prepare(PLAN, "1")
    assert [] == team.calls()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"prepare": "deploy canary"}, "tuple"),
        ({"prepare": []}, "at least 1"),
        ({"freeze": ["x"]}, "belong together"),
        ({"seconds": {"observee": 1}}, "no hook"),
        ({"seconds": {"take_back": 300}}, "at most 75 s"),
        ({"shell": True}, "shell"),
    ],
)
def test_mistakes_in_the_settings_are_named(team: Team, keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Settings.model_validate({**team.hooks("set_weight"), **keys})
