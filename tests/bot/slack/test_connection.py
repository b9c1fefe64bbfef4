"""The socket: what silence, a kill and a request for a new connection do to it."""

import asyncio
import json
import time
from typing import Any

import pytest

from bot.slack.connection import Pace
from incidents import errors
from tests import slack_double
from tests.bot.office import Office
from tests.bot.slack import desk
from tests.bot.slack.desk import SAM, Desk
from tests.slack_double import slash

LINE = "/incident P1 checkout failing"


async def health(one: Desk) -> dict[str, Any]:
    """Ask the war room how it is."""
    async with desk.http(one) as client:
        told: dict[str, Any] = json.loads((await client.get("/healthz")).content)
        return told


def test_a_killed_server_is_red_and_heard_again_soon_after_it_is_back(office: Office) -> None:
    async def play(one: Desk) -> tuple[bool, str]:
        async with desk.running(one):
            green = (await health(one))["ok"]
            one.double.stop()
            await desk.until(lambda: one.slack.trouble())
            red = await health(one)
            assert red["ok"] is False
            one.double.start()
            sent = one.double.slash(LINE, SAM)
            await desk.until(sent.acked.done)
            await one.slack.acts.idle()
            assert (await health(one))["ok"] is True
            return green, str(red["troubles"]["slack"])

    with desk.both(office) as one:
        green, why = asyncio.run(play(one))

    assert green
    assert why.startswith("Nothing is heard from Slack since ")
    assert 1 == len(one.incidents())


def test_a_connection_that_says_nothing_is_replaced(office: Office) -> None:
    async def play(one: Desk) -> None:
        async with desk.running(one):
            one.double.mute = True  # the connection stays open, and nobody answers any more
            await desk.until(lambda: one.slack.trouble())
            one.double.mute = False
            await desk.until(lambda: one.slack.trouble() is None)
            await desk.until(one.double.slash(LINE, SAM).acked.done)
            await one.slack.acts.idle()

    with desk.both(office) as one:
        asyncio.run(play(one))

        assert 2 <= one.double.opened
        assert 1 == len(one.incidents())


def test_slacks_own_request_for_a_new_connection_loses_nothing(office: Office) -> None:
    async def play(one: Desk) -> None:
        async with desk.running(one):
            one.double.disconnect()
            await desk.until(lambda: one.double.opened == 2)
            await desk.until(one.double.slash(LINE, SAM).acked.done)
            await one.slack.acts.idle()

    with desk.both(office) as one:
        asyncio.run(play(one))

        assert 1 == len(one.incidents())


def test_an_unacknowledged_envelope_comes_again_and_counts_once(office: Office) -> None:
    async def play(one: Desk) -> None:
        async with desk.running(one):
            payload = slash(LINE, SAM, "", trigger_id="t1")
            first = one.double.send("slash_commands", payload, "env-1")
            await desk.until(first.acked.done)
            again = one.double.send("slash_commands", payload, "env-1")
            await desk.until(again.acked.done)
            await one.slack.acts.idle()

    with desk.both(office) as one:
        asyncio.run(play(one))

        assert 1 == len(one.incidents())


def test_a_wrong_app_token_is_said_and_waited_out(office: Office) -> None:
    async def play(one: Desk) -> str:
        bad = {"ok": False, "error": "invalid_auth"}
        one.double.answers["apps.connections.open"] = lambda said: bad
        stop = asyncio.Event()
        task = asyncio.create_task(one.slack.run(stop))
        await desk.until(lambda: "invalid_auth" in str(one.slack.trouble()))
        told = str(one.slack.trouble())
        del one.double.answers["apps.connections.open"]
        await desk.until(lambda: one.slack.trouble() is None)
        stop.set()
        await task
        return told

    with desk.both(office) as one:
        told = asyncio.run(play(one))

    assert slack_double.APP_TOKEN not in told


def test_after_many_failures_the_process_ends_for_a_fresh_one(office: Office) -> None:
    async def play(one: Desk) -> None:
        assert one.slack.socket is not None
        one.slack.socket.pace = Pace(first_wait=0.01, longest_wait=0.02, failures=3)
        one.double.stop()
        await one.slack.run(asyncio.Event())

    with (
        desk.both(office) as one,
        pytest.raises(errors.PermanentFailure, match="3 times in a row"),
    ):
        asyncio.run(play(one))


@pytest.mark.alone
def test_a_server_that_is_away_for_ten_seconds_is_answered_within_thirty(office: Office) -> None:
    """With the pace of production, and a command sent while nobody listened."""

    async def play(one: Desk) -> tuple[float, bool]:
        assert one.slack.socket is not None
        one.slack.socket.pace = Pace()
        async with desk.running(one):
            one.double.stop()
            gone = time.monotonic()
            red = False
            while time.monotonic() - gone < 10:
                red = red or not (await health(one))["ok"]
                await asyncio.sleep(0.25)
            one.double.start()
            back = time.monotonic()
            sent = one.double.slash(LINE, SAM)
            await desk.until(sent.acked.done, 60)
            await desk.until(lambda: one.incidents(), 60)
            return time.monotonic() - back, red

    with desk.both(office) as one:
        seconds, red = asyncio.run(play(one))

    assert red
    assert seconds < 30, f"answered after {seconds:.1f} s"
