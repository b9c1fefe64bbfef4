"""A watched folder is worked as files become whole; whoever watches it is kept alive."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agents.case import Case
from agents.engine import Budget, Role
from agents.hotfix.answers import Result
from agents.hotfix.notebook import State
from incidents import reports
from tests import repositories
from tests.flows import hotfixes
from workers import inbox, keeper

PATIENCE = 90.0
STARTS_WITHIN = 2.0
BINARY = b"\0\0"  # refused at once: what is timed is the watch


@pytest.fixture
def shop(git_repo: repositories.Repository) -> repositories.Repository:
    """The shop whose greeting fails for guests."""
    return hotfixes.shop(git_repo)


class Broken:
    """An engine with a mistake in it."""

    name = "builtin"

    def plays(self, role: Role) -> bool:
        return True

    def run(self, role: Role, case: Case, budget: Budget) -> reports.Report:
        raise KeyError("x")


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


@contextmanager
def watched(root: Path, work: Path) -> Iterator[tuple[dict[Path, float], list[Result]]]:
    """Watch a tree; yields when each file was begun, by the monotonic clock, and the results."""
    begun: dict[Path, float] = {}
    ended: list[Result] = []
    made = hotfixes.made(work)
    watch = inbox.Watch(
        [root],
        made,
        lambda path: begun.update({path: time.monotonic()}),
        lambda path, result: ended.append(result),
    )
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        yield begun, ended
    finally:
        watch.stop.set()
        thread.join(PATIENCE)


def test_a_file_that_appears_is_worked_once_and_the_folder_may_come_later(
    shop: repositories.Repository, tmp_path: Path
) -> None:
    with watched(shop.path, tmp_path) as (begun, ended):
        path = hotfixes.drop(shop.path)  # the folder tasks/hotfix is made here, under the watch
        until(lambda: bool(ended))
        other = hotfixes.drop(shop.path, "", "tasks/hotfix/HOTFIX-empty.md")
        hotfixes.drop(shop.path, hotfixes.TRACE, "tasks/hotfix/notes.md")
        last = hotfixes.drop(shop.path, b"\0\0", "tasks/hotfix/HOTFIX-binary.md")
        until(lambda: len(ended) == 2)

    assert [path, last] == list(begun)
    assert [State.CONTAINED, None] == [result.state for result in ended]
    assert b"" == other.read_bytes()  # nobody has typed a word yet


def test_work_starts_within_two_seconds_of_a_file_being_whole_and_never_before(
    shop: repositories.Repository, tmp_path: Path
) -> None:
    """Somebody holds the first one open; another that is whole is begun meanwhile."""
    folder = shop.path / "tasks/hotfix"
    folder.mkdir(parents=True)
    waits: list[float] = []
    with watched(shop.path, tmp_path) as (begun, ended):
        with (folder / "HOTFIX-slow.md").open("wb") as slow:
            slow.write(BINARY)
            slow.flush()
            quick = hotfixes.drop(shop.path, BINARY, "tasks/hotfix/HOTFIX-quick.md")
            whole = time.monotonic()
            until(lambda: quick in begun)
            waits.append(begun[quick] - whole)
            assert folder / "HOTFIX-slow.md" not in begun
        whole = time.monotonic()
        until(lambda: len(begun) == 2)
        waits.append(begun[folder / "HOTFIX-slow.md"] - whole)
        until(lambda: len(ended) == 2)

    assert waits == [wait for wait in waits if 0 <= wait < STARTS_WITHIN]


def test_two_files_for_the_same_crash_are_worked_one_after_the_other(
    shop: repositories.Repository, tmp_path: Path
) -> None:
    with watched(shop.path, tmp_path) as (_, ended):
        one = hotfixes.drop(shop.path)
        two = hotfixes.drop(shop.path, f"Help! {hotfixes.TRACE}", "tasks/hotfix/HOTFIX-two.md")
        until(lambda: len(ended) == 2)

    assert {State.CONTAINED, State.NOTHING} == {result.state for result in ended}
    said = one.read_text("utf-8") + two.read_text("utf-8")
    assert 1 == said.count("It is contained already, by tasks/hotfix/HOTFIX-")


def test_an_error_of_our_own_is_told_and_ends_nothing_else(
    shop: repositories.Repository, tmp_path: Path
) -> None:
    ended: list[Result] = []
    made = replace(hotfixes.made(tmp_path), engine=Broken())
    watch = inbox.Watch(
        [shop.path], made, lambda path: None, lambda path, result: ended.append(result)
    )
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        hotfixes.drop(shop.path)
        until(lambda: len(ended) == 1)
        hotfixes.drop(shop.path, BINARY, "tasks/hotfix/HOTFIX-next.md")
        until(lambda: len(ended) == 2)
    finally:
        watch.stop.set()
        thread.join(PATIENCE)

    assert "An error of Halon's own (KeyError: 'x')" in ended[0].sentence
    assert "binary" in ended[1].sentence


def test_the_shell_s_watch_needs_no_server(shop: repositories.Repository, tmp_path: Path) -> None:
    """Redis, database and bot are named, and none of them is there."""
    watch = subprocess.Popen(
        [sys.executable, "-m", "cli", "hotfix", "--watch", str(shop.path), "--test", hotfixes.TEST],
        env={
            **os.environ,
            "REDIS_URL": f"unix://{tmp_path}/no.sock",
            "DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:1/none",
        },
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watch.stdout is not None
    try:
        assert "Watching" in watch.stdout.readline()
        path = hotfixes.drop(shop.path)
        until(lambda: "<!-- /halon -->" in path.read_text("utf-8"))
    finally:
        watch.send_signal(signal.SIGTERM)
        assert 0 == watch.wait(PATIENCE)
        watch.stdout.close()

    assert "Contained by a guard" in path.read_text("utf-8")


def test_a_helper_that_dies_is_started_again_and_ends_with_its_worker(tmp_path: Path) -> None:
    lives = tmp_path / "lives"
    code = f"import os, time\nopen({str(lives)!r}, 'a').write(f'{{os.getpid()}} ')\ntime.sleep(600)"

    def pids() -> list[int]:
        return [int(word) for word in lives.read_text().split()] if lives.exists() else []

    with keeper.kept([sys.executable, "-c", code]) as keep:
        assert keep is not None
        until(lambda: len(pids()) == 1)
        os.kill(pids()[0], signal.SIGKILL)

        def twice() -> bool:
            keep()
            return len(pids()) == 2

        until(twice)

    with pytest.raises(ProcessLookupError):
        os.kill(pids()[1], 0)
