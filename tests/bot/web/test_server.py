"""How the war room ends: at once, whoever is connected, and with nobody left open."""

import asyncio
import socket

import pytest

from bot.web import app, server
from incidents.policy import OPERATOR
from tests.bot.web import rooms
from tests.incidents.builders import World

TURNS = range(6)  # an accepted connection becomes known to uvicorn in one of these


@pytest.mark.parametrize("turns", TURNS)
def test_a_connection_of_the_moment_of_the_stop_is_not_waited_for(world: World, turns: int) -> None:
    left, known = asyncio.run(_stopped(world, turns))

    assert (b"", set()) == (left, known)


def test_a_request_that_is_never_sent_whole_is_cut_off_with_the_others(world: World) -> None:
    """Its body is waited for by its handler, so that only the deadline ends it."""
    token = world.tokens.add("web", OPERATOR)
    head = f"POST /say HTTP/1.1\r\nAuthorization: Bearer {token}"
    left, known = asyncio.run(_stopped(world, 20, head, deadline=1))

    assert (b"", set()) == (left, known)


async def _stopped(
    world: World, turns: int, begun: str = "", deadline: int = server.STOP_SECONDS
) -> tuple[bytes, set[object]]:
    """Connect, stop so many turns later; what the client then reads, and who is still known."""
    bound = server.bind("127.0.0.1", 0)
    serving = server.Server(app.create(rooms.room_of(world)))
    serving.config.timeout_graceful_shutdown = deadline
    serving.config.load()
    serving.lifespan = serving.config.lifespan_class(serving.config)
    await serving.startup([bound])
    with socket.create_connection(bound.getsockname(), timeout=5) as client:
        if begun:
            head = f"{begun}\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n"
            client.sendall(head.encode())
            while not serving.server_state.tasks:
                await asyncio.sleep(0.01)
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.wait_for(serving.shutdown([bound]), server.STOP_SECONDS * 0.9)
        await asyncio.sleep(0)  # what was cut off is told to its protocol in the next turn
        client.setblocking(False)
        try:
            left = client.recv(100)
        except ConnectionResetError:
            left = b""
        return left, set(serving.server_state.connections)
