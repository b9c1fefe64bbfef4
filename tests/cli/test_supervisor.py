"""The supervisor with real children: started again on any exit, ended with it, told apart."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli import supervisor
from cli.supervisor import Child, Supervisor
from incidents import errors
from tests.cli.plants import alive, until

SLEEPS = (sys.executable, "-S", "-c", "import time; time.sleep(60)")


@pytest.fixture
def watching() -> Iterator[Supervisor]:
    made = Supervisor()
    yield made
    made.stop()


def child(tmp_path: Path, *argv: str, name: str = "one") -> Child:
    return Child(name, argv or SLEEPS, tmp_path / f"{name}.log", {"PATH": os.defpath})


def _looking(watching: Supervisor, condition: Callable[[], object]) -> None:
    """Let the supervisor look until something is so."""

    def look() -> object:
        watching.look()
        return condition()

    until(look)


@pytest.mark.parametrize("code", [0, 1, 3])
def test_a_child_that_ends_is_started_again_whatever_its_exit(tmp_path: Path, code: int) -> None:
    deaths: list[tuple[str, int]] = []
    watching = Supervisor(lambda who, pid, code: deaths.append((who.name, code)))
    lives = tmp_path / "lives"
    watching.start(child(tmp_path, "/bin/sh", "-c", f"echo life >> {lives}; exit {code}"))
    try:
        _looking(watching, lambda: lives.exists() and lives.read_text().count("life") >= 3)
    finally:
        watching.stop()

    assert {("one", code)} == set(deaths)


def test_one_that_keeps_ending_is_started_less_and_less_often(tmp_path: Path) -> None:
    watching = Supervisor()
    starts = tmp_path / "starts"
    watching.start(child(tmp_path, "/bin/sh", "-c", f"date +%s.%N >> {starts}"))

    def four() -> list[float]:
        watching.look()
        times = [float(line) for line in starts.read_text().split()] if starts.exists() else []
        return times if len(times) >= 4 else []

    times = until(four)
    watching.stop()

    first, second, third = (times[n + 1] - times[n] for n in range(3))
    assert supervisor.FIRST_DELAY_SECONDS <= first < second < third


def test_the_death_of_a_child_is_told_with_its_pid(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    watching = Supervisor(lambda who, pid, code: told.append((pid, code)))
    pid = watching.start(child(tmp_path))
    os.kill(pid, signal.SIGKILL)
    _looking(watching, lambda: told)
    watching.stop()

    assert [(pid, -signal.SIGKILL)] == told


def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\n"
        "from cli.supervisor import Child, Supervisor\n"
        "s = Supervisor()\n"
        f"one = Child('one', {SLEEPS!r}, Path({str(tmp_path / 'log')!r}), {{}})\n"
        "print(s.start(one), flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert alive(pid)

    parent.kill()
    parent.wait(10)
    parent.stdout.close()

    until(lambda: not alive(pid), 5)


def test_a_stubborn_child_is_killed_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 0.3)
    watching = Supervisor()
    inner = tmp_path / "inner"
    script = f"trap '' TERM; sleep 60 & echo $! > {inner}; while :; do wait; done"
    pid = watching.start(child(tmp_path, "/bin/sh", "-c", script))
    grandchild = int(until(lambda: inner.exists() and inner.read_text().strip()))

    watching.stop()

    until(lambda: not alive(pid) and not alive(grandchild), 5)


def test_only_the_named_are_ended(tmp_path: Path, watching: Supervisor) -> None:
    watching.start(child(tmp_path, name="redis"))
    watching.start(child(tmp_path, name="bot"))

    watching.stop(but=("redis",))

    assert (True, False) == (watching.alive("redis"), watching.alive("bot"))


def test_a_program_that_is_not_there_is_one_sentence(tmp_path: Path, watching: Supervisor) -> None:
    with pytest.raises(errors.PermanentFailure, match="one cannot be started"):
        watching.start(child(tmp_path, "/none/such"))


def test_one_that_cannot_be_started_again_now_costs_the_others_nothing(
    tmp_path: Path, watching: Supervisor
) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nsleep 60\n")
    program.chmod(0o755)
    pid = watching.start(child(tmp_path, str(program)))
    watching.start(child(tmp_path, name="two"))
    program.rename(tmp_path / "away")
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid))
    end = time.monotonic() + 4 * supervisor.FIRST_DELAY_SECONDS
    while time.monotonic() < end:
        watching.look()
    assert (False, True) == (watching.alive("one"), watching.alive("two"))

    (tmp_path / "away").rename(program)

    _looking(watching, lambda: watching.alive("one"))


def test_an_environment_holds_the_named_and_what_any_program_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    monkeypatch.setenv("HALON_FOLDER", "/data")
    monkeypatch.setenv("REDIS_URL", "redis://old")

    made = supervisor.environment(("HALON_FOLDER", "REDIS_URL"), {"REDIS_URL": "unix:///new"})

    assert ("/data", "unix:///new") == (made["HALON_FOLDER"], made["REDIS_URL"])
    assert {"HALON_FOLDER", "REDIS_URL", "PYTHONUNBUFFERED"} == set(made) - {
        *supervisor.COMMON_VARIABLES
    }
