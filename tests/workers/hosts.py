"""A production that obeys at once: the files of a `halon host`, without its processes.

The deployer `processes` and the monitor `accesslog` of the product talk to it as to a real host;
tests/rollout runs those with a real one. Traffic flows all the time, counted by a clock.
"""

import hashlib
import json
import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LOOK_SECONDS = 0.005
REPORT_SECONDS = 0.1


class StandInHost:
    """Serves a folder from a thread; `errors` is the failing share per revision."""

    def __init__(self, folder: Path, stable: str, per_second: float = 1000.0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.per_second = per_second
        self.errors: dict[str, float] = {}
        self.obeying: dict[str, Any] = {
            "fence": 0,
            "stable": stable,
            "canary": None,
            "standby": None,
            "weight": 0,
        }
        self._digest = ""
        self._served = {"canary": 0.0, "stable": 0.0}
        self._failed = {"canary": 0.0, "stable": 0.0}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="host")

    @property
    def weight(self) -> int:
        return int(self.obeying["weight"])

    @property
    def stable(self) -> str:
        return str(self.obeying["stable"])

    def start(self) -> None:
        self._report()
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        last = reported = time.monotonic()
        with (self.folder / "access.log").open("a", encoding="utf-8") as log:
            while not self._over.wait(LOOK_SECONDS):
                changed = self._obey()
                clock = time.monotonic()
                log.write("".join(self._lines((clock - last) * self.per_second)))
                log.flush()
                last = clock
                if changed or clock - reported > REPORT_SECONDS:
                    self._report()
                    reported = clock

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

    def _lines(self, requests: float) -> list[str]:
        now = datetime.now(UTC).isoformat()
        lines = []
        shares = {"canary": self.weight / 100, "stable": 1 - self.weight / 100}
        for version, share in shares.items():
            revision = self.obeying[version]
            before = int(self._served[version])
            self._served[version] += requests * share
            for _ in range(int(self._served[version]) - before):
                self._failed[version] += self.errors.get(str(revision), 0.0)
                status = 200
                if self._failed[version] >= 1:
                    self._failed[version] -= 1
                    status = 500
                row = {"ts": now, "version": version, "status": status, "ms": 5.0}
                lines.append(json.dumps(row) + "\n")
        return [*lines, json.dumps({"ts": now, "beat": True}) + "\n"]

    def _report(self) -> None:
        def shown(name: str) -> dict[str, Any] | None:
            revision = self.obeying[name]
            return {"revision": revision, "healthy": 2} if revision else None

        content = {
            "at": datetime.now(UTC).isoformat(),
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
