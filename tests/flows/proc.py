"""The process table, as the kernel shows it: who lives, and whose child it is.

Used by the flow tests to see that nothing outlives what started it, and to kill exactly one.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


def mentioning(text: str) -> list[str]:
    """Return the command lines of processes that carry a text in arguments or environment."""
    found = []
    for pid in _all():
        if pid == os.getpid():
            continue
        with suppress(*GONE):
            process = Path(f"/proc/{pid}")
            line = (process / "cmdline").read_bytes()
            if text.encode() in line + b"\0" + (process / "environ").read_bytes():
                found.append(f"{pid}: {line.replace(bytes(1), b' ').decode(errors='replace')}")
    return found


def children(pid: int) -> list[int]:
    """Return the living children of a process."""
    return [one for one in _all() if _state(one)[1:] == (pid,) and alive(one)]


def alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    return _state(pid)[0] not in ("Z", "X", "")


def _state(pid: int) -> tuple[str, int]:
    """Return the state's letter and the parent; empty and 0 for what is gone."""
    with suppress(*GONE):
        words = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        return words[0], int(words[1])
    return "", 0


def _all() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal())
