"""A watched folder is worked as files become whole; whoever watches it is kept alive."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agents.hotfix.notebook import State
from agents.hotfix.protocol import Result
from tests import repositories
from tests.flows import hotfixes
from workers import inbox, keeper

PATIENCE = 90.0


@pytest.fixture
def shop(git_repo: repositories.Repository) -> repositories.Repository:
    """The shop whose greeting fails for guests."""
    return hotfixes.shop(git_repo)


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


@contextmanager
def watched(root: Path, work: Path) -> Iterator[tuple[list[Path], list[Result]]]:
    begun: list[Path] = []
    ended: list[Result] = []
    made = hotfixes.made(work)
    watch = inbox.Watch([root], made, begun.append, lambda path, result: ended.append(result))
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

    assert [path, last] == begun
    assert [State.CONTAINED, None] == [result.state for result in ended]
    assert b"" == other.read_bytes()  # nobody has typed a word yet


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
