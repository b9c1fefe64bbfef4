"""Take a host's traffic back: `python -I processes_take_back.py DIR REVISION FENCE [SECONDS]`.

Run by the watchdog, by people and by deployer `processes`. Only the standard library, no settings,
no database: it must work when everything else of Halon is dead. FENCE may be `newest`. Exit 0: read
back as done; 3: somebody newer commands; 1: not done yet, run it again; 2: usage.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.02
NEWEST = "newest"
STALE_SECONDS = 3.0
DONE, NOT_YET, USAGE, SUPERSEDED = 0, 1, 2, 3


class Superseded(Exception):
    """A larger fence than ours was seen."""


class NotYet(Exception):
    """The host did not follow in time, or cannot be seen."""


def read(path: Path) -> dict[str, Any]:
    """Return a JSON object from a file; an unreadable or torn one is empty."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def fence_of(content: dict[str, Any]) -> int:
    """Return the fence a file carries; 0 for none or nonsense."""
    fence = content.get("fence")
    return fence if isinstance(fence, int) and not isinstance(fence, bool) else 0


@contextlib.contextmanager
def commanding(folder: Path, fence: int) -> Iterator[None]:
    """Hold the right to write `want.json`; raises Superseded when a larger fence was seen."""
    with (folder / "want.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Of want.json only what the host took over counts: garbage must not lock everybody out.
        newest = fence_of(read(folder / "is.json"))
        wanted = read(folder / "want.json")
        if isinstance(wanted.get("stable"), str):
            newest = max(newest, fence_of(wanted))
        if fence < newest:
            raise Superseded(f"fence {fence} is older than {newest}: somebody newer commands")
        yield


def write_want(folder: Path, want: dict[str, Any]) -> str:
    """Write `want.json` whole and durable; return the digest by which the host confirms it."""
    raw = (json.dumps(want, indent=1) + "\n").encode()
    making = folder / f".want.json.{os.getpid()}"
    with making.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    making.replace(folder / "want.json")
    return hashlib.sha256(raw).hexdigest()


def wait_for(
    folder: Path, digest: str, fence: int, seconds: float, done: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """Return `is.json` once the host reports this want and `done`; raises NotYet or Superseded."""
    until = time.monotonic() + seconds
    while True:
        seen = read(folder / "is.json")
        if fence_of(seen) > fence:
            raise Superseded(f"fence {fence} is older than {fence_of(seen)}")
        if seen.get("digest") == digest and seen.get("running") and done(seen):
            return seen
        if time.monotonic() >= until:
            raise NotYet(why_not(folder, seen))
        time.sleep(POLL_SECONDS)


def why_not(folder: Path, seen: dict[str, Any]) -> str:
    """Return one sentence on why the host has not followed."""
    if not seen:
        return f"no host reports in {str(folder)!r}"
    if not seen.get("running"):
        return f"the host of {str(folder)!r} has ended"
    age = time.time() - (folder / "is.json").stat().st_mtime
    if age > STALE_SECONDS:
        return f"the host of {str(folder)!r} has been silent for {age:.0f} s"
    return str(seen.get("error") or "the host is still working on it")


def take_back(folder: Path, to: str, fence: int, seconds: float) -> dict[str, Any]:
    """Command weight 0 and `to` as stable, and return what the host then reports."""
    want = {"fence": fence, "stable": to, "canary": None, "standby": None, "weight": 0}
    with commanding(folder, fence):
        digest = write_want(folder, want)
    return wait_for(folder, digest, fence, seconds, lambda seen: bool(seen.get("settled")))


def _fence(folder: Path, word: str) -> int:
    """Return the fence to speak with; a person says `newest`, and is never outdated."""
    return fence_of(read(folder / "is.json")) if word == NEWEST else int(word)


def main(arguments: list[str]) -> int:
    """Run from the command line; the answer is one JSON line on stdout."""
    try:
        folder, to = Path(arguments[0]), arguments[1]
        fence = _fence(folder, arguments[2])
        seconds = float(arguments[3]) if len(arguments) > 3 else 60.0
    except (IndexError, ValueError):
        sys.stderr.write("usage: processes_take_back.py DIR REVISION FENCE [SECONDS]\n")
        return USAGE
    try:
        seen = take_back(folder, to, fence, seconds)
    except Superseded as error:
        sys.stderr.write(f"{error}\n")
        return SUPERSEDED
    except (NotYet, OSError) as error:
        sys.stderr.write(f"not taken back yet: {error}\n")
        return NOT_YET
    stable = seen.get("stable") or {}
    answer = {"weight": seen.get("weight"), "stable": stable.get("revision")}
    sys.stdout.write(json.dumps(answer) + "\n")
    return DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
