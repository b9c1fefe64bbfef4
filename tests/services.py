"""What a test may need and Halon does not bring along: found, or the test says that it was not.

Used by conftest.py and by tests (`from tests import services`). A missing service skips at home,
where not everyone has it, and fails where CI is set, so that nothing is skipped unseen.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Never

import pytest

MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 * 1024**3


def need(found: Path | str | None, what: str) -> Path:
    """Return the program that was found; without one, skip at home and fail in CI."""
    if not found:
        missing(what)
    return Path(found)


def missing(what: str) -> Never:
    """End the running test because something it needs is not on this machine, and say what."""
    reason = f"{what} is not on this machine; .ci/run installs it"
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def memory() -> Path | None:
    """Return a folder of the machine's memory with room to spare, where nothing waits for a disk.

    For databases that a test throws away; None where there is none, or a container's few megabytes.
    """
    try:
        found = os.statvfs(MEMORY)
    except OSError:
        return None
    roomy = found.f_bavail * found.f_frsize >= ROOM_BYTES
    return MEMORY if roomy and os.access(MEMORY, os.W_OK) else None


def program(*names: str, beside: Iterable[Path] = ()) -> Path | None:
    """Return the first of these programs on PATH or in one of the folders named beside it."""
    folders = os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, beside)])
    for name in names:
        if found := shutil.which(name, path=folders):
            return Path(found)
    return None
