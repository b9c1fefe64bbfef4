"""A production that obeys at once: the files of a `halon host`, without its processes.

The deployer `processes` and the monitor `accesslog` of the product talk to it as to a real host;
tests/rollout runs those with a real one. Traffic flows all the time, by the test's clock: where a
test moves that on, what the users asked meanwhile stands in the log at once.
"""

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

LOOK_SECONDS = 0.005
REPORT_SECONDS = 0.1


class StandInHost:
    """Serves a folder from a thread; `errors` is the failing share per revision."""

    def __init__(
        self,
        folder: Path,
        stable: str,
        per_second: float = 1000.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.per_second = per_second
        self.clock = clock
        self.errors: dict[str, float] = {}
        self.obeying: dict[str, Any] = {
            "fence": 0,
            "stable": stable,
            "canary": None,
            "standby": None,
            "weight": 0,
        }
        self._digest = ""
        self._served_until = clock()
        self._left = {"request": 0.0, "canary": 0.0}  # parts of one that are still to come
        self._failed = {"canary": 0.0, "stable": 0.0}
        self._log: IO[str] | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="host")

    @property
    def weight(self) -> int:
        return int(self.obeying["weight"])

    @property
    def stable(self) -> str:
        return str(self.obeying["stable"])

    def start(self) -> None:
        self._log = (self.folder / "access.log").open("a", encoding="utf-8")
        self._served_until = self.clock()
        self._report()
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._log is not None:
            self._log.close()

    def catch_up(self) -> bool:
        """Obey, and serve until now; return whether there was something new to obey."""
        with self._lock:
            changed = self._obey()
            now = self.clock()
            if self._log is not None:
                self._log.write("".join(self._lines(self._served_until, now)))
                self._log.flush()
            self._served_until = now
            return changed

    def _run(self) -> None:
        reported = time.monotonic()
        while not self._over.wait(LOOK_SECONDS):
            changed = self.catch_up()
            if changed or time.monotonic() - reported > REPORT_SECONDS:
                self._report()
                reported = time.monotonic()

    def _obey(self) -> bool:
        try:
            raw = (self.folder / "want.json").read_bytes()
        except FileNotFoundError:
            return False
        digest = hashlib.sha256(raw).hexdigest()
        if digest == self._digest:
            return False
        wanted = json.loads(raw)
        if wanted["fence"] >= self.obeying["fence"]:
            self.obeying, self._digest = wanted, digest
        return True

    def _lines(self, since: datetime, until: datetime) -> list[str]:
        self._left["request"] += (until - since).total_seconds() * self.per_second
        count = int(self._left["request"])
        self._left["request"] -= count
        rows = [
            self._request(since + (until - since) * (n + 1) / (count + 1)) for n in range(count)
        ]
        return [json.dumps(row) + "\n" for row in (*rows, {"ts": until.isoformat(), "beat": True})]

    def _request(self, at: datetime) -> dict[str, Any]:
        self._left["canary"] += self.weight / 100
        version = "canary" if self._left["canary"] >= 1 else "stable"
        self._left["canary"] %= 1
        self._failed[version] += self.errors.get(str(self.obeying[version]), 0.0)
        status = 500 if self._failed[version] >= 1 else 200
        self._failed[version] %= 1
        return {"ts": at.isoformat(), "version": version, "status": status, "ms": 5.0}

    def _report(self) -> None:
        def shown(name: str) -> dict[str, Any] | None:
            revision = self.obeying[name]
            return {"revision": revision, "healthy": 2} if revision else None

        content = {
            "at": self.clock().isoformat(),
            "running": True,
            "pid": os.getpid(),
            "fence": self.obeying["fence"],
            "weight": self.weight,
            "stable": shown("stable"),
            "canary": shown("canary"),
            "standby": shown("standby"),
            "settled": True,
            "error": None,
            "obeying": self.obeying,
            "digest": self._digest,
        }
        making = self.folder / ".is.json"
        making.write_text(json.dumps(content), encoding="utf-8")
        making.replace(self.folder / "is.json")
