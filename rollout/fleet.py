"""Replicas of a service's revisions: started, watched for health, restarted, drained and ended.

Called by `rollout.host`. A pool is all replicas of one revision; it serves only replicas that
answered their health check, and none of them outlives the host.
"""

import asyncio
import contextlib
import ctypes
import itertools
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROBE_SECONDS = 1.0
STARTING_PROBE_SECONDS = 0.05
PROBE_TIMEOUT = 2.0
PROBES_TO_FALL = 2
FIRST_BACK_OFF = 0.1
LONGEST_BACK_OFF = 10.0
STEADY_SECONDS = 10.0  # alive this long: the next crash starts at the shortest back-off again
DRAIN_SECONDS = 30.0
END_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1
_SERIAL = itertools.count(1)
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Recipe:
    """How a replica starts; `{socket}`, `{revision}`, `{tree}`, `{version}` are filled in."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    health: str
    replicas: int
    logs: Path
    sockets: Path


@dataclass
class Replica:
    """One process on one unix socket."""

    version: str
    revision: str
    socket: str
    process: subprocess.Popen[bytes]
    started: float
    healthy: bool = False
    ready_once: bool = False
    misses: int = 0
    in_flight: int = 0
    probe_due: float = 0.0


@dataclass
class Slot:
    """A replica's place in a pool, which outlives crashes."""

    number: int
    replica: Replica | None = None
    crashes: int = 0
    start_due: float = 0.0
    probe: asyncio.Task[bool] | None = None
    last_exit: int | None = None


def _die_with_parent(parent: int) -> Callable[[], None]:
    def prepare() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # the host died between fork and prctl
            os._exit(1)

    return prepare


