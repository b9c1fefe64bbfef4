"""Log files before they are read: what they are, how lines look, which part matters.

Used by the log reading. It opens only regular files, never waits, and answers with a sentence where
a file cannot be read. The literals searched for come from tables; the file only selects among them.
"""

import bz2
import contextlib
import gzip
import io
import lzma
import os
import re
import stat
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime

from agents.builtin.logrecords import MAX_RECORD
from agents.builtin.logtimes import Stamps

HEAD = 128 * 1024
STEP = 64 * 1024
PROBES = 12
SMALL = 64 * 1024 * 1024  # below this all needles are searched, whatever the probes show
WINDOWED = 8 * 1024 * 1024  # above this a window is found by bisection

PLAIN = (
    "ERROR", "CRITICAL", "FATAL", "Traceback (most recent call last)", "panic: ", "level=error",
    "level=fatal", "[error]", "[crit]", " error ", "Error: ", "Exception: ", "Caused by: ",
    "SEVERE", "Uncaught ",
)  # fmt: skip
# Of big files searched only where errors carry no level: they stand inside records found by others.
SECOND = ("Error: ", "Exception: ", "Caused by: ", "Uncaught ")
PLAIN_BASE = ("ERROR", "Traceback (most recent call last)")
_LEVEL_KEYS = "level|severity|levelname|log\\.level|lvl|loglevel|log_level"
_JSON_LEVEL = re.compile(rb'"(' + _LEVEL_KEYS.encode() + rb')":( ?)"([A-Za-z]{3,12})"')
_JSON_NUMBER = re.compile(rb'"(' + _LEVEL_KEYS.encode() + rb')":( ?)([1-6]0)\b')
_JSON_STATUS = re.compile(
    rb'"(status|status_code|statusCode|http_status|response_status)":( ?)("?)[1-5]\d\d\b'
)
_SPELLINGS = ("error", "critical", "fatal")
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
_UNREADABLE = {b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip", b"\x04\x22\x4d\x18": "lz4"}


@dataclass(frozen=True, slots=True)
class Source:
    """A file that can be read, and what its probes showed."""

    path: str
    size: int
    packed: str | None
    needles: tuple[str, ...]
    status: str | None
    stamped: bool
    first: float | None
    last: float | None
    year: int
    gaps: tuple[str, ...]


def examine(path: str) -> Source | str:
    """Return what a file is, or the sentence that says why it cannot be read."""
    try:
        file = _open(path)
    except OSError as error:
        return f"{path}: cannot be read ({error.strerror or error})"
    with file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return f"{path}: is {_kind(status.st_mode)}, not a file"
        if not status.st_size:
            return f"{path}: is empty"
        try:
            return _examine(path, file, status)
        except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
            return f"{path}: cannot be read ({error})"


class Unpacked:
    """The content of a compressed file as far as it can be unpacked."""

    def __init__(self, path: str, packed: str) -> None:
        """Open a file of one of the known compressions."""
        self._file = _open(path)
        self._stream: gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile
        if packed == "gzip":
            self._stream = gzip.GzipFile(fileobj=self._file)
        elif packed == "bzip2":
            self._stream = bz2.BZ2File(self._file)
        else:
            self._stream = lzma.LZMAFile(self._file)  # noqa: SIM115 - closed by `close`

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill a part of the buffer: in small steps, so that a broken end costs only one."""
        piece = self._stream.read1(min(len(buffer), STEP))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        """Close the stream and the file below it."""
        self._stream.close()
        self._file.close()


def bounds(source: Source, since: float | None, until: float | None) -> tuple[int, int]:
    """Return the byte range that holds the window; the whole file if its times are not in order."""
    if source.packed or source.size < WINDOWED or (since is None and until is None):
        return 0, source.size
    with _open(source.path) as file:
        probes = [_time_at(file, source, source.size * i // 32) for i in range(32)]
        known = [at for at in probes if at is not None]
        if len(known) < 24 or known != sorted(known):
            return 0, source.size
        start = 0 if since is None else _bisect(file, source, since)
        stop = source.size if until is None else _bisect(file, source, until)
    return max(0, start - MAX_RECORD), min(source.size, stop + MAX_RECORD)


def boundary(source: Source, position: int) -> int:
    """Return the first record start at or after a position, so that no record is cut in two."""
    if position <= 0 or position >= source.size:
        return min(max(position, 0), source.size)
    with _open(source.path) as file:
        file.seek(position)
        piece = file.read(2 * MAX_RECORD) or b""
    stamps, at, newest = Stamps(source.year), piece.find(b"\n") + 1, 0
    while 0 < at < len(piece):
        newest = newest or at
        if piece[at : at + 1] == b"{" or stamps.at_line(piece, at, len(piece)):
            return position + at
        at = piece.find(b"\n", at) + 1
    return position + newest


def _open(path: str) -> io.FileIO:
    # O_NONBLOCK: opening a FIFO must not wait for a writer; it means nothing for a regular file.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    return io.FileIO(os.open(path, flags), closefd=True)


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISDIR, "a directory"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    return next((name for test, name in kinds if test(mode)), "a device")


def _examine(path: str, file: io.FileIO, status: os.stat_result) -> Source | str:
    head = file.read(HEAD) or b""
    for magic, name in _UNREADABLE.items():
        if head.startswith(magic):
            return f"{path}: is compressed with {name}, which is not read here; unpack it first"
    packed = next((name for magic, name in _PACKED.items() if head.startswith(magic)), None)
    if packed:
        head = tail = _unpacked_head(path, packed)
        pieces = [head]
    else:
        size = status.st_size
        pieces = [head, *(_piece(file, size * i // PROBES) for i in range(1, PROBES))]
        tail = _piece(file, max(0, size - HEAD))
        pieces.append(tail)
    if not head:
        return f"{path}: is empty"
    year = datetime.fromtimestamp(status.st_mtime, UTC).year
    small = status.st_size < SMALL and not packed
    needles, code = _choose(pieces, everything=small or bool(packed))
    stamped, first = _look(head, year, newest=False)
    tail_stamped, last = _look(tail, year, newest=True)
    gaps = _doubts(path, pieces, stamped or tail_stamped or first is not None)
    return Source(
        path, status.st_size, packed, needles, code, stamped or tail_stamped, first,
        None if packed else last, year, gaps,
    )  # fmt: skip


def _unpacked_head(path: str, packed: str) -> bytes:
    """Return the first bytes that can be unpacked; the error only if there are none."""
    head = bytearray(HEAD)
    view, got = memoryview(head), 0
    with contextlib.closing(Unpacked(path, packed)) as stream:
        try:
            while got < HEAD and (read := stream.readinto(view[got:])):
                got += read
        except (OSError, EOFError, zlib.error, lzma.LZMAError):
            if not got:
                raise
    return bytes(head[:got])


def _piece(file: io.FileIO, position: int) -> bytes:
    file.seek(position)
    return file.read(HEAD) or b""


def _choose(pieces: list[bytes], *, everything: bool) -> tuple[tuple[str, ...], str | None]:
    """Select the literals: of a big file only the basic ones and those whose like the probes
    show.
    """
    sight = b"\n".join(pieces)
    chosen: list[str] = []
    lines = [line for piece in pieces for line in piece.split(b"\n")[:200]]
    objects = sum(line.startswith(b"{") for line in lines)
    plain = sum(bool(line.strip()) and not line.startswith(b"{") for line in lines)
    levels = [m.groups() for m in _JSON_LEVEL.finditer(sight)]
    seldom = not everything and len(levels) * 20 < sight.count(b"\n")
    for key, space, value in set(levels):
        if seldom:  # most lines carry no level: one literal for all levels, judged when parsed
            chosen.append(f'"{key.decode()}":{space.decode()}"')
            continue
        style = str.upper if value.isupper() else str.title if value[:1].isupper() else str.lower
        chosen += [f'"{key.decode()}":{space.decode()}"{style(word)}"' for word in _SPELLINGS]
    for key, space, _ in {m.groups() for m in _JSON_NUMBER.finditer(sight)}:
        chosen += [f'"{key.decode()}":{space.decode()}{number}' for number in (50, 60)]
    if objects:
        chosen += [PLAIN_BASE[1]]
    if objects and (everything or not chosen[:-1]):
        words = [style(word) for word in _SPELLINGS for style in (str.lower, str.upper)]
        keys = [f'"{key}":{gap}' for key in ("level", "severity") for gap in ("", " ")]
        chosen += [f'{key}"{word}"' for key in keys for word in words]
    if plain > 2 * PROBES or not objects:
        seen = [word for word in PLAIN if everything or word.encode() in sight]
        if not everything and any(word.encode() in sight for word in PLAIN_BASE):
            seen = [word for word in seen if word not in SECOND]
        chosen += [*PLAIN_BASE, *seen]
    code = next((b'"%s":%s%s' % m.groups() for m in _JSON_STATUS.finditer(sight)), None)
    status = code.decode() if code else None
    return tuple(dict.fromkeys(chosen + ([status + "5"] if status else []))), status


def _look(piece: bytes, year: int, *, newest: bool) -> tuple[bool, float | None]:
    """Return whether plain lines begin with times, and the first or newest time of a piece."""
    stamps, at, plain, stamped = Stamps(year), 0, 0, 0
    found: float | None = None
    for line in piece.split(b"\n")[:2000][1 if newest and b"\n" in piece[:-1] else 0 :]:
        if line.startswith(b"{"):
            time = stamps.in_json(line, 0, len(line))
        else:
            read = stamps.at_line(line, 0, len(line))
            time = read[0] if read else None
            plain += bool(line.strip())
            stamped += read is not None
        if time is not None and (found is None or newest):
            found = time
        at += len(line) + 1
    return stamped * 20 >= max(1, plain), found


def _doubts(path: str, pieces: list[bytes], timed: bool) -> tuple[str, ...]:
    sight = b"".join(pieces)
    odd = len(sight) - len(sight.translate(None, bytes(range(9)) + bytes(range(14, 27))))
    invalid = sight.decode("utf-8", "replace").count("\ufffd")
    gaps = []
    if odd * 20 > len(sight) or invalid * 5 > len(sight):
        gaps.append(
            f"{path}: looks like binary noise, {max(odd, invalid) / len(sight):.0%} is no text"
        )
    if not timed:
        gaps.append(f"{path}: no timestamps found, so no time of onset can come from it")
    return tuple(gaps)


def _time_at(file: io.FileIO, source: Source, position: int) -> float | None:
    file.seek(position)
    piece = file.read(MAX_RECORD) or b""
    at = piece.find(b"\n") + 1 if position else 0
    return _look(piece[at : at + 16_384], source.year, newest=False)[1]


def _bisect(file: io.FileIO, source: Source, moment: float) -> int:
    """Return a position before the first line of a moment, within one record's length."""
    low, high = 0, source.size
    while high - low > MAX_RECORD:
        middle = (low + high) // 2
        at = _time_at(file, source, middle)
        if at is not None and at < moment:
            low = middle
        else:
            high = middle
    return low
