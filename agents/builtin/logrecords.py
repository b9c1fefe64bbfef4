"""Single records out of a block: where one begins and ends, what it says, which template it is.

Used by the log scanner for each hit of a needle. Reading a record twice costs the most here, so
what depends only on its text without the digits is remembered, within bounds.
"""

import json
import re
from collections.abc import Callable

from agents.builtin import fingerprint, logfields, logtimes, tallies, templates, traces
from agents.builtin.logfields import Fields
from agents.builtin.logtimes import Stamps
from agents.builtin.tallies import Entry, Failing, Tally
from agents.builtin.tracelines import Trace

MAX_RECORD = 64 * 1024
MAX_SAMPLE = 2048
MAX_TRACE = 16 * 1024
MAX_JOINED = 600  # continuation lines of one record in a log without times
MAX_BACK = 60  # lines to look back for the line that a continuation belongs to
MEMORY = 10_000  # texts remembered, each at most 2 KiB

SERVED_IN_FULL = 500  # failed access lines of a part that are parsed; the others are only counted

_FAILED = re.compile(rb'"(?:level|severity|levelname|log\.level|lvl|traceback|exc_info|stack)"')
_STATUS = re.compile(
    rb'"(?:status|status_code|statusCode|http_status|response_status)": ?"?5\d\d(?!\d)'
)
_DIGITS = bytes.maketrans(b"0123456789", b"0000000000")
_LEVEL = re.compile(
    rb"\b(?:(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|trace|debug|info|notice|warn|warning)"
    rb"|(ERROR|ERR|CRITICAL|CRIT|FATAL|SEVERE|ALERT|EMERG|PANIC|error|critical|fatal|panic))\b"
)
# Continuation lines of a log without times, where nothing else marks the next record.
_BELOW = re.compile(
    rb"[ \t|+]|Traceback \(most|Caused by:|goroutine \d|During handling of|The above exception"
)
_TRACED = (
    b"Traceback (most",
    b"\tat ",
    b"    at ",
    b"panic:",
    b"goroutine ",
    b"from ",
    b'  File "',
)


Traced = tuple[str, str, str | None]  # exception type, its message, place of the top frame


