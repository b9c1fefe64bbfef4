"""One pass over one part of a log: literal needles find the error records, the rest is only
counted.

Run by the log reading, in its own process for the parts of a big file (`python -m
agents.builtin.logscan` takes a part on stdin and gives a tally to stdout). Bytes stay bytes until a
record is kept. It never raises over what a log holds, and never holds more than one block.
"""

import dataclasses
import io
import json
import sys
import time
from dataclasses import dataclass
from typing import Protocol

from agents.builtin import logtimes, needles, tallies
from agents.builtin.logrecords import MAX_RECORD, Records
from agents.builtin.logtimes import Stamps
from agents.builtin.tallies import Tally

BLOCK = 4 * 1024 * 1024
STRIPE = 64 * 1024
SAMPLED = (
    8  # once a part has had its full records, one stripe in so many is read, and counts so many
)
TAIL = 8192  # bytes at the end of a block in which its newest time is looked for
SPLITS = 4000  # per block; lines in order need one for each bucket and halving, disorder more


class Stream(Protocol):
    """What a part is read from."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill a buffer as far as possible; 0 at the end."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of one file, cut at record boundaries, and how to read it."""

    path: str
    start: int
    stop: int | None  # None: to the end, for what is compressed
    packed: str | None  # the compression, if any
    needles: tuple[str, ...]
    status: str | None  # the literal before a status code, such as `"status": `
    stamped: bool
    width: float
    year: int
    since: float | None
    until: float | None
    templates: int
    samples: int
    full_records: int
    seconds: float
    unpacked: int


