"""Control groups that bound the processes and memory of one command, where this user may make them.

Used by the runner. Resource limits bind each process, and the number of processes only for ordinary
users; a control group also binds root. Most machines give none to an ordinary user: then nothing is
made and the resource limits stand alone. It must never touch a group that it did not make.
"""

import contextlib
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path

from agents.sandboxes import contract

MOUNT = Path("/sys/fs/cgroup")
# Killed processes leave their group within milliseconds after they were reaped.
REMOVE_SECONDS = 2.0
_numbers = itertools.count(1)


@contextlib.contextmanager
def made(limits: contract.Limits) -> Iterator[list[str]]:
    """Make the groups for one command and give their folders; they are removed afterwards."""
    folders: list[Path] = []
    try:
        if os.geteuid() == 0:
            name = f"halon-{os.getpid()}-{next(_numbers)}"
            for controller, file, value in (
                ("pids", "pids.max", limits.processes),
                ("memory", "memory.limit_in_bytes", limits.total_memory_bytes),
            ):
                _sweep(MOUNT / controller)
                _make(MOUNT / controller / name, file, value, folders)
        yield [str(folder) for folder in folders]
    finally:
        for folder in folders:
            _remove(folder)


def _sweep(controller: Path) -> None:
    """Remove the groups of a Halon that was killed; one that holds a process cannot be."""
    for folder in controller.glob("halon-*"):
        owner = folder.name.split("-")[1]
        if owner.isdigit() and not Path("/proc", owner).exists():
            with contextlib.suppress(OSError):
                folder.rmdir()


def _make(folder: Path, file: str, value: int, folders: list[Path]) -> None:
    """Make one group of hierarchy version 1; version 2 needs delegation and is left alone."""
    try:
        folder.mkdir()
    except OSError:
        return
    try:
        (folder / file).write_text(str(value))
    except OSError:
        folder.rmdir()
        return
    folders.append(folder)


def _remove(folder: Path) -> None:
    deadline = time.monotonic() + REMOVE_SECONDS
    while True:
        try:
            folder.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                return
            time.sleep(0.002)
        else:
            return
