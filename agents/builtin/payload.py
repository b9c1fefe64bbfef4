"""Loaded into every Python process of a replay under the name `sitecustomize`; imports only the
standard library. It makes races likelier or tells what cost memory and time, as the variables
HALON_PRESSURE and HALON_PROFILE ask. It must never change what the service computes, nor raise.
"""

import atexit
import cProfile
import itertools
import json
import os
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from types import FrameType

MARK = "HALON-PROFILE "
SWITCH_SECONDS = 1e-6  # Python's own is 5 ms
STRIDE = 7  # a thread gives way at every seventh call or return of the tree's own code
PLACES = 12


def _place(path: str, line: int, root: str) -> str | None:
    """Return a place inside the tree as `path:line`, None for code of others."""
    there = os.path.realpath(path)
    inside = there.startswith(root + os.sep) and "site-packages" not in there
    return f"{os.path.relpath(there, root)}:{line}" if inside else None


def _tell(kind: str, rows: list[tuple[str, float]]) -> None:
    line = json.dumps({"kind": kind, "rows": rows[:PLACES]})
    os.write(2, f"\n{MARK}{line}\n".encode())


def _memory(root: str) -> None:
    found = tracemalloc.take_snapshot().statistics("lineno")
    places = ((_place(s.traceback[0].filename, s.traceback[0].lineno, root), s.size) for s in found)
    _tell("memory", [(place, float(size)) for place, size in places if place])


def _cpu(profile: cProfile.Profile, root: str) -> None:
    profile.disable()
    rows = []
    for entry in profile.getstats():
        code = entry.code
        if isinstance(code, str):  # built in
            continue
        if place := _place(code.co_filename, code.co_firstlineno, root):
            rows.append((f"{place} {code.co_name}", float(entry.totaltime)))
    _tell("cpu", sorted(rows, key=lambda one: -one[1]))


def _press(root: str) -> None:
    """Let the threads of the service meet where they touch what they share: between its calls."""
    turns = itertools.count()

    def give_way(frame: FrameType, event: str, _: object) -> None:
        ours = event in ("call", "return") and frame.f_code.co_filename.startswith(root)
        if ours and next(turns) % STRIDE == 0:
            time.sleep(0)

    sys.setswitchinterval(SWITCH_SECONDS)
    threading.setprofile(give_way)


def start() -> None:
    """Do what the variables ask for, until the process ends."""
    root = str(Path.cwd().resolve())
    if os.environ.get("HALON_PRESSURE"):
        _press(root)
    wanted = os.environ.get("HALON_PROFILE", "")
    if wanted == "memory":
        tracemalloc.start()
        atexit.register(_memory, root)
    elif wanted == "cpu":
        profile = cProfile.Profile()
        profile.enable()
        atexit.register(_cpu, profile, root)


if __name__ == "sitecustomize":
    start()
