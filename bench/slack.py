"""A slash command to its acknowledgement in Slack, fifty at once, over a real socket.

`python -m bench.slack` prints the rows; `rows()` is what `make bench` collects. Slack's side is the
double of the tests in a process of its own, which takes the time; each command is stored before it
is acknowledged, and acted on beside it. The anchor is that of bench.web, in the same run.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from bench import web
from bot import app
from bot.slack.app import Account
from incidents.policy import Access
from incidents.service import Incidents
from incidents.store import Store
from tests import slack_double
from tests.slack_double import APP_TOKEN, BOT_TOKEN

AT_ONCE, ROUNDS = 50, 6
AIM_MS = 250.0
SLACK_GIVES_MS = 3000.0
PATIENCE = 60.0  # seconds for one round
ACCESS = Access(web.ACCESS.services, chat_configured=True)
Row = dict[str, object]


def rows() -> list[Row]:
    """Return the figures: what, aim, value, anchor, ratio; takes about ten seconds."""
    with tempfile.TemporaryDirectory(prefix="halon-bench-slack-") as folder:
        store = Store(f"sqlite:///{Path(folder) / 'halon.db'}")
        store.migrate()
        argv = [sys.executable, "-m", "bench.slack", "--slack"]
        with subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as slack:
            took = asyncio.run(_measured(store, slack))
        opened = len(Incidents(store).list(live_only=False))
        store.close()
        anchor = web.bare(Path(folder) / "bare.db")
    if opened != AT_ONCE * ROUNDS:
        raise RuntimeError(f"{AT_ONCE * ROUNDS} commands opened {opened} incidents")
    what = f"slash command → stored and acknowledged, {AT_ONCE} at once"
    aim = f"< {AIM_MS:g} ms; Slack gives {SLACK_GIVES_MS:g}"
    p99 = statistics.quantiles(took, n=100)[98]
    return [
        web.row(f"{what}, p99", aim, p99, anchor),
        web.row(f"{what}, the slowest of {len(took)}", aim, max(took), anchor),
    ]


async def _measured(store: Store, slack: "subprocess.Popen[str]") -> list[float]:
    """Live in that Slack for a few rounds; return the milliseconds of each command."""
    if slack.stdin is None or slack.stdout is None:
        raise RuntimeError("Slack's double has no pipes to talk through")
    address = (await asyncio.to_thread(slack.stdout.readline)).strip()
    account = Account(BOT_TOKEN, address, app_token=APP_TOKEN, channel="C0HOME")
    made = app.compose(store, ACCESS, b"k" * 32, (), account)
    if made.slack is None:
        raise RuntimeError("an account of Slack made no part that speaks it")
    stop = asyncio.Event()
    living = asyncio.create_task(made.slack.run(stop))
    took: list[float] = []
    while made.slack.trouble() is not None:
        await asyncio.sleep(0.05)
    for _ in range(ROUNDS):
        took += await asyncio.to_thread(_round, slack.stdin, slack.stdout)
        await made.slack.acts.idle()
    stop.set()
    await living
    slack.stdin.close()
    return took


def _round(asks: IO[str], tells: IO[str]) -> list[float]:
    asks.write("fire\n")
    asks.flush()
    return [float(one) for one in json.loads(tells.readline())]


def _slack() -> None:
    """Be Slack: say the address, then let fifty people type whenever a line comes in."""
    with slack_double.running() as double:
        print(double.base_url, flush=True)
        for number, _ in enumerate(sys.stdin):
            sent = [
                double.slash(f"/incident P1 checkout fails {number}-{one}", f"U{one:03}")
                for one in range(AT_ONCE)
            ]
            end = time.monotonic() + PATIENCE
            seconds = [one.acked.result(max(0.0, end - time.monotonic())) for one in sent]
            print(json.dumps([one * 1000 for one in seconds]), flush=True)


def main() -> None:
    """Print the rows, or be Slack for another process that does."""
    if sys.argv[1:] == ["--slack"]:
        _slack()
        return
    for one in rows():
        told = f"aim {one['aim']}; {one['anchor']}, ratio {one['ratio']}"
        print(f"{one['what']}: {one['value']} ({told})")


if __name__ == "__main__":
    main()
