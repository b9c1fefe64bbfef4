"""The lines of access logs: one parser per format, in the table `FORMATS`.

Called by `accesslog`, once per line. Pure. A line that is not certain to be what it seems is None:
a request is never counted for a version by a guess.
"""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from math import isfinite
from zoneinfo import ZoneInfo

from incidents.models import Version

MONTHS = {name: number for number, name in enumerate(
    ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
)}  # fmt: skip
CUT_SHORT = 502  # what a broken answer counts as, although its first line said 200


@dataclass(frozen=True)
class Line:
    """One line of a log; `version` None: it only shows that the writer is alive."""

    at: float  # seconds since the epoch
    version: Version | None
    status: int = 0
    milliseconds: float | None = None
    fingerprint: str | None = None


@dataclass(frozen=True)
class Groups:
    """The names of the two versions in a source, as patterns of the shell (`10.0.1.*`)."""

    canary: tuple[str, ...] = (Version.CANARY.value,)
    stable: tuple[str, ...] = (Version.STABLE.value,)

    def version(self, name: object) -> Version | None:
        """Return whose name it is, None for a stranger's; raises ValueError when it is both's."""
        text = name if isinstance(name, str) else ""
        mine = any(fnmatchcase(text, pattern) for pattern in self.canary)
        other = any(fnmatchcase(text, pattern) for pattern in self.stable)
        if mine and other:
            raise ValueError(f"{text!r} names both versions")
        return Version.CANARY if mine else Version.STABLE if other else None


@dataclass(frozen=True)
class Reading:
    """How the lines of one log are read."""

    groups: Groups = Groups()
    field: str | None = None  # where the version stands; None: the format's usual place
    zone: ZoneInfo | None = None  # of times without one; None: this machine's


Parser = Callable[[bytes, Reading], Line | None]


def json_line(raw: bytes, reading: Reading = Reading()) -> Line | None:
    """Return a JSON object's line: a time with its zone, a status, and a time in ms or seconds."""
    try:
        content = json.loads(raw)
        at = datetime.fromisoformat(_first(content, "ts", "time", "timestamp", "@timestamp"))
        if at.tzinfo is None:
            return None
        if content.get("beat"):
            return Line(at.timestamp(), None)
        error = content.get("error")
        return Line(
            at.timestamp(),
            reading.groups.version(_at(content, reading.field or "version")),
            _status(_first(content, "status", "status_code")),
            _json_ms(content),
            error if isinstance(error, str) else None,
        )
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _first(content: dict[str, object], *names: str) -> str:
    found = next((content[name] for name in names if name in content), None)
    if found is None:
        raise KeyError(names[0])
    return str(found)


def _at(content: dict[str, object], path: str) -> object:
    """Return a field, also of an inner object: `labels.version`."""
    found: object = content
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return content.get(path, found)


def _status(text: str) -> int:
    status = int(text)
    if not 100 <= status <= 999:
        raise ValueError(f"no status: {status}")
    return status


def _json_ms(content: dict[str, object]) -> float | None:
    for name, factor in (("ms", 1.0), ("duration_ms", 1.0), ("request_time", 1000.0)):
        if content.get(name) is not None:
            return _ms(str(content[name]), factor)
    return None


def _ms(text: str, factor: float) -> float | None:
    value = float(text) * factor
    return value if isfinite(value) and value >= 0 else None


_HAPROXY = re.compile(
    r" \[(?P<at>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d)\.(?P<milli>\d{3})\] \S+ "
    r"(?P<server>[^/\s]+/\S+) (?:-?\d+/){4}\+?(?P<took>-?\d+) (?P<status>-?\d+) \+?\d+ "
    r"\S+ \S+ (?P<ended>\S{4}) "
)


def haproxy_line(raw: bytes, reading: Reading) -> Line | None:
    """Return a line of `option httplog`; its version is the server's name, as `backend/server`."""
    match = _HAPROXY.search(raw.decode("utf-8", "replace"))
    if match is None:
        return None
    try:
        # The log names the moment of the request; the line is written at its end.
        took = max(0, int(match["took"]))
        at = _moment(match["at"], reading.zone) + (int(match["milli"]) + took) / 1000
        status = int(match["status"])
        if match["server"].endswith("/<NOSRV>") or status < 100:
            return Line(at, None)  # no server answered: refused by a rule, or the client left
        if match["ended"][0] in "Ss" and match["ended"][1] == "D" and status < 500:
            status = CUT_SHORT
        return Line(at, reading.groups.version(match["server"]), status, float(took))
    except (ValueError, LookupError, OverflowError):
        return None


_COMMON = re.compile(
    r"^\S+ \S+ .*?\[(?P<at>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [-+]\d{4})\] "
    r'"(?:[^"\\]|\\.)*" (?P<status>\d{3}) (?:\d+|-)(?P<rest>(?: .*)?)$'
)
_EXTRA = re.compile(r'(?:(?<=\s)([A-Za-z_]\w*)=)?(?:"((?:[^"\\]|\\.)*)"|(\S+))')
_TIMES = {"time": 1000.0, "request_time": 1000.0, "ms": 1.0, "us": 0.001}


def common_line(raw: bytes, reading: Reading) -> Line | None:
    """Return a line of the common or combined format with fields like `upstream="…"` behind it.

    Fields that a client can write (the request, the referrer, the agent) stand in quotation marks
    and have no name, so nobody can name a version from outside.
    """
    match = _COMMON.match(raw.decode("utf-8", "replace"))
    if match is None:
        return None
    extra = {
        name: quoted if bare == "" else bare
        for name, quoted, bare in _EXTRA.findall(match["rest"])
        if name
    }
    name = extra.get(reading.field or "upstream")
    if name is None or name.endswith(","):
        return None  # a list of addresses without quotation marks: the rest of it is lost
    try:
        at = _moment(match["at"], None)
        key = next((key for key in _TIMES if extra.get(key, "-") != "-"), None)
        took = _ms(extra[key], _TIMES[key]) if key else None
        # After retries nginx names every address that was tried; the last one answered.
        tried = re.split(r", | : ", name)[-1]
        return Line(at, reading.groups.version(tried), _status(match["status"]), took)
    except (ValueError, LookupError, OverflowError):
        return None


@lru_cache(maxsize=64)
def _moment(text: str, zone: ZoneInfo | None) -> float:
    """Return the seconds since the epoch of `31/Jan/2026:14:05:00`, with or without `+0100`."""
    clock, _, offset = text.partition(" ")
    date, hour, minute, second = clock.split(":")
    day, month, year = date.split("/")
    parts = (int(year), MONTHS[month], int(day), int(hour), int(minute), min(int(second), 59))
    if offset:
        fixed = datetime.strptime(offset, "%z").tzinfo or UTC
        return datetime(*parts, tzinfo=fixed).timestamp()
    if zone is not None:
        return datetime(*parts, tzinfo=zone).timestamp()
    return time.mktime((*parts, 0, 0, -1))


FORMATS: dict[str, Parser] = {
    "json": json_line,
    "haproxy": haproxy_line,
    "nginx": common_line,
    "combined": common_line,
    "common": common_line,
}
