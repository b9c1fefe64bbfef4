"""Monitor `accesslog`: counts from an access log that it follows through rotation.

Made by `rollout.wiring` for the controller. It reads every line once, keeps counts and not lines,
and leaves a line that is not finished for later. A file that is missing or silent is a gap.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BufferedReader
from pathlib import Path

from incidents.models import Bucket, Version

KEPT = timedelta(hours=3)
MOST_TIMES = 2000  # response times kept per bucket and version; the counts stay exact
CHUNK = 1 << 20
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Line:
    """One line of a log; `version` None: it only shows that the writer is alive."""

    at: float  # seconds since the epoch
    version: Version | None
    status: int = 0
    milliseconds: float | None = None
    fingerprint: str | None = None


def json_line(raw: bytes) -> Line | None:
    """Return a line of JSON with ts, version, status, ms; None for what is not one."""
    try:
        content = json.loads(raw)
        at = datetime.fromisoformat(content["ts"])
        if at.tzinfo is None:
            return None
        if content.get("beat"):
            return Line(at.timestamp(), None)
        name, status = content.get("version"), int(content["status"])
        version = Version(name) if name in (Version.CANARY, Version.STABLE) else None
        milliseconds = content.get("ms")
        return Line(
            at.timestamp(),
            version,
            status,
            float(milliseconds) if milliseconds is not None else None,
            content.get("error") if isinstance(content.get("error"), str) else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


@dataclass
class Cell:
    """The counts of one version in one bucket."""

    requests: int = 0
    errors: int = 0
    times: list[float] = field(default_factory=list)
    fingerprints: dict[str, int] = field(default_factory=dict)

    def add(self, line: Line) -> None:
        """Count one request. Only answers are timed: a crash is often the fastest answer."""
        self.requests += 1
        if line.status >= 500:
            self.errors += 1
            if line.fingerprint is not None:
                key = line.fingerprint[:300]
                self.fingerprints[key] = self.fingerprints.get(key, 0) + 1
        elif line.milliseconds is not None and len(self.times) < MOST_TIMES:
            self.times.append(max(0.0, line.milliseconds))


NOTHING = Cell()


class AccessLog:
    """Follows one log. Buckets start at multiples of `bucket` since the epoch.

    `silence`: the longest pause between two lines, or after the last one, that still means "nobody
    asked". A longer one means that nobody measured.
    """

    fingerprints = False

    def __init__(
        self,
        path: Path,
        *,
        bucket: timedelta,
        silence: timedelta,
        parse: Callable[[bytes], Line | None] = json_line,
    ) -> None:
        self._path = path
        self._bucket_us = bucket // MICROSECOND  # whole numbers: float edges would skip buckets
        self._seconds = bucket.total_seconds()
        self._silence = silence.total_seconds()
        self._parse = parse
        self._file: BufferedReader | None = None
        self._rest = b""
        self._cells: dict[tuple[Version, int], Cell] = {}
        self._unreadable: dict[int, int] = {}
        self._first: float | None = None
        self._last: float | None = None
        self._gaps: list[tuple[float, float]] = []
        self._lost = False  # lines may have been missed before the next one

    def buckets(self, version: Version, since: datetime, until: datetime) -> list[Bucket]:
        """Return the whole buckets inside [since, until), oldest first."""
        self._follow(since.timestamp())
        first = -(-((since - EPOCH) // MICROSECOND) // self._bucket_us)
        last = ((until - EPOCH) // MICROSECOND) // self._bucket_us
        self._forget(until - KEPT)
        return [self._bucket(version, number) for number in range(first, last)]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _bucket(self, version: Version, number: int) -> Bucket:
        start = EPOCH + number * self._bucket_us * MICROSECOND
        if not self._measured(number):
            return Bucket(version, start, self._seconds, None, None)
        cell = self._cells.get((version, number), NOTHING)
        return Bucket(
            version,
            start,
            self._seconds,
            cell.requests,
            cell.errors,
            latencies_ms=tuple(cell.times),
            fingerprints=tuple(sorted(cell.fingerprints.items())),
        )

    def _measured(self, number: int) -> bool:
        """Return whether somebody was writing all through a bucket."""
        if self._first is None or self._last is None:
            return False
        begin, end = (edge * self._bucket_us / 1e6 for edge in (number, number + 1))
        # Lines carry the time of the answer, so the first ones after a start may be partial.
        if begin < self._first - self._silence or end > self._last + self._silence:
            return False
        if any(begin < gap_end and end > gap_begin for gap_begin, gap_end in self._gaps):
            return False
        seen = sum(self._cells.get((one, number), NOTHING).requests for one in Version)
        return self._unreadable.get(number, 0) <= seen

    def _follow(self, since: float) -> None:
        """Read what was added since the last call, through rotation and truncation."""
        if self._file is None and not self._open(since):
            return
        while self._file is not None:
            self._read_all(self._file)
            state = os.fstat(self._file.fileno())
            try:
                named = self._path.stat()
            except FileNotFoundError:
                return  # rotated away, and the new one is not there yet
            if (named.st_ino, named.st_dev) != (state.st_ino, state.st_dev):
                # One last look: a line may have been added between the reading and the rename.
                self._read_all(self._file)
                self.close()
                self._rest = b""
                self._open(None)
            elif state.st_size < self._file.tell():
                self._file.seek(0)
                self._rest = b""
                self._lost = True
            else:
                return

    def _open(self, since: float | None) -> bool:
        try:
            file = self._path.open("rb")
        except OSError:
            self._lost = True
            return False
        self._file = file
        if since is not None and self._last is None:
            file.seek(_find(file, since - 2 * self._silence - self._seconds, self._parse))
        return True

    def _read_all(self, file: BufferedReader) -> None:
        while piece := file.read(CHUNK):
            lines = (self._rest + piece).split(b"\n")
            self._rest = lines.pop()
            for raw in lines:
                if raw.strip():
                    self._take(raw)

    def _take(self, raw: bytes) -> None:
        line = self._parse(raw)
        if line is None:
            place = self._place(self._last or 0.0)
            self._unreadable[place] = self._unreadable.get(place, 0) + 1
            return
        if self._first is None:
            self._first = line.at
        last = self._last
        if last is not None and (self._lost or line.at - last > self._silence):
            self._gaps.append((last, line.at))
        self._lost = False
        self._last = line.at if last is None else max(last, line.at)
        if line.version is not None:
            key = (line.version, self._place(line.at))
            self._cells.setdefault(key, Cell()).add(line)

    def _place(self, at: float) -> int:
        return round(at * 1e6) // self._bucket_us

    def _forget(self, before: datetime) -> None:
        limit = self._place(before.timestamp())
        for key in [key for key in self._cells if key[1] < limit]:
            del self._cells[key]
        for place in [place for place in self._unreadable if place < limit]:
            del self._unreadable[place]
        self._gaps = [gap for gap in self._gaps if gap[1] >= before.timestamp()]


def _find(file: BufferedReader, at: float, parse: Callable[[bytes], Line | None]) -> int:
    """Return the offset of a line before a time, by halving; lines are in order."""
    low, high = 0, file.seek(0, os.SEEK_END)
    while high - low > CHUNK:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline()
        line = parse(file.readline())
        if line is not None and line.at < at:
            low = middle
        else:
            high = middle
    if low == 0:
        return 0
    file.seek(low)
    file.readline()
    return file.tell()
