"""Fifty commands at once while Redis stands still: all acknowledged in time, none lost or twice.

The bot does not need Redis to take a command: the database is the truth, and the controller wakes
the work. This holds it to that, with a real server that is stopped in the middle.
"""

import asyncio
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.slack.connection import Pace
from cli import redis as redis_servers
from tests.bot.office import Office
from tests.bot.slack import desk
from tests.bot.slack.desk import Desk

COMMANDS = 50
STALLED_SECONDS = 2.0
SLACK_GIVES = 3.0


@pytest.fixture
def stalled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The pid of a Redis of our own, named in the environment as the bot is given it."""
    argv = redis_servers.command(redis_servers.find(), tmp_path)
    server = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    monkeypatch.setenv("REDIS_URL", redis_servers.url(tmp_path))
    yield server.pid
    server.send_signal(signal.SIGCONT)
    server.terminate()
    server.wait(20)


def test_fifty_at_once_are_acknowledged_while_redis_stands_still(
    office: Office, stalled: int, capsys: pytest.CaptureFixture[str]
) -> None:
    async def play(one: Desk) -> list[float]:
        assert one.slack.socket is not None
        one.slack.socket.pace = Pace()
        async with desk.running(one):
            os.kill(stalled, signal.SIGSTOP)
            asyncio.get_running_loop().call_later(STALLED_SECONDS, os.kill, stalled, signal.SIGCONT)
            sent = [
                one.double.slash(f"/incident P0 checkout fails {number}", f"U{number:03}")
                for number in range(COMMANDS)
            ]
            await desk.until(lambda: all(each.acked.done() for each in sent), 60)
            await one.slack.acts.idle()
            return [each.acked.result() for each in sent]

    with desk.both(office) as one:
        seconds = asyncio.run(play(one))

    p99 = statistics.quantiles(seconds, n=100)[98]
    with capsys.disabled():
        sys.stdout.write(f"acknowledged: p99 {p99:.3f} s, most {max(seconds):.3f} s\n")
    assert max(seconds) < SLACK_GIVES, f"p99 {p99:.3f} s"
    titles = sorted(each.title for each in one.incidents())
    assert sorted(f"checkout fails {number}" for number in range(COMMANDS)) == titles
