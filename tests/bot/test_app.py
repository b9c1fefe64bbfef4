"""The bot as a process: it listens, says where, posts what comes, and ends in order."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from bot import app
from bot.settings import BotSettings
from bot.web import server
from incidents import errors
from incidents.timers import CONTROLLER, LEADS_FOR, Leases
from tests.bot.office import KEY, RESPONDER, Office

TOML = '[[service]]\nname = "checkout"\nrepository = "/srv/checkout"\n'


def settings(folder: Path, **more: object) -> BotSettings:
    (folder / "halon.toml").write_text(TOML, encoding="utf-8")
    values = {
        "folder": folder,
        "file": folder / "halon.toml",
        "approval_key": KEY.hex(),
        "web_port": 0,
    }
    return BotSettings(**(values | more))  # type: ignore[arg-type]


async def until(true: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not true():
            await asyncio.sleep(0.01)

    await asyncio.wait_for(wait(), 30)


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(errors.PermanentFailure, match=f"Port {port} on 127.0.0.1 is in use"):
            app.run(settings(tmp_path, web_port=port))


@pytest.mark.parametrize("key", ["", "zz", "00" * 31, "secret"])
def test_a_key_that_is_none_is_refused_before_anything_starts(tmp_path: Path, key: str) -> None:
    with pytest.raises(errors.BadSettings, match="HALON_APPROVAL_KEY must be 64 hex digits"):
        app.run(settings(tmp_path, approval_key=key))

    assert not (tmp_path / "halon.db").exists()


def test_the_key_is_never_shown(tmp_path: Path) -> None:
    assert KEY.hex() not in repr(settings(tmp_path))


def test_further_names_of_the_war_room_come_after_its_own(tmp_path: Path) -> None:
    found = app.hosts(settings(tmp_path, web_host="10.0.0.5", web_hosts="halon.example, "))

    assert ("10.0.0.5", "127.0.0.1", "localhost", "[::1]", "halon.example") == found


def test_the_bot_serves_posts_and_ends_on_sigterm(office: Office) -> None:
    office.bot.commands.say("/incident P0 checkout failing", RESPONDER, None, "one")

    async def life() -> int:
        bound = server.bind("127.0.0.1", 0)
        port = bound.getsockname()[1]
        serving = asyncio.create_task(app.serve(office.bot, bound))
        try:
            await until(lambda: len(office.posts.since(1)) >= 2)
            async with httpx.AsyncClient() as client:
                answer = await client.get(f"http://127.0.0.1:{port}/healthz")
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(serving, 30)
            bound.close()
        return answer.status_code

    assert 200 == asyncio.run(life())
    headlines = [post.message["headline"] for post in office.posts.since(1)]
    assert ["INC-1 · P0 · checkout failing"] * 2 == headlines
    assert [True, False] == [post.pinned for post in office.posts.since(1)]


def test_health_hears_of_a_controller_that_died(office: Office) -> None:
    """It was there 40 seconds ago, by the database's clock; before the first it is unknown."""
    beat = office.bot.room.beats["controller"]
    never = beat()
    Leases(office.store).lead(CONTROLLER, "c", LEADS_FOR)
    office.clock.move(40)

    assert (None, 40.0) == (never, beat())


def test_the_address_really_bound_is_told_while_we_listen(tmp_path: Path) -> None:
    bound = server.bind("127.0.0.1", 0)
    with bound, app._announced(tmp_path, bound):
        told = json.loads((tmp_path / app.ADDRESS_FILE).read_text("utf-8"))
        port = bound.getsockname()[1]

    assert {"url": f"http://127.0.0.1:{port}"} == told
    assert not (tmp_path / app.ADDRESS_FILE).exists()