class Scanner:
    """Scans one part into a tally."""

    def __init__(self, part: Part) -> None:
        """Allocate the block; nothing is read yet."""
        self.part = part
        self.tally = Tally(part.width, cap=part.templates, samples=part.samples)
        self.block = needles.Block(BLOCK + 2 * MAX_RECORD)
        self.stamps = Stamps(part.year)
        self.records = Records(part.path, part.stamped, self.stamps, self.tally, self._outside)
        self._needles = [needle.encode() for needle in part.needles]
        self._status = part.status.encode() if part.status else None
        self._inside_line = False
        self._deadline = time.monotonic() + part.seconds

    def scan(self, stream: Stream) -> Tally:
        """Read the stream to the end of the part, or to the limits, and return the counts."""
        room = self.part.unpacked if self.part.stop is None else self.part.stop - self.part.start
        view, carried, offset, read = memoryview(self.block.bytes), 0, self.part.start, 0
        while True:
            got = stream.readinto(view[carried : carried + min(BLOCK, room - read)]) or 0
            read += got
            end, final = carried + got, got == 0 or read >= room
            cut = end if final else self._cut(end)
            self._region(cut, offset)
            offset += cut
            self.block.bytes[: end - cut] = self.block.bytes[cut:end]
            carried = end - cut
            if final:
                break
            if time.monotonic() > self._deadline:
                self._stopped(read, room)
                break
        if self.part.stop is None and read >= room:
            self._gap(f"only the first {read:,} unpacked bytes were read")
        elif self.part.stop is not None and read < room:
            self._gap(f"it became shorter while it was read ({room - read:,} bytes are missing)")
        self.tally.without_zone = self.stamps.without_zone
        return self.tally

    def _stopped(self, read: int, room: int) -> None:
        share = f" of {room:,}" if self.part.stop is not None else ""
        self._gap(f"reading stopped after {self.part.seconds:g} s at {read:,}{share} bytes")
        self.part = dataclasses.replace(self.part, stop=self.part.start + read)

    def _gap(self, text: str) -> None:
        self.tally.gaps.append(f"{self.part.path}: {text}")

    def _outside(self, at: float | None) -> bool:
        part = self.part
        return at is not None and (
            (part.since is not None and at < part.since)
            or (part.until is not None and at >= part.until)
        )

    def _cut(self, end: int) -> int:
        """Return where the last whole record of the block ends: what follows is carried over."""
        buffer, floor = self.block.bytes, max(0, end - MAX_RECORD)
        newest = position = buffer.rfind(b"\n", floor, end) + 1
        if not newest:
            return end  # a line longer than any record: its rest is skipped
        while position:
            if self.records.starts(buffer, position, end):
                return position
            position = buffer.rfind(b"\n", floor, position - 1) + 1
        return newest

    def _region(self, stop: int, offset: int) -> None:
        """Count the bytes of the buffer before `stop`, which lies at a record boundary if it
        can.
        """
        buffer, tally, start = self.block.bytes, self.tally, 0
        if not stop:
            return
        tally.bytes += stop
        tally.lines += self._lines(stop)
        if self._inside_line:
            start = buffer.find(b"\n", 0, stop) + 1
            if not start:
                return
        self._inside_line = (
            buffer[stop - 1] != 10 and stop - buffer.rfind(b"\n", 0, stop) > MAX_RECORD
        )
        self._count_span(start, stop)
        if self._status:
            self._count_requests(start, stop, self._status)
        self._hits(start, stop, offset)

    def _line_after(self, position: int, stop: int) -> int:
        """Return the start of the first record after a position: none is begun in its middle."""
        if position >= stop:
            return stop
        if self.part.stamped:
            newline = logtimes.next_record(self.block.bytes, position - 1, stop)
        else:
            newline = self.block.bytes.find(b"\n", position - 1, stop)
        return newline + 1 if 0 <= newline < stop else stop

    def _lines(self, stop: int) -> int:
        """Return the lines before `stop`; of a whole block one stripe in eight is counted."""
        count = self.block.bytes.count
        if stop < BLOCK // 2:
            return count(b"\n", 0, stop)
        stripes = range(0, stop, STRIPE * SAMPLED)
        read = sum(min(STRIPE, stop - at) for at in stripes)
        return round(sum(count(b"\n", at, at + STRIPE) for at in stripes) * stop / read)

    def _hits(self, start: int, stop: int, offset: int) -> None:
        """Visit the needles in the order of their positions, each record once."""
        find, words = self.block.find, self._needles
        due = [find(word, start, stop) for word in words]
        resume = start
        while words and (position := min(due)) < stop:
            weight = 1
            if self.records.taken >= self.part.full_records:
                if (stripe := position // STRIPE) % SAMPLED:
                    resume = self._line_after((stripe // SAMPLED + 1) * SAMPLED * STRIPE, stop)
                    due = [at if at >= resume else find(word, resume, stop)
                           for word, at in zip(words, due, strict=True)]  # fmt: skip
                    continue
                weight = SAMPLED
            resume = self.records.take(self.block.bytes, position, resume, stop, offset, weight)
            for index, at in enumerate(due):
                if at < resume:
                    due[index] = find(words[index], resume, stop) if resume < stop else stop

    def _count_span(self, start: int, stop: int) -> None:
        """Note the times of the first and the last line, so that quiet stretches belong to the
        span.
        """
        for at in (self._time_at(start, stop), self._last_time(start, stop)):
            if at is not None and not self._outside(at):
                self.tally.see(at)

    def _last_time(self, start: int, stop: int) -> float | None:
        return self._time_at(max(start, stop - TAIL), stop, newest=True)

    def _time_at(self, start: int, stop: int, *, newest: bool = False) -> float | None:
        """Return the time of the first line (or the newest) that carries one, of a few."""
        buffer, found, seen = self.block.bytes, None, 0
        position = start
        if position and buffer[position - 1] != 10:
            position = buffer.find(b"\n", start, stop) + 1
        while 0 < position < stop or (position == 0 == start and seen == 0):
            end = buffer.find(b"\n", position, stop)
            end = stop if end < 0 else end
            at = self.records.time_of(buffer, position, end)
            if at is not None:
                found = at
                if not newest:
                    return at
            seen += 1
            if seen >= 64:
                break
            position = end + 1
        return found

    def _count_requests(self, start: int, stop: int, status: bytes) -> None:
        """Count access lines per bucket by halving: lines are in order,
        so most halves are one bucket.
        """
        first, last = self._time_at(start, stop), self._last_time(start, stop)
        if first is None or last is None:
            return
        spans, splits = [(start, stop, first, last)], 0
        while spans:
            a, b, early, late = spans.pop()
            cell = int(early // self.tally.width)
            splits += 1
            if splits > SPLITS or cell == int(late // self.tally.width):
                if not self._outside(early):
                    self.tally.requests[cell] += self.block.bytes.count(status, a, b)
                continue
            middle = self.block.bytes.find(b"\n", (a + b) // 2, b) + 1
            between = self._time_at(middle, b) if a < middle < b else None
            if between is None:
                self.tally.requests[cell] += self.block.bytes.count(status, a, b)
                continue
            spans += [(middle, b, between, late), (a, middle, early, between)]


def main() -> None:
    """Scan the parts that stdin describes and print their tally as one JSON object."""
    merged: Tally | None = None
    for values in json.load(sys.stdin):
        part = Part(**{**values, "needles": tuple(values["needles"])})
        with io.FileIO(part.path) as file:
            file.seek(part.start)
            merged = join(merged, Scanner(part).scan(file))
    json.dump(merged.to_json() if merged else None, sys.stdout)


def join(merged: Tally | None, tally: Tally) -> Tally:
    """Return both tallies as one."""
    if merged is None:
        return tally
    merged.merge(tally)
    return merged


def finished(text: str) -> Tally:
    """Return the tally that `main` printed."""
    return tallies.Tally.from_json(json.loads(text))


if __name__ == "__main__":
    main()
