"""The two logs: one JSON line per request, one per request that we failed to serve.

Several replicas write to the same files, so each line is one append. The error log keeps the
request itself: `python -m checkout.replay` can ask it again.
"""

import json
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Label:
    """Which code answers: the version's role during a rollout, and its revision."""

    version: str = "stable"
    revision: str = "unknown"


class Journal:
    """Appends to the access log and to the error log; without a file, errors go to stderr."""

    def __init__(self, label: Label, access: Path | None = None, error: Path | None = None) -> None:
        self._label = {"version": label.version, "revision": label.revision}
        self._access = _open(access)
        self._error = _open(error)

    def access(self, **fields: object) -> None:
        """Note an answered request."""
        if self._access is not None:
            os.write(self._access, self._line(fields))

    def error(self, **fields: object) -> None:
        """Note a request that could not be served, with the request and the traceback."""
        target = sys.stderr.fileno() if self._error is None else self._error
        os.write(target, self._line({"level": "ERROR", **fields}))

    def _line(self, fields: dict[str, object]) -> bytes:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record = {"ts": now, **self._label, **fields}
        return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def _open(path: Path | None) -> int | None:
    return None if path is None else os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
