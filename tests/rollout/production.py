"""A real small production for the tests: a repository with revisions, a host process, and load.

Used by the tests of host, deployer, watchdog and rehearsal, and by the bench.
"""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from rollout import want
from tests import repositories

ROOT = Path(__file__).resolve().parents[2]
SERVICE = (ROOT / "tests/rollout/service_under_test.py").read_text(encoding="utf-8")


def until(condition: Callable[[], Any], seconds: float = 20.0, what: str = "") -> Any:
    """Return the condition's first true value; fail when it stays false."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"never came true: {what or condition}"
        time.sleep(0.01)


@dataclass
class Production:
    """One host folder, its repository, and the process when it runs."""

    folder: Path
    repository: repositories.Repository
    replicas: int = 2
    process: subprocess.Popen[bytes] | None = None

    def revision(self, name: str, **behaviour: float) -> str:
        """Commit a revision of the service that behaves so."""
        files = {"service.py": SERVICE, "behaviour.json": json.dumps(behaviour)}
        return self.repository.commit(name, files | {"name.txt": name})

    def start(self, revision: str) -> None:
        """Start the host; its first stable is this revision."""
        settings = want.HostSettings(
            repository=str(self.repository.path),
            argv=(sys.executable, "-S", "service.py", "--socket", "{socket}"),
            revision=revision,
            replicas=self.replicas,
        )
        want.write_settings(self.folder, settings)
        self.launch()

    def launch(self) -> None:
        """Run `rollout.host` on the folder and wait until it serves."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rollout.host", str(self.folder)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        until(lambda: self.seen().get("pid") == self.process_id() and self.seen()["settled"])

    def process_id(self) -> int:
        assert self.process is not None
        assert self.process.poll() is None, f"the host ended with {self.process.returncode}"
        return self.process.pid

    def seen(self) -> dict[str, Any]:
        """Return what `is.json` says now."""
        try:
            content = json.loads((self.folder / "is.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        assert isinstance(content, dict)
        return content

    def want(self, **content: Any) -> None:
        """Write `want.json` by temp and rename."""
        making = self.folder / "want.json.test"
        making.write_text(json.dumps({"fence": 1, **content}), encoding="utf-8")
        making.replace(self.folder / "want.json")

    def settle(self, **content: Any) -> dict[str, Any]:
        """Command something and wait until it is so."""
        self.want(**content)
        wanted = {"fence": 1, "canary": None, "standby": None, "weight": 0, **content}
        until(lambda: self.seen()["obeying"] == wanted and self.seen()["settled"], what=str(wanted))
        return self.seen()

    def lines(self) -> list[dict[str, Any]]:
        """Return the requests in the host's access log."""
        raw = (self.folder / "access.log").read_text(encoding="utf-8").splitlines()
        return [line for line in map(json.loads, raw) if "beat" not in line]

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection to the one public port."""
        place = urlsplit(self.seen()["address"])
        return http.client.HTTPConnection(str(place.hostname), place.port, timeout=20)

    def end(self) -> None:
        """End the host politely, by its own pid."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)


class Serves(Protocol):
    """Something that answers on HTTP connections."""

    def connect(self) -> http.client.HTTPConnection: ...


@dataclass
class Load:
    """Clients that keep asking until told to stop; every answer is counted."""

    production: Serves
    clients: int = 4
    keep_alive: bool = True
    pause: float = 0.0
    log: Path | None = None  # an access log as a balancer would write it: revision, status, time
    statuses: Counter[str] = field(default_factory=Counter)
    revisions: Counter[str] = field(default_factory=Counter)
    stopped: threading.Event = field(default_factory=threading.Event)

    def _client(self) -> None:
        connection = self.production.connect()
        while not self.stopped.is_set():
            try:
                connection.request("POST", "/work", body=b"x" * 100)
                answer = connection.getresponse()
                body = answer.read()
                self.statuses[str(answer.status)] += 1
                revision = body.decode().split(" ")[0]
                self.revisions[revision] += 1
                self._write(revision, answer.status)
                if answer.getheader("connection") == "close" or not self.keep_alive:
                    connection.close()
            except (OSError, http.client.HTTPException) as error:
                self.statuses[f"lost: {error!r}"] += 1
                connection.close()
            if self.pause:
                self.stopped.wait(self.pause)
        connection.close()

    def _write(self, revision: str, status: int) -> None:
        if self.log is None:
            return
        at = datetime.now(UTC).isoformat()
        line = {"ts": at, "version": revision, "status": status, "ms": 1.0}
        with self.log.open("a", encoding="utf-8") as log:  # one write: lines of threads stay whole
            log.write(json.dumps(line) + "\n")

    @contextlib.contextmanager
    def running(self) -> Iterator["Load"]:
        """Ask for as long as the block lasts."""
        threads = [threading.Thread(target=self._client) for _ in range(self.clients)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self.stopped.set()
            for thread in threads:
                thread.join()

    def at_least(self, more: int) -> None:
        """Wait until this many more answers have come."""
        goal = sum(self.statuses.values()) + more
        until(lambda: sum(self.statuses.values()) >= goal, what=f"{more} answers")


def alive(pid: int) -> bool:
    """Return whether a process runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def kill(pid: int) -> None:
    """Kill one process that the test started, without mercy."""
    os.kill(pid, signal.SIGKILL)
