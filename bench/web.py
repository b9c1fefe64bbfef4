"""A typed command to its acknowledgement, fifty at once, through the whole war room.

`python -m bench.web` prints the rows; `rows()` is what `make bench` collects. The anchor is the
same fifty stored one after the other by calling the commands, without a server.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from bot.commands import Commands
from bot.once import Once
from bot.web import app, server
from bot.web.room import Room
from incidents.approvals import Approvals
from incidents.inbox import Inbox
from incidents.knowledge import ActionItems, Costs
from incidents.people import Tokens
from incidents.policy import OPERATOR, Access
from incidents.posts import Posts
from incidents.rollouts import Rollouts
from incidents.service import Incidents
from incidents.settings import Service
from incidents.stages import Stages
from incidents.store import Store
from incidents.timeline import Timeline

AT_ONCE = 50
ROUNDS = 6
AIM_MS = 250.0
ACCESS = Access({"checkout": Service(name="checkout", repository="/srv/git/checkout")}, False)
Row = dict[str, object]


def rows() -> list[Row]:
    """Return the figures: what, aim, value, anchor, ratio; takes about ten seconds."""
    with tempfile.TemporaryDirectory(prefix="halon-bench-web-") as folder:
        store = Store(f"sqlite:///{Path(folder) / 'halon.db'}")
        store.migrate()
        room = _room(store)
        with _serving(room) as address:
            token = room.tokens.add("bench", OPERATOR)
            took = _fired(address, token)
        anchor = _one_by_one(room)
        store.close()
    worst = statistics.quantiles(took, n=100)[98]
    return [
        {
            "what": f"command → stored and acknowledged, {AT_ONCE} at once, p99",
            "aim": f"< {AIM_MS:g} ms",
            "value": worst,
            "anchor": anchor,
            "ratio": worst / anchor,
            "unit": "ms",
            "anchor_is": f"the same {AT_ONCE} one after the other, without a server",
        }
    ]


def _fired(address: str, token: str) -> list[float]:
    """Ask from a process of its own: in ours the client would wait for the server's interpreter."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.web", "--fire"],
        input=json.dumps([address, token]),
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(one) for one in json.loads(done.stdout)]


async def _fire(address: str, token: str) -> list[float]:
    """Open incidents from many connections at once; return milliseconds per answer."""
    headers = {"Authorization": f"Bearer {token}"}
    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    async with httpx.AsyncClient(
        base_url=address, headers=headers, limits=limits, timeout=30
    ) as client:
        await asyncio.gather(*(client.get("/healthz") for _ in range(AT_ONCE)))  # connect
        found: list[float] = []
        for _ in range(ROUNDS):
            found += await asyncio.gather(*(_say(client) for _ in range(AT_ONCE)))
        return found


async def _say(client: httpx.AsyncClient) -> float:
    body = {"line": "/incident P1 checkout failing", "key": str(uuid.uuid4())}
    begun = time.perf_counter()
    answer = await client.post("/say", json=body)
    took = (time.perf_counter() - begun) * 1000
    if answer.status_code != 200 or not answer.json()["incident"]:
        raise RuntimeError(f"the command was not accepted: {answer.text}")
    return took


def _one_by_one(room: Room) -> float:
    """Return the milliseconds of the same commands without a server."""
    begun = time.perf_counter()
    for _ in range(AT_ONCE):
        room.speaker.say("/incident P1 checkout failing", OPERATOR, None, str(uuid.uuid4()))
    return (time.perf_counter() - begun) * 1000


@contextmanager
def _serving(room: Room) -> Iterator[str]:
    bound = server.bind("127.0.0.1", 0)
    serving = server.Server(app.create(room))
    thread = threading.Thread(target=lambda: asyncio.run(serving.serve([bound])))
    thread.start()
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        serving.should_exit = True
        thread.join()
        bound.close()


def _room(store: Store) -> Room:
    incidents, stages, timeline = Incidents(store), Stages(store), Timeline(store)
    approvals, rollouts = Approvals(store, ACCESS, b"k" * 32), Rollouts(store)
    commands = Commands(
        incidents=incidents,
        stages=stages,
        timeline=timeline,
        approvals=approvals,
        rollouts=rollouts,
        access=lambda: ACCESS,
        now=store.now,
        once=Once(Inbox(store)),
    )
    return Room(
        incidents=incidents,
        timeline=timeline,
        stages=stages,
        approvals=approvals,
        rollouts=rollouts,
        costs=Costs(store),
        action_items=ActionItems(store),
        posts=Posts(store),
        tokens=Tokens(store),
        speaker=commands,
        access=lambda: ACCESS,
        now=store.now,
    )


def main() -> None:
    """Print the rows, or be the client of another process that does."""
    if sys.argv[1:] == ["--fire"]:
        print(json.dumps(asyncio.run(_fire(*json.load(sys.stdin)))))
        return
    for one in rows():
        print(
            f"{one['what']}: {one['value']:.0f} ms (aim {one['aim']}; {one['anchor_is']}: "
            f"{one['anchor']:.0f} ms)"
        )


if __name__ == "__main__":
    main()
