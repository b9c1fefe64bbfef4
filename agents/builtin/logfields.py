"""What JSON log lines call things: the table of key names, and the few values we read by it.

Used by the log scanner. A line that carries none of these keys is still counted, never an error.
"""

import functools
import json
from dataclasses import dataclass

from agents.builtin.logtimes import Stamps

# The first name present wins. `a.b` is looked up as a key of that name, then as b inside a.
TIME = ("ts", "time", "timestamp", "@timestamp", "datetime", "date", "asctime", "eventTime", "t")
LEVEL = ("level", "severity", "levelname", "log.level", "lvl", "loglevel", "log_level")
MESSAGE = ("message", "msg", "event", "text", "error.message", "error")
TRACE = (
    "traceback", "exc_info", "stack_trace", "stacktrace", "stackTrace", "stack", "exc_text",
    "exception.stacktrace", "exception.traceback", "error.stack", "error.stack_trace",
    "err.stack", "exception",
)  # fmt: skip
EXCEPTION = (
    "exc_type", "exception_type", "error_type", "error.type", "exception.type", "err.type",
    "error.name", "error.class", "exception.class",
)  # fmt: skip
STATUS = ("status", "status_code", "statusCode", "http_status", "response_status", "http.status")
REQUEST = ("request", "req", "http_request", "httpRequest", "http.request")
METHOD = ("method", "request_method", "requestMethod", "http_method", "verb")
PATH = ("path", "url", "uri", "request_uri", "requestUrl", "target", "route")
BODY = ("body", "json", "payload", "data", "form")
REVISION = ("revision", "git_sha", "commit", "sha", "git_commit", "release")
VERSION = ("version", "app_version", "service.version", "build", "deployment")

ERROR_LEVELS = ("error", "critical", "fatal", "err", "crit", "emerg", "alert", "panic", "severe")
QUIET_LEVELS = ("trace", "debug", "info", "notice", "warn", "warning", "information")
MAX_BODY = 16_384
MAX_KEYS = 64  # of a line whose layout is remembered
Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the log tells it; `body` is text (JSON if the log held an object),
    `status` if known.
    """

    method: str
    path: str
    body: str | None = None
    status: int | None = None
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Fields:
    """What one JSON line says, each None where it says nothing."""

    at: float | None
    failed: bool
    levelled: bool
    message: str
    trace: str
    exception: str | None
    status: int | None
    revision: str | None
    version: str | None


def read_fields(line: dict[str, object], stamps: Stamps) -> Fields:
    """Return the fields of one parsed line; `failed` = its level or its trace says error."""
    layout = _layout(tuple(line)) if len(line) <= MAX_KEYS else _present(tuple(line))
    times, levels, messages, held, types, statuses, revisions, versions = layout
    level, trace = look(line, levels), _trace(line, held)
    status = _status(look(line, statuses))
    word = _text(level).strip().lower()
    return Fields(
        at=stamps.of_value(look(line, times)),
        failed=word in ERROR_LEVELS or _bunyan(level) or "Traceback (most" in trace,
        levelled=bool(word),
        message=_text(look(line, messages)),
        trace=trace,
        exception=_text(look(line, types))[:200] or None,
        status=status,
        revision=_text(look(line, revisions))[:100] or None,
        version=_text(look(line, versions))[:100] or None,
    )


def look(line: dict[str, object], names: Names) -> object:
    """Return the value of the first name that is present and not null, else None."""
    for name in names:
        value = line.get(name)
        if value is None and "." in name:
            outer, inner = name.split(".", 1)
            holder = line.get(outer)
            value = holder.get(inner) if isinstance(holder, dict) else None
        if value is not None:
            return value
    return None


def _present(keys: Names) -> tuple[Names, ...]:
    """Return, per field, the names of the table that lines with these keys can carry."""
    held = set(keys)
    return tuple(
        tuple(name for name in names if name in held or name.split(".", 1)[0] in held)
        for names in (TIME, LEVEL, MESSAGE, TRACE, EXCEPTION, STATUS, REVISION, VERSION)
    )


# Lines of one service share a few layouts; looking sixty names up in each line costs more than
# parsing it does.
_layout = functools.lru_cache(maxsize=256)(_present)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return _text(look(value, ("message", "msg", "type", "name")))
    if isinstance(value, bool) or value is None:
        return ""
    return str(value) if isinstance(value, int | float) else ""


def _bunyan(value: object) -> bool:
    """Tell whether a numeric level means error (bunyan and pino: 50 and above)."""
    return isinstance(value, int) and not isinstance(value, bool) and 50 <= value <= 100


def _trace(line: dict[str, object], names: Names) -> str:
    for name in names:
        value = look(line, (name,))
        if isinstance(value, list):
            value = "\n".join(part for part in value[:400] if isinstance(part, str))
        if isinstance(value, str) and value:
            return value
    return ""


def _status(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599:
        return value
    return None


def read_request(line: dict[str, object], status: int | None) -> Request | None:
    """Return the request that a line tells of, from its request object or from the line itself."""
    held = look(line, REQUEST)
    source: dict[str, object] = held if isinstance(held, dict) else line
    method, path = _text(look(source, METHOD)), _text(look(source, PATH))
    if not method or not path:
        return None
    body = look(source, BODY) if source is not line else None
    if body is not None and not isinstance(body, str):
        body = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    cut = isinstance(body, str) and len(body) > MAX_BODY
    text = body[:MAX_BODY] if isinstance(body, str) else None
    return Request(method[:16].upper(), path[:2048], text, status, cut)
