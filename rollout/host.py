"""`halon host DIR`: a small real production on one machine, with exact weights per request.

Called by the shell and the demo; one per folder. It obeys `DIR/want.json` and reports
`DIR/is.json`, so nothing else needs to be alive for traffic to be moved back. Every change keeps
someone serving: a version gets traffic only when healthy, and loses its replicas only when drained.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from incidents import errors
from rollout import fleet, proxy, releases, want

LOOK_SECONDS = 0.05
REPORT_SECONDS = 0.5
BEAT_SECONDS = 0.25
READY_SECONDS = 30.0
GRACE_SECONDS = 10.0
LOG_BYTES = 64 * 1024 * 1024
GIVEN_UP_BACK_OFF = 5.0


def now() -> str:
    """Return the time as the host's files write it: UTC, microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def write_whole(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file so that a reader sees the old one or the new one, never a part."""
    making = path.with_name(f".{path.name}.{os.getpid()}")
    making.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    making.replace(path)


class AccessLog:
    """`access.log`: one JSON line per request, and a beat that tells silence from death."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)
        self.failed = False

    def line(self, content: dict[str, Any]) -> None:
        """Append one line; a full disk is remembered, never raised into a request."""
        raw = json.dumps(content, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
        try:
            self._file.write(raw)
            self.failed = False
            if self._file.tell() > LOG_BYTES:
                self._path.replace(self._path.with_name(self._path.name + ".1"))
                self._file.close()
                self._file = self._path.open("ab", buffering=0)
        except OSError:
            self.failed = True

    def request(self, line: proxy.Line) -> None:
        """Log one request or one failed attempt at it."""
        content: dict[str, Any] = {
            "ts": now(),
            "version": line.version,
            "revision": line.revision,
            "method": line.method,
            "path": line.path,
            "status": line.status,
            "ms": round(line.seconds * 1000, 3),
        }
        if line.retried:
            content["retried"] = True
        self.line(content)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(frozen=True)
class Target:
    """A replica in the role it has for one request; promotion changes the role of a running one."""

    version: str
    replica: fleet.Replica

    @property
    def revision(self) -> str:
        """The revision that answers."""
        return self.replica.revision

    @property
    def socket(self) -> str:
        """Where it listens."""
        return self.replica.socket

    def enter(self) -> None:
        """Count a request in, so that draining waits for it."""
        self.replica.in_flight += 1

    def leave(self) -> None:
        """Count a request out."""
        self.replica.in_flight -= 1


class Route:
    """Who gets the next request; of any 100 in a row the canary gets exactly its share."""

    def __init__(self) -> None:
        self.stable: fleet.Pool | None = None
        self.canary: fleet.Pool | None = None
        self.weight = 0
        self._owed = 0

    def set(self, stable: fleet.Pool, canary: fleet.Pool | None, weight: int) -> None:
        """Change the whole route between two requests; there is no moment with nobody in it."""
        self.stable, self.canary = stable, canary
        if weight != self.weight:
            self.weight, self._owed = weight, 0

    def choose(self, tried: tuple[str, ...]) -> Target | None:
        """Return the replica for one request, or for another try of one that nobody has seen."""
        order = [("stable", self.stable)]
        if self.weight:
            order.append(("canary", self.canary))
        if self.weight and not tried:
            self._owed += self.weight
            if self._owed >= 100:
                self._owed -= 100
                order.reverse()
        for version, pool in order:
            replica = pool.pick(tried) if pool is not None else None
            if replica is not None:
                return Target(version, replica)
        return None


class Host:
    """The state of one folder's production and the loop that moves it towards what is wanted."""

    def __init__(self, folder: Path, settings: want.HostSettings) -> None:
        self.folder = folder
        self.settings = settings
        self.releases = releases.Releases(settings.repository, folder)
        self.recipe = fleet.Recipe(
            settings.argv,
            settings.environment,
            settings.health,
            settings.replicas,
            folder / "logs",
            _sockets(folder),
        )
        self.route = Route()
        self.log = AccessLog(folder / "access.log")
        self.proxy = proxy.Proxy(self.route.choose, self.log.request)
        self.pools: dict[str, fleet.Pool] = {}
        self.draining: set[asyncio.Task[None]] = set()
        self.obeying: want.Want | None = None
        self.obeyed_digest = ""
        self.refusal: str | None = None
        self.trouble: str | None = None
        self.address = ""
        self.ended = asyncio.Event()
        self._changed_at = 0.0
        self._stamp: tuple[int, int, int] | None = None
        self._preparing: dict[str, asyncio.Task[Path]] = {}
        self._retry_due: dict[str, float] = {}
        self._last_report: dict[str, Any] = {}

    async def run(self) -> None:
        """Serve until told to end; everything it started has ended when it returns."""
        self.begin()
        server = await asyncio.start_server(
            self.proxy.serve, self.settings.host, self.settings.port, limit=proxy.MAX_HEAD
        )
        host, port = server.sockets[0].getsockname()[:2]
        self.address = f"http://{host}:{port}"
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.ended.set)
        try:
            await self._loop()
        finally:
            server.close()
            await self.proxy.close(GRACE_SECONDS)
            for task in (*self.draining, *self._preparing.values()):
                task.cancel()
            await asyncio.gather(*(pool.end() for pool in self.pools.values()))
            self.report(running=False)

    def close(self) -> None:
        """Give back what the host holds, also when it never began to serve."""
        shutil.rmtree(self.recipe.sockets, ignore_errors=True)
        self.log.close()

    async def _loop(self) -> None:
        beat = report = 0.0
        while not self.ended.is_set():
            self.read_want()
            self.move()
            for pool in self.pools.values():
                pool.look()
            clock = time.monotonic()
            if clock >= beat:
                beat = clock + BEAT_SECONDS
                self.log.line({"ts": now(), "beat": True})
            content = self.content()
            if clock >= report or content != self._last_report:
                report = clock + REPORT_SECONDS
                self._last_report = content
                self.report()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self.ended.wait()

    def begin(self) -> None:
        """Take up what was obeyed before, else start with the configured revision."""
        with contextlib.suppress(OSError, ValueError, KeyError, errors.PermanentFailure):
            before = json.loads((self.folder / "is.json").read_text(encoding="utf-8"))
            self.obeying = want.parse_want(json.dumps(before["obeying"]))
            self.obeyed_digest = before["digest"]
        if self.obeying is None:
            sha = self.releases.resolve(self.settings.revision)
            self.obeying = want.Want(stable=sha)

    def read_want(self) -> None:
        """Take over a new `want.json` when there is one that may be obeyed."""
        path = self.folder / "want.json"
        try:
            state = path.stat()
            stamp = (state.st_ino, state.st_mtime_ns, state.st_size)
            if stamp == self._stamp:
                return
            self._stamp = stamp
            raw = path.read_bytes()
            wanted = want.parse_want(raw.decode("utf-8"))
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            self.refusal = f"want.json cannot be read: {error}"
            return
        except errors.PermanentFailure as error:
            self.refusal = error.message
            return
        if self.obeying is not None and wanted.fence < self.obeying.fence:
            self.refusal = (
                f"fence {wanted.fence} is older than {self.obeying.fence}: somebody newer commands"
            )
            return
        self.refusal = None
        self.obeyed_digest = hashlib.sha256(raw).hexdigest()
        if wanted != self.obeying:
            self._retry_due.clear()
            self._changed_at = time.monotonic()
        self.obeying = wanted

    def move(self) -> None:
        """Take the next step from what is towards what is wanted; never waits."""
        wanted = self.obeying
        if wanted is None:
            return
        self.trouble = None
        stable = self._pool(wanted.stable, "stable")
        canary = self._pool(wanted.canary, "canary") if wanted.canary else None
        if wanted.standby:
            self._pool(wanted.standby, "stable")
        serving = self.route.stable
        if stable is not None and (stable.healthy if serving is None else stable.whole):
            serving = stable
        if serving is None:
            self._say_trouble(wanted)
            return
        ready = canary is not None and canary.healthy > 0
        if ready and self._at_rest(canary):
            ready = canary is not None and canary.whole  # its first traffic needs all of it
        weight = wanted.weight if ready else 0
        held = self.route.canary
        returning = held is not None and held is not canary and serving is not stable
        if held is not None and returning and held.healthy and not serving.healthy:
            # On the way back: until the safe version is there, whoever is healthy serves.
            canary, weight = held, 100
        self._apply(serving, canary, weight, wanted)
        self._say_trouble(wanted)
        self._retire(
            {wanted.stable, wanted.canary, wanted.standby, serving.revision}
            | ({canary.revision} if canary is not None else set())
        )

    def _at_rest(self, canary: fleet.Pool | None) -> bool:
        return self.route.canary is not canary or self.route.weight == 0

    def _apply(
        self, stable: fleet.Pool, canary: fleet.Pool | None, weight: int, wanted: want.Want
    ) -> None:
        before, after = self.route.stable, stable
        first = canary is not None and weight > 0 and self._at_rest(canary)
        self.route.set(stable, canary, weight)
        if before is not after:
            self._deployed("stable", after.revision, before.revision if before else None, wanted)
        if first and canary is not None:
            self._deployed("canary", canary.revision, stable.revision, wanted)

    def _deployed(self, version: str, revision: str, before: str | None, wanted: want.Want) -> None:
        entry = {
            "at": now(),
            "version": version,
            "revision": revision,
            "before": before,
            "fence": wanted.fence,
        }
        try:
            with (self.folder / "deploys.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            self.trouble = f"deploys.jsonl cannot be written: {error}"

    def _pool(self, revision: str, version: str) -> fleet.Pool | None:
        """Return the pool of a revision, or None while its release is being checked out."""
        pool = self.pools.get(revision)
        if pool is not None:
            return pool
        task = self._preparing.get(revision)
        if task is None:
            if time.monotonic() < self._retry_due.get(revision, 0.0):
                return None
            task = asyncio.create_task(asyncio.to_thread(self.releases.checkout, revision))
            self._preparing[revision] = task
        if not task.done():
            return None
        del self._preparing[revision]
        try:
            tree = task.result()
        except (errors.HalonError, OSError) as error:
            self.trouble = f"{version} {revision[:12]} cannot be checked out: {error}"
            self._retry_due[revision] = time.monotonic() + GIVEN_UP_BACK_OFF
            return None
        self.pools[revision] = fleet.Pool(self.recipe, revision, tree, version)
        return self.pools[revision]

    def _retire(self, kept: set[str | None]) -> None:
        for revision in [name for name in self.pools if name not in kept]:
            pool = self.pools.pop(revision)
            task = asyncio.create_task(pool.drain())
            self.draining.add(task)
            task.add_done_callback(self.draining.discard)

    def _say_trouble(self, wanted: want.Want) -> None:
        """Name what keeps the want from being obeyed."""
        if self.trouble is not None:
            return
        for version, revision in (("stable", wanted.stable), ("canary", wanted.canary)):
            pool = self.pools.get(revision) if revision else None
            if revision is None or (pool is not None and pool.whole):
                continue
            late = time.monotonic() - self._changed_at > READY_SECONDS
            if revision in self._retry_due and pool is None:
                self.trouble = f"{version} {revision[:12]} cannot be checked out"
            elif pool is not None and (said := pool.trouble()):
                self.trouble = f"{version}: {said}"
            elif late:
                self.trouble = f"{version} {revision[:12]} is not healthy after {READY_SECONDS:g} s"
        if self.log.failed:
            self.trouble = "access.log cannot be written; is the disk full?"

    def settled(self) -> bool:
        """Return whether what is wanted is what is."""
        wanted, route = self.obeying, self.route
        if wanted is None or route.stable is None or self.refusal:
            return False
        standby = self.pools.get(wanted.standby) if wanted.standby else None
        return (
            route.stable.revision == wanted.stable
            and route.stable.healthy > 0
            and (route.canary.revision if route.canary else None) == wanted.canary
            and (route.canary is None or route.canary.healthy > 0)
            and route.weight == wanted.weight
            and (wanted.standby is None or (standby is not None and standby.healthy > 0))
        )

    def content(self) -> dict[str, Any]:
        """Return what `is.json` says, without the time."""
        wanted, route = self.obeying, self.route
        standby = self.pools.get(wanted.standby) if wanted and wanted.standby else None
        return {
            "pid": os.getpid(),
            "address": self.address,
            "fence": wanted.fence if wanted else 0,
            "weight": route.weight,
            "stable": _shown(route.stable),
            "canary": _shown(route.canary),
            "standby": _shown(standby),
            "draining": len(self.draining),
            "settled": self.settled(),
            "error": self.refusal or self.trouble,
            "obeying": wanted.model_dump() if wanted else None,
            "digest": self.obeyed_digest,
        }

    def report(self, *, running: bool = True) -> None:
        """Write `is.json`; a full disk must not end the production."""
        content = {"at": now(), "running": running, **self.content()}
        with contextlib.suppress(OSError):
            write_whole(self.folder / "is.json", content)


def _sockets(folder: Path) -> Path:
    """Return an empty private folder for sockets; their paths may not exceed about 100 bytes."""
    near = folder / "run"
    if len(os.fsencode(near)) <= 70:
        shutil.rmtree(near, ignore_errors=True)
        near.mkdir(mode=0o700, parents=True)
        return near
    return Path(tempfile.mkdtemp(prefix="halon-"))


def _shown(pool: fleet.Pool | None) -> dict[str, Any] | None:
    if pool is None:
        return None
    shown = pool.report()
    del shown["in_flight"]  # it changes with every request, and is.json is written on change
    return shown


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; raises `errors.WrongState` when another host has it."""
    with (folder / "host.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.WrongState(f"Another host already serves {str(folder)!r}.") from None
        yield


def serve(folder: Path) -> None:
    """Host a folder until SIGTERM or SIGINT.

    Raises `errors.BadSettings` for host.json, `errors.WrongState` for a second host or a busy port.
    """
    folder = folder.absolute()
    settings = want.read_settings(folder)
    with only_one(folder):
        host = Host(folder, settings)
        try:
            asyncio.run(host.run())
        except OSError as error:
            raise errors.WrongState(
                f"{str(folder)!r} cannot be served on port {settings.port}: {error}; stop what "
                "uses it, or set another port in host.json (0 takes any)."
            ) from error
        finally:
            host.close()


if __name__ == "__main__":
    try:
        serve(Path(sys.argv[1]))
    except errors.HalonError as failure:
        sys.exit(str(failure))
