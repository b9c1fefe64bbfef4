"""Which sandbox the workers of this machine found when they started; told by /healthz.

Written by every worker into the data folder, read by the bot, which must not know of sandboxes.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from incidents import errors

FILE = "sandbox.json"


@dataclass(frozen=True)
class Walls:
    """The sandbox in force, or why none works and stages fail."""

    name: str | None
    reason: str = ""


def write(folder: Path, walls: Walls) -> None:
    """Put down what was found, whole or not at all."""
    part = folder / f"{FILE}.{os.getpid()}"  # two workers start at the same time
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part.write_text(json.dumps(asdict(walls)), "utf-8")
        part.replace(folder / FILE)
    except OSError as error:
        raise errors.PermanentFailure(
            f"The data folder {str(folder)!r} cannot be written ({error.strerror})."
        ) from error


def read(folder: Path) -> Walls | None:
    """Return what a worker put down, None while none has."""
    try:
        found = json.loads((folder / FILE).read_text("utf-8"))
        return Walls(**found)
    except (OSError, ValueError, TypeError):
        return None
