"""Keeps the head and the tail of a stream of unknown length, and counts what lies between.

Used by the runner for everything a sandboxed command prints; it never holds more than its limit.
"""

from collections import deque


class Capture:
    """A byte stream of which at most `limit` bytes are kept."""

    def __init__(self, limit: int) -> None:
        self._head_room = limit // 2
        self._tail_room = limit - self._head_room
        self._head: list[bytes] = []
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self.left_out = 0

    def add(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        if self._head_room:
            self._head.append(chunk[: self._head_room])
            chunk = chunk[self._head_room :]
            self._head_room -= len(self._head[-1])
        if chunk:
            self._tail.append(chunk)
            self._tail_size += len(chunk)
            self._trim()

    def _trim(self) -> None:
        excess = self._tail_size - self._tail_room
        while excess > 0:
            oldest = self._tail.popleft()
            if len(oldest) > excess:
                self._tail.appendleft(oldest[excess:])
            gone = min(len(oldest), excess)
            self.left_out += gone
            self._tail_size -= gone
            excess -= gone

    def text(self) -> str:
        """Give what was kept, decoded with replacement, with a line for what was left out."""
        head = b"".join(self._head).decode(errors="replace")
        tail = b"".join(self._tail).decode(errors="replace")
        if not self.left_out:
            # One decode, so that a character across the border stays whole.
            return b"".join((*self._head, *self._tail)).decode(errors="replace")
        return f"{head}\n[... {self.left_out} bytes left out ...]\n{tail}"
