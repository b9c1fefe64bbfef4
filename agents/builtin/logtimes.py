"""Timestamps of log lines: the forms that occur, read from bytes into seconds since the epoch.

Used by the log readers. A time without a zone is read as UTC and remembered as such; a year outside
1990 to 2100 is no time at all.
"""

import re
from datetime import UTC, datetime, timedelta, timezone

Buffer = bytes | bytearray

_MONTHS = {
    name: number
    for number, name in enumerate(
        b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(),
        start=1,
    )
}
# `web-1 | ` of a process supervisor, a syslog priority, a level, an opening bracket.
_BEFORE = rb"(?:[\w.-]{1,40}+ *\| )?(?:<\d{1,3}>\d? ?)?(?:\[?[A-Z]{4,8}\]?:? +)?[\[(]?"
_ISO = (
    rb"(\d{4}[-/]\d\d[-/]\d\d[T _]\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?"
    rb"(?: ?(Z|[+-]\d\d:?\d\d)\b| UTC| GMT)?"
)
_FORMS = (
    re.compile(_BEFORE + _ISO + rb"\]?"),
    re.compile(_BEFORE + rb"(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d)()(?: ([+-]\d{4}))?\]?"),
    re.compile(_BEFORE + rb"([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d)(?:\.(\d{1,9}))?()"),
    re.compile(_BEFORE + rb"(\d{10})(?:\.(\d{1,9}))?()(?=[\s\]:,|])\]?"),
    re.compile(_BEFORE + rb"(\d{10})(\d{3})()(?=[\s\]:,|])\]?"),
)
# A line end before any of these forms, or before a JSON object: where the next record begins.
_NEXT = re.compile(
    rb"\n(?=\{|"
    + _BEFORE
    + rb"(?:\d{4}[-/]\d\d[-/]\d\d[T _]\d\d:\d\d:\d\d|\d\d/[A-Z][a-z]{2}/\d{4}:"
    rb"|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{10}(?:\d{3}|\.\d{1,9})?[\s\]:,|]))"
)
_JSON = re.compile(
    rb'"(?:ts|time|timestamp|@timestamp|datetime|date|asctime|eventTime|t)"\s*:\s*"?([^",}]{8,40})'
)
_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC).timestamp()
_LATEST = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
_CACHE = 50_000


def next_record(buffer: Buffer, start: int, stop: int) -> int:
    """Return the line end after which the next record begins, or `stop`."""
    matched = _NEXT.search(buffer, start, stop)
    return matched.start() if matched else stop


class Stamps:
    """Reads timestamps; remembers the form met last, each second read,
    and whether a zone was missing.
    """

    def __init__(self, year: int) -> None:
        """Take the year for forms that carry none."""
        self.year = year
        self.without_zone = False
        self._forms = list(_FORMS)
        self._seconds: dict[tuple[bytes, bytes | None], float | None] = {}

    def at_line(self, buffer: Buffer, start: int, stop: int) -> tuple[float, int] | None:
        """Return the time at the beginning of a line and where its text goes on, or None."""
        stop = min(stop, start + 120)
        for position, form in enumerate(self._forms):
            matched = form.match(buffer, start, stop)
            if matched is None:
                continue
            if position:
                self._forms.insert(0, self._forms.pop(position))
            stamp, fraction, zone = matched.groups()
            seconds = self._second(stamp, zone)
            if seconds is None:
                return None
            return seconds + (float(b"." + fraction) if fraction else 0.0), matched.end()
        return None

    def in_json(self, buffer: Buffer, start: int, stop: int) -> float | None:
        """Return the time that a JSON line carries under one of the usual keys,
        without parsing it.
        """
        matched = _JSON.search(buffer, start, min(stop, start + 4096))
        return self.of_value(matched[1]) if matched else None

    def of_value(self, value: object) -> float | None:
        """Return the time of a JSON value: text of any known form, or seconds, ms, us, ns."""
        if isinstance(value, str):
            value = value[:40].encode("utf-8", "replace")
        if isinstance(value, bytes):
            value = value.strip()
            read = self.at_line(value, 0, len(value))
            if read is not None:
                return read[0]
            try:
                value = float(value)
            except ValueError:
                return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        for scale in (1, 1e3, 1e6, 1e9):
            if _EARLIEST <= value / scale <= _LATEST:
                return value / scale
        return None

    def _second(self, stamp: bytes, zone: bytes | None) -> float | None:
        key = (stamp, zone)
        if key not in self._seconds:
            if len(self._seconds) >= _CACHE:
                self._seconds.clear()
            self._seconds[key] = self._parse(stamp, zone)
        return self._seconds[key]

    def _parse(self, stamp: bytes, zone: bytes | None) -> float | None:
        if stamp.isdigit():
            seconds = float(stamp)
            return seconds if _EARLIEST <= seconds <= _LATEST else None
        try:
            if stamp[:4].isdigit():
                parts = [int(x) for x in re.split(rb"[-/T _:]", stamp)]
            elif stamp[2:3] == b"/":
                day, month, rest = stamp.split(b"/", 2)
                parts = [_MONTHS[month], int(day), *(int(x) for x in rest.split(b":")[1:])]
                parts.insert(0, int(rest[:4]))
            else:
                clock = [int(x) for x in stamp[7:].split(b":")]
                parts = [self.year, _MONTHS[stamp[:3]], int(stamp[4:6]), *clock]
            year, month_number, day_number, hour, minute, second = parts
            moment = datetime(
                year, month_number, day_number, hour, minute, min(second, 59), tzinfo=_zone(zone)
            )
        except (ValueError, KeyError):
            return None
        if not zone:
            self.without_zone = True
        seconds = moment.timestamp()
        return seconds if _EARLIEST <= seconds <= _LATEST else None


def _zone(zone: bytes | None) -> timezone:
    if not zone or zone == b"Z":
        return UTC
    sign = -1 if zone[:1] == b"-" else 1
    digits = zone[1:].replace(b":", b"")
    return timezone(sign * timedelta(hours=int(digits[:2]), minutes=int(digits[2:])))