@dataclass
class Pool:
    """All replicas of one revision. `version` is what they were started as."""

    recipe: Recipe
    revision: str
    tree: Path
    version: str
    slots: list[Slot] = field(init=False)
    turn: int = 0
    closing: bool = False

    def __post_init__(self) -> None:
        self.slots = [Slot(number) for number in range(self.recipe.replicas)]

    @property
    def healthy(self) -> int:
        """How many replicas would get traffic now."""
        return sum(1 for slot in self.slots if slot.replica is not None and slot.replica.healthy)

    @property
    def whole(self) -> bool:
        """Whether every replica is healthy."""
        return self.healthy == len(self.slots)

    @property
    def in_flight(self) -> int:
        """Requests that its replicas are working on."""
        return sum(slot.replica.in_flight for slot in self.slots if slot.replica is not None)

    def pick(self, tried: tuple[str, ...]) -> Replica | None:
        """Return the next healthy replica that was not tried yet, in turn."""
        for _ in self.slots:
            self.turn = (self.turn + 1) % len(self.slots)
            replica = self.slots[self.turn].replica
            if replica is not None and replica.healthy and replica.socket not in tried:
                return replica
        return None

    def log_path(self) -> Path:
        """Where the replicas' own output goes."""
        return self.recipe.logs / f"{self.version}-{self.revision[:12]}.log"

    def trouble(self) -> str | None:
        """Return what is wrong with the pool, in one sentence, or None."""
        crashed = [slot for slot in self.slots if slot.crashes]
        if self.whole or not crashed:
            return None
        exits = sorted({str(slot.last_exit) for slot in crashed})
        return (
            f"replicas of {self.revision[:12]} end by themselves (exit {', '.join(exits)}); "
            f"read {str(self.log_path())!r}"
        )

    def look(self) -> None:
        """Start what is missing, notice what ended, and probe what is due. Called often."""
        now = time.monotonic()
        for slot in self.slots:
            replica = slot.replica
            if replica is not None and replica.process.poll() is not None:
                self._ended(slot, replica, now)
                replica = None
            if replica is None:
                if not self.closing and now >= slot.start_due:
                    self._start(slot, now)
                continue
            self._watch(slot, replica, now)

    def _ended(self, slot: Slot, replica: Replica, now: float) -> None:
        replica.healthy = False
        slot.replica = None
        slot.last_exit = replica.process.returncode
        if now - replica.started > STEADY_SECONDS:
            slot.crashes = 0
        slot.start_due = now + min(LONGEST_BACK_OFF, FIRST_BACK_OFF * 2**slot.crashes)
        slot.crashes += 1
        with contextlib.suppress(OSError):
            os.killpg(replica.process.pid, signal.SIGKILL)  # children it left behind

    def _start(self, slot: Slot, now: float) -> None:
        # Never used twice: a replica that is being drained must not lose its socket to a new one.
        socket = self.recipe.sockets / f"{self.revision[:8]}-{next(_SERIAL)}.sock"
        filled = {
            "socket": str(socket),
            "revision": self.revision,
            "tree": str(self.tree),
            "version": self.version,
        }
        argv = [_fill(word, filled) for word in self.recipe.argv]
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            **{key: _fill(value, filled) for key, value in self.recipe.environment.items()},
            **{f"HALON_{key.upper()}": value for key, value in filled.items()},
        }
        log = self.log_path()
        log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with log.open("ab") as output:
                process = subprocess.Popen(
                    argv,
                    cwd=self.tree,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    preexec_fn=_die_with_parent(os.getpid()),
                )
        except (OSError, subprocess.SubprocessError):
            slot.last_exit = 127
            slot.start_due = now + min(LONGEST_BACK_OFF, FIRST_BACK_OFF * 2**slot.crashes)
            slot.crashes += 1
            return
        slot.replica = Replica(self.version, self.revision, str(socket), process, now)

    def _watch(self, slot: Slot, replica: Replica, now: float) -> None:
        if slot.probe is not None and slot.probe.done():
            self._probed(replica, slot.probe.result())
            slot.probe = None
        if slot.probe is None and now >= replica.probe_due and not self.closing:
            wait = PROBE_SECONDS if replica.ready_once else STARTING_PROBE_SECONDS
            replica.probe_due = now + wait
            slot.probe = asyncio.create_task(probe(replica.socket, self.recipe.health))

    def _probed(self, replica: Replica, good: bool) -> None:
        if good:
            replica.healthy, replica.ready_once, replica.misses = True, True, 0
            return
        replica.misses += 1
        if replica.misses >= PROBES_TO_FALL:
            replica.healthy = False

    async def drain(self) -> None:
        """Wait for the requests inside, then end the replicas; the pool must be off the route."""
        self.closing = True
        until = time.monotonic() + DRAIN_SECONDS
        while self.in_flight and time.monotonic() < until:
            await asyncio.sleep(0.02)
        await self.end()

    async def end(self) -> None:
        """End the replicas: politely, then by force."""
        self.closing = True
        running = [slot.replica for slot in self.slots if slot.replica is not None]
        for slot in self.slots:
            if slot.probe is not None:
                slot.probe.cancel()
        for replica in running:
            with contextlib.suppress(OSError):
                replica.process.terminate()
        until = time.monotonic() + END_SECONDS
        for replica in running:
            while replica.process.poll() is None and time.monotonic() < until:
                await asyncio.sleep(0.02)
            with contextlib.suppress(OSError):
                os.killpg(replica.process.pid, signal.SIGKILL)
            replica.process.wait()
            Path(replica.socket).unlink(missing_ok=True)

    def report(self) -> dict[str, Any]:
        """Return the pool as `is.json` shows it."""
        found = [slot.replica for slot in self.slots if slot.replica is not None]
        return {
            "revision": self.revision,
            "replicas": len(self.slots),
            "healthy": self.healthy,
            "pids": [replica.process.pid for replica in found],
            "in_flight": self.in_flight,
            "log": str(self.log_path()),
        }


def _fill(word: str, filled: Mapping[str, str]) -> str:
    for name, value in filled.items():
        word = word.replace("{" + name + "}", value)
    return word


async def probe(socket: str, path: str) -> bool:
    """Return whether a replica answers its health check with a 2xx in time."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                writer.write(
                    f"GET {path} HTTP/1.1\r\nhost: health\r\nuser-agent: halon-health\r\n"
                    "connection: close\r\n\r\n".encode()
                )
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return False
    parts = line.split(b" ")
    return len(parts) >= 2 and parts[1].startswith(b"2")
