"""A typed command to its acknowledgement, fifty at once, through the whole war room.

`python -m bench.web` prints the rows; `rows()` is what `make bench` collects. The anchor is as many
bare inserts, each with a commit that reaches the same disk, in the same run.
"""

import asyncio
import contextlib
import json
import selectors
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import typing
import urllib.parse
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.commands import Commands
from bot.once import Once
from bot.web import app, server
from bot.web.room import Room
from incidents.approvals import Approvals
from incidents.inbox import Inbox
from incidents.knowledge import ActionItems, Costs
from incidents.offers import Offers
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
TIMEOUT = 30.0  # seconds
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
            begun = time.process_time()
            took = _fired(address, token)
            busy = (time.process_time() - begun) * 1000 / len(took)
        alone = _one_by_one(room)
        store.close()
        anchor = bare(Path(folder) / "bare.db")
    worst = statistics.quantiles(took, n=100)[98]
    at_once = f"command → stored and acknowledged, {AT_ONCE} at once"
    return [
        row(f"{at_once}, p99", f"< {AIM_MS:g} ms", worst, anchor),
        row(f"{at_once}, the server's CPU for all", f"< {AIM_MS:g} ms", busy * AT_ONCE, anchor),
        row(f"{AT_ONCE} commands one after the other, without a server", "—", alone, anchor),
    ]


def row(what: str, aim: str, value: float, anchor: float) -> Row:
    """Return one figure in milliseconds beside the anchor."""
    return {
        "what": what,
        "aim": aim,
        "value": f"{value:.0f} ms",
        "anchor": f"{AT_ONCE} bare inserts with a commit each: {anchor:.1f} ms",
        "ratio": f"{value / anchor:.1f}",
    }


def bare(path: Path) -> float:
    """Return the milliseconds that the disk takes at least: a row and a commit, fifty times."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as bare:
        bare.execute("PRAGMA journal_mode=WAL")
        bare.execute("PRAGMA synchronous=FULL")
        bare.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, said TEXT)")
        found = []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            for _ in range(AT_ONCE):
                bare.execute("INSERT INTO t (said) VALUES (?)", ("checkout failing",))
            found.append((time.perf_counter() - begun) * 1000)
    return statistics.median(found)


def _fired(address: str, token: str) -> list[float]:
    """Ask from a process of its own: in ours the client would wait for the server's interpreter."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.web", "--fire"],
        input=json.dumps([address, token]),
        stdout=subprocess.PIPE,  # what goes wrong in it is seen
        text=True,
        check=True,
    )
    return [float(one) for one in json.loads(done.stdout)]


def _fire(address: str, token: str) -> list[float]:
    """Open incidents from many connections at once; return milliseconds per answer.

    Bare sockets, every request written beforehand: what is timed is the server and nearly nothing
    of its client, who on a machine of two cores would take the time of the one it measures.
    """
    place = urllib.parse.urlsplit(address)
    host, port = str(place.hostname), int(place.port or 80)
    with contextlib.ExitStack() as open_:
        lines = [
            open_.enter_context(socket.create_connection((host, port), timeout=TIMEOUT))
            for _ in range(AT_ONCE)
        ]
        return [
            took
            for _ in range(ROUNDS)
            for took in _round(lines, [_request(place.netloc, token) for _ in lines])
        ]


def _request(host: str, token: str) -> bytes:
    body = json.dumps({"line": "/incident P1 checkout failing", "key": str(uuid.uuid4())})
    head = (
        f"POST /say HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


def _round(lines: list[socket.socket], requests: list[bytes]) -> list[float]:
    """Send all, then wait for each answer as it comes."""
    waiting = selectors.DefaultSelector()
    begun: dict[socket.socket, float] = {}
    heard: dict[socket.socket, bytes] = {}
    took = []
    for line, request in zip(lines, requests, strict=True):
        waiting.register(line, selectors.EVENT_READ)
        begun[line], heard[line] = time.perf_counter(), b""
        line.sendall(request)
    while begun:
        ready = waiting.select(TIMEOUT)
        if not ready:
            raise RuntimeError(f"{len(begun)} commands have no answer after {TIMEOUT} s")
        for key, _ in ready:
            line = typing.cast(socket.socket, key.fileobj)
            heard[line] += line.recv(65536)
            if _is_whole(heard[line]):
                took.append((time.perf_counter() - begun.pop(line)) * 1000)
                waiting.unregister(line)
    return took


def _is_whole(answer: bytes) -> bool:
    """Whether an answer has come to its end; raises RuntimeError where it is no yes."""
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return False
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    if len(body) < int(fields[b"content-length"]):
        return False
    if not head.startswith(b"HTTP/1.1 200") or not json.loads(body)["incident"]:
        raise RuntimeError(f"the command was not accepted: {answer!r}")
    return True


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
        action_items=ActionItems(store),
        offers=Offers(store, ACCESS),
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
        print(json.dumps(_fire(*json.load(sys.stdin))))
        return
    for one in rows():
        told = f"aim {one['aim']}; {one['anchor']}, ratio {one['ratio']}"
        print(f"{one['what']}: {one['value']} ({told})")


if __name__ == "__main__":
    main()
