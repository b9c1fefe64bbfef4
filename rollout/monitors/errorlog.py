"""Tells the errors of two versions apart, from the service's own error log of JSON lines.

Read by the monitor `accesslog` when the settings name it. An error's fingerprint is its type, the
innermost frame of the service's own code and the message with everything particular masked; no
line number and no folder of a release, since they differ between versions by nature.
"""

import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from incidents import errors
from incidents.models import Version
from rollout.monitors.following import Follower, find
from rollout.monitors.lines import Groups

KEPT = timedelta(hours=3)
MOST_TEXTS = 200  # different fingerprints per bucket and version; more are "other errors"
LONGEST = 200
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
AHEAD = 60.0
OTHER = "other errors"

TYPES = ("exception", "exception_type", "exc_type", "error_type", "error.type")
TRACES = ("traceback", "stack", "stack_trace", "exc_info", "stacktrace", "error.stack_trace")
MESSAGES = ("message", "msg", "error.message", "event")
TIMES = ("ts", "time", "timestamp", "@timestamp")
GRAVE = {"error", "critical", "fatal", "panic", "alert", "emergency", "severe"}

_PYTHON = re.compile(r'^ *File "([^"]+)", line \d+, in (\S+)', re.MULTILINE)
_NODE = re.compile(r"^ *at (?:async )?(\S+) \(([^()]+?):\d+:\d+\)", re.MULTILINE)
_JAVA = re.compile(r"^\s*at ([\w.$]+)\(([\w]+\.(?:java|kt|scala))(?::\d+)?\)", re.MULTILINE)
_FOREIGN = re.compile(r"site-packages|dist-packages|/lib/python\d|<frozen|node_modules|node:")
_LAST = re.compile(r"^(?:[A-Za-z_][\w.]*\.)?([A-Za-z_]\w*)(?:: (.*))?$")
# Names of the code stay: 'Cart' object has no attribute 'token'. Values of a request do not.
_QUOTED = re.compile(r"((?:attribute|module|name|argument) )?'[^']*'( object)?")
_MASKS = (
    (re.compile(r"\"[^\"]*\"|`[^`]*`"), "<text>"),
    (re.compile(r"\S+@\S+"), "<email>"),
    (re.compile(r"\b(?:0x)?(?=[0-9a-fA-F-]*\d)[0-9a-fA-F]{8}[0-9a-fA-F-]*\b"), "<id>"),
    (re.compile(r"(?:/[\w.@-]+){2,}"), "<path>"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "<n>"),
)


def fingerprint(record: Mapping[str, object]) -> str:
    """Return a record's fingerprint: `KeyError in shop.py place: <text>`."""
    trace = _text(record, TRACES)
    kind, message = _text(record, TYPES), _text(record, MESSAGES)
    lines = trace.strip().splitlines()
    told = _LAST.match(lines[-1]) if lines and _PYTHON.search(trace) else None
    if told is not None:
        # What was raised says more than what the service wrote about it.
        kind, message = kind or told[1], told[2] or ""
    frame = _frame(trace)
    words = " ".join(
        word for word in (kind.rpartition(".")[2], f"in {frame}" if frame else "") if word
    )
    return ": ".join(part for part in (words, mask(message)) if part)[:LONGEST] or OTHER


def mask(message: str) -> str:
    """Return the first line of a message without what differs from request to request."""
    text = message.strip().partition("\n")[0][: 4 * LONGEST]
    text = _QUOTED.sub(lambda found: found[0] if found[1] or found[2] else "<text>", text)
    for pattern, sign in _MASKS:
        text = pattern.sub(sign, text)
    return text


def _frame(trace: str) -> str:
    """Return the innermost frame that is not of a library, as file and function."""
    frames = [(path, name) for path, name in _PYTHON.findall(trace)][::-1]
    frames += [(path, name) for name, path in _NODE.findall(trace)]
    frames += [(path, name) for name, path in _JAVA.findall(trace)]
    own = next((frame for frame in frames if not _FOREIGN.search(frame[0])), None)
    path, name = own or (frames[0] if frames else ("", ""))
    return f"{path.rpartition('/')[2]} {name}" if name else ""


def _text(record: Mapping[str, object], names: tuple[str, ...]) -> str:
    for name in names:
        outer, _, inner = name.partition(".")
        found = record.get(name)
        within = record.get(outer)
        if found is None and inner and isinstance(within, dict):
            found = within.get(inner)
        if isinstance(found, str) and found.strip():
            return found
    return ""


class ErrorLog:
    """Follows one error log. Buckets are numbered as the access log's are."""

    def __init__(
        self,
        path: Path,
        *,
        bucket: timedelta,
        groups: Groups,
    ) -> None:
        self._path = path
        self._bucket = bucket
        self._groups = groups
        margin = 2 * bucket.total_seconds() + 1
        self._follower = Follower(path, lambda file, since: find(file, since - margin, _time_of))
        self._counts: dict[tuple[Version, int], dict[str, int]] = {}

    def follow(self, since: datetime, until: datetime) -> None:
        """Read what was added; raises `errors.TemporaryFailure` when there is no such file.

        No line means no error, so a log that is not there must not look like one without lines.
        """
        for raw in self._follower.lines(since.timestamp()):
            if raw is not None:
                self._take(raw)
        if not self._follower.is_open:
            raise errors.TemporaryFailure(f"The error log {str(self._path)!r} cannot be read.")
        limit = self._place(until - KEPT)
        for key in [key for key in self._counts if key[1] < limit]:
            del self._counts[key]

    def counts(self, version: Version, number: int) -> dict[str, int]:
        """Return how often each fingerprint came in a bucket."""
        return self._counts.get((version, number), {})

    def close(self) -> None:
        """Close the file."""
        self._follower.close()

    def _take(self, raw: bytes) -> None:
        record = _record(raw)
        at = _when(record) if record is not None else None
        if record is None or at is None or at.timestamp() > time.time() + AHEAD:
            return
        level = record.get("level", record.get("severity", "error"))
        if str(level).lower() not in GRAVE:
            return
        try:
            version = self._groups.version(record.get("version"))
        except ValueError:
            return
        if version is None:
            return
        texts = self._counts.setdefault((version, self._place(at)), {})
        text = fingerprint(record)
        if text not in texts and len(texts) >= MOST_TEXTS:
            text = OTHER
        texts[text] = texts.get(text, 0) + 1

    def _place(self, at: datetime) -> int:
        return ((at - EPOCH) // MICROSECOND) // (self._bucket // MICROSECOND)


def _record(raw: bytes) -> dict[str, object] | None:
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _when(record: dict[str, object]) -> datetime | None:
    try:
        at = datetime.fromisoformat(_text(record, TIMES))
        return at if at.tzinfo is not None and at.timestamp() > 0 else None
    except (ValueError, OverflowError):
        return None


def _time_of(raw: bytes) -> float | None:
    record = _record(raw)
    at = _when(record) if record is not None else None
    return at.timestamp() if at is not None else None