class Records:
    """Reads the records of one part into its tally."""

    def __init__(
        self,
        path: str,
        stamped: bool,
        stamps: Stamps,
        tally: Tally,
        outside: Callable[[float | None], bool],
    ) -> None:
        """Take where counts go, and which times lie outside the window."""
        self.path, self.stamped, self.stamps, self.tally = path, stamped, stamps, tally
        self._outside = outside
        self._last: float | None = None
        self.taken = 0
        self._served_in_full = 0
        self._records: dict[bytes, str] = {}
        self._texts: dict[bytes, str] = {}
        self._traces: dict[bytes, Traced | None] = {}
        self._keys: dict[tuple[str, str | None, str | None], str] = {}

    def starts(self, buffer: bytearray, position: int, stop: int) -> bool:
        """Tell whether a record begins at this line start."""
        first = buffer[position : position + 1]
        if first == b"{":
            return True
        if not self.stamped:
            return bool(first) and _BELOW.match(buffer, position, stop) is None
        return self.stamps.at_line(buffer, position, stop) is not None

    def time_of(self, buffer: bytearray, start: int, end: int) -> float | None:
        """Return the time of one line of either kind."""
        if buffer[start : start + 1] == b"{":
            return self.stamps.in_json(buffer, start, end)
        read = self.stamps.at_line(buffer, start, end)
        return read[0] if read else None

    def take(
        self, buffer: bytearray, position: int, floor: int, stop: int, offset: int, weight: int
    ) -> int:
        """Count the record around a hit and return where the next one may begin."""
        start = buffer.rfind(b"\n", floor, position) + 1 or floor
        end = buffer.find(b"\n", position, stop)
        end = stop if end < 0 else end
        if end - start > MAX_RECORD:
            self.tally.cut += 1
            self._plain(buffer, start, start + MAX_RECORD, start + offset, weight)
            return min(stop, end + 1)
        self.taken += 1
        if buffer[start : start + 1] == b"{":
            if self._served(buffer, start, end, weight):
                return min(stop, end + 1)
            line = self._object(bytes(buffer[start:end]))
            if line is not None:
                self._json(line, offset + start, weight)
                return min(stop, end + 1)
        start = self._back(buffer, start, floor, stop)
        end = self._forward(buffer, start, end, stop)
        self._plain(buffer, start, end, offset + start, weight)
        return min(stop, end + 1)

    def _back(self, buffer: bytearray, start: int, floor: int, stop: int) -> int:
        """Return the start of the record that a line belongs to: itself,
        unless it continues one.
        """
        position = start
        for _ in range(MAX_BACK):
            if not self.stamped and buffer.startswith(b"Traceback (most", position):
                return self._announced(buffer, position, floor)
            if self.starts(buffer, position, stop) or position <= floor:
                return position if start - position < MAX_RECORD else start
            position = buffer.rfind(b"\n", floor, position - 1) + 1 or floor
        return start

    def _announced(self, buffer: bytearray, position: int, floor: int) -> int:
        """Return the line before a traceback if it speaks of an error,
        else the traceback's own start.
        """
        if position <= floor:
            return position
        before = buffer.rfind(b"\n", floor, position - 1) + 1 or floor
        level = _LEVEL.search(buffer, before, min(position, before + 200))
        return before if level is not None and level[2] else position

    def _forward(self, buffer: bytearray, start: int, end: int, stop: int) -> int:
        """Return the end of a record: the line end before the next one begins."""
        if self.stamped:
            limit = min(stop, start + MAX_RECORD)
            # The newline at the very end of the block ends the record; nothing follows it here.
            after = logtimes.next_record(buffer, end, limit) if end < limit else end
            if after == stop and after > end and buffer[after - 1] == 10:
                after -= 1
            self.tally.continued += buffer.count(b"\n", end, after)
            return after
        return self._forward_unstamped(buffer, start, end, stop)

    def _forward_unstamped(self, buffer: bytearray, start: int, end: int, stop: int) -> int:
        """As `_forward`, by the shape of the lines: indented, one exception line,
        chain sentences.
        """
        inside = buffer.find(b"Traceback (most", start, end) >= 0
        position = end + 1
        for _ in range(MAX_JOINED):
            if position >= stop or end - start >= MAX_RECORD:
                break
            following = buffer.find(b"\n", position, stop)
            following = stop if following < 0 else following
            below = _BELOW.match(buffer, position, following)
            if below is None and following > position and not inside:
                break
            if below is None and following > position:
                inside = False  # the exception's own line ends its traceback
            elif below is not None:
                inside = inside or buffer.startswith((b"Traceback", b"  File "), position)
            if following > position:
                self.tally.continued += 1
                end = following  # blank lines join only if something follows them
            position = following + 1
        return min(end, start + MAX_RECORD)

    def _plain(self, buffer: bytearray, start: int, end: int, where: int, weight: int) -> None:
        stamp = self.stamps.at_line(buffer, start, end)
        if stamp is not None:
            self._last = stamp[0]
        at = stamp[0] if stamp else self._last
        if self._outside(at):
            return
        text = stamp[1] if stamp else start
        body = bytes(buffer[text:end])
        levelled = body.translate(_DIGITS) if end - text <= MAX_SAMPLE else b""
        known = self.tally.entries.get(self._records.get(levelled, ""))
        if known is not None:
            self.tally.count(known, at, weight)
            self._weigh(weight)
            return
        line_end = buffer.find(b"\n", start, end)
        line_end = end if line_end < 0 else line_end
        head = bytes(buffer[text : min(line_end, text + MAX_SAMPLE)])
        rest = bytes(buffer[line_end:end])
        if head.startswith(b"Traceback (most") and stamp is None:
            head, rest = b"", head + rest
        trace = self._trace(rest if rest.strip() else head)
        level = _LEVEL.search(head, 0, 200)
        if trace is None and level is not None and level[1]:
            return  # the needle stands in the text of a line whose level says that all is well
        entry = self._entry(self._text(head), trace, templates.find_exception)
        self.tally.count(entry, at, weight)
        self._weigh(weight)
        if levelled:
            if len(self._records) >= MEMORY:
                self._records.clear()
            self._records[levelled] = self._keys[(entry.text, entry.exception, entry.frame)]
        if not entry.sample:
            record = bytes(buffer[start:end])
            self._keep(entry, record, record if trace else b"", where)

    def _served(self, buffer: bytearray, start: int, end: int, weight: int) -> bool:
        """Count a plain access line without parsing it, once enough of them have been parsed."""
        if self._served_in_full < SERVED_IN_FULL or _FAILED.search(buffer, start, end):
            return False
        at = self.stamps.in_json(buffer, start, end)
        if at is None or not _STATUS.search(buffer, start, end):
            return False
        if not self._outside(at):
            self._last = at
            self.tally.see(at)
            self.tally.failures[int(at // self.tally.width)] += weight
        return True

    def _object(self, line: bytes) -> dict[str, object] | None:
        try:
            parsed = json.loads(line)
        except (ValueError, RecursionError):
            return None
        return parsed if isinstance(parsed, dict) else None

    def _json(self, line: dict[str, object], where: int, weight: int) -> None:
        fields = logfields.read_fields(line, self.stamps)
        at = fields.at if fields.at is not None else self._last
        self._last = at
        if self._outside(at):
            return
        key: str | None = None
        if fields.failed:
            key = self._failed(fields, at, where, weight)
        served = fields.status is not None and fields.status >= 500
        if served and at is not None:
            self.tally.see(at)
            self.tally.failures[int(at // self.tally.width)] += weight
            self._served_in_full += 1
        if (served or key) and self.tally.wants(key):
            request = logfields.read_request(line, fields.status)
            if request is not None:
                self.tally.keep(Failing(at, request, key, fields.revision))
                if key and (entry := self.tally.entries.get(key)) is not None:
                    entry.request = entry.request or request

    def _failed(self, fields: Fields, at: float | None, where: int, weight: int) -> str:
        trace = self._trace(fields.trace.encode("utf-8", "replace")) if fields.trace else None
        text = self._text(fields.message.encode("utf-8", "replace"))
        entry = self._entry(text, trace, lambda _: fields.exception)
        self.tally.count(entry, at, weight)
        self._weigh(weight)
        tallies.add_name(entry.revisions, fields.revision or fields.version)
        if not entry.sample:
            record = (fields.message + "\n" + fields.trace).encode("utf-8", "replace")
            self._keep(entry, record, fields.trace.encode("utf-8", "replace"), where)
        return self._keys[(entry.text, entry.exception, entry.frame)]

    def _weigh(self, weight: int) -> None:
        if weight > 1:
            self.tally.estimated += weight

    def _keep(self, entry: Entry, record: bytes, trace: bytes, where: int) -> None:
        entry.sample = sample(record, MAX_SAMPLE)
        entry.trace = sample(trace, MAX_TRACE)
        entry.where = f"{self.path}@{where}"
        tallies.add_name(entry.files, self.path)

    def _entry(self, text: str, trace: Traced | None, named: Callable[[str], str | None]) -> Entry:
        exception: str | None
        exception, message, frame = trace or (None, "", None)
        if exception:
            text = text or templates.mask(f"{exception}: {message}")
        else:
            exception = named(text)
        identity = (text, exception, frame)
        key = self._keys.get(identity)
        if key is None:
            if len(self._keys) >= MEMORY:
                self._keys.clear()
            places = (frame,) if frame else ()
            key = self._keys[identity] = fingerprint.digest(exception, places, text)
        return self.tally.entry(key, text, exception, frame)

    def _text(self, head: bytes) -> str:
        if len(head) > MAX_SAMPLE:
            head = head[:MAX_SAMPLE]
        key = head.translate(_DIGITS)
        text = self._texts.get(key)
        if text is None:
            if len(self._texts) >= MEMORY:
                self._texts.clear()
            # Masked with its digits levelled: the same for all that share the key.
            text = self._texts[key] = templates.mask(key)
        return text

    def _trace(self, rest: bytes) -> Traced | None:
        if not any(mark in rest for mark in _TRACED):
            return None
        key = rest[:MAX_TRACE].translate(_DIGITS)  # lines apart, the place is the same
        if key in self._traces:
            return self._traces[key]
        if len(self._traces) >= MEMORY // 10:
            self._traces.clear()
        found = traces.parse(sample(rest, MAX_TRACE))
        newest = found[-1] if found else None
        traced = (newest.exception, newest.message, top_frame(newest)) if newest else None
        self._traces[key] = traced
        return traced


def top_frame(trace: Trace) -> str | None:
    """Return the place of the newest frame outside dependencies, else of the newest."""
    if not trace.frames:
        return None
    frames = [frame for frame in trace.frames if not traces.vendored(frame.path)]
    return fingerprint.place((frames or list(trace.frames))[0])


def sample(record: bytes, limit: int) -> str:
    """Return a record as printable text of bounded length: its end, where the fault is named,
    stays.
    """
    if len(record) > limit:
        head = limit // 3
        record = record[:head] + b"\n[...]\n" + record[-(limit - head - 7) :]
    lines = record.decode("utf-8", "replace").split("\n")
    return "\n".join(templates.plain(line.replace("\t", "    "), limit) for line in lines)
