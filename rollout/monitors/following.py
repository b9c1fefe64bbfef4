"""Follows a file that grows: new lines once, through rotation and truncation.

Used by the log readers beside it. It keeps an offset and never a line, leaves a line that is not
finished for later, and says where lines may have been missed.
"""

import os
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path

CHUNK = 1 << 20
LONGEST = 1 << 20  # bytes without a line's end that are still waited for


class Follower:
    """Follows one path. `start` returns the offset at which a file is entered the first time."""

    def __init__(self, path: Path, start: Callable[[BufferedReader, float], int]) -> None:
        self._path = path
        self._start = start
        self._file: BufferedReader | None = None
        self._rest = b""
        self._begun = False
        self._lost = False
        self._left: tuple[int, int, int] | None = None  # inode, device, offset when we closed

    def lines(self, since: float) -> Iterator[bytes | None]:
        """Yield the finished lines since the last call; None: lines may be missing here.

        To be read to its end. `since`, in seconds since the epoch, only counts when the file is
        entered. While there is no file, nothing is yielded but the gap, once it is back.
        """
        if self._file is None and not self._open(since):
            return
        while self._file is not None:
            yield from self._read_all(self._file)
            state = os.fstat(self._file.fileno())
            try:
                named = self._path.stat()
            except OSError:
                return  # rotated away, and the new one is not there yet
            if (named.st_ino, named.st_dev) != (state.st_ino, state.st_dev):
                # One last look: a line may have been added between the reading and the rename.
                yield from self._read_all(self._file)
                self.close()
                self._rest, self._left = b"", None
                self._open(since)
            elif state.st_size < self._file.tell():
                self._file.seek(0)
                self._rest = b""
                self._lost = True
            else:
                return

    @property
    def is_open(self) -> bool:
        """Whether there was a file to read at the last call."""
        return self._file is not None

    def close(self) -> None:
        """Close the file; the next reading goes on where this one ended."""
        if self._file is not None:
            state = os.fstat(self._file.fileno())
            self._left = state.st_ino, state.st_dev, self._file.tell()
            self._file.close()
            self._file = None

    def _open(self, since: float) -> bool:
        try:
            file = self._path.open("rb")
        except OSError:
            self._lost = True
            return False
        self._file = file
        if self._left is not None:
            state = os.fstat(file.fileno())
            if (state.st_ino, state.st_dev) == self._left[:2] and state.st_size >= self._left[2]:
                file.seek(self._left[2])
            else:  # rotated or cut short while nobody was looking
                self._rest, self._lost = b"", True
            self._left = None
        elif not self._begun:
            file.seek(self._start(file, since))
        return True

    def _read_all(self, file: BufferedReader) -> Iterator[bytes | None]:
        while piece := file.read(CHUNK):
            lines = (self._rest + piece).split(b"\n")
            self._rest = lines.pop()
            if len(self._rest) > LONGEST:
                self._rest, self._lost = b"", True
            for raw in lines:
                if not raw.strip():
                    continue
                if self._lost:
                    yield None
                self._lost, self._begun = False, True
                yield raw


def find(file: BufferedReader, at: float, time_of: Callable[[bytes], float | None]) -> int:
    """Return the offset of a line before a time, by halving; lines are in order."""
    low, high = 0, file.seek(0, os.SEEK_END)
    while high - low > CHUNK:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline()
        then = time_of(file.readline())
        if then is not None and then < at:
            low = middle
        else:
            high = middle
    if low == 0:
        return 0
    file.seek(low)
    file.readline()
    return file.tell()
