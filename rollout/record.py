"""What one service's deployer last commanded, on disk: the fence, the order of commands, the hook.

Kept by `rollout.steering` for deployers whose world knows no fence. A command is begun under a lock
and numbered; whoever acts for an older number is told that it was overtaken. The lock is never held
while a hook runs, so taking back waits behind nothing: it ends the hook of whatever it overtakes,
and so it ends the hook that a dead controller left running. Only the standard library.
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from incidents import errors

TAKE_BACK = "take_back"


@dataclass(frozen=True)
class Running:
    """A hook at work: its process, when that one started, and how long it may take."""

    pid: int
    started: int  # clock ticks since boot, as /proc says: tells a reused pid
    until: float  # CLOCK_BOOTTIME seconds


@dataclass(frozen=True)
class Commanded:
    """The newest command; `weight` and `stable` are what it is to come to, None: anything."""

    fence: int = 0
    sequence: int = 0
    what: str = ""
    weight: int | None = None
    stable: str | None = None
    rollout: str = ""
    base: str = ""  # the stable revision that the rollout began with
    revision: str = ""
    last_good: str = ""
    trouble: str | None = None
    running: Running | None = field(default=None)


class Record:
    """The file of one service; several processes may hold one at the same time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._file = self.folder / "commanded.json"

    def read(self) -> Commanded:
        """Return the newest command; a missing or unreadable file is none."""
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
            running = content.pop("running", None)
            known = {item.name for item in fields(Commanded)}
            kept = {key: value for key, value in content.items() if key in known}
            return Commanded(**kept, running=Running(**running) if running else None)
        except (OSError, ValueError, TypeError, AttributeError):
            return Commanded()

    def begin(self, fence: int, what: str, **coming: Any) -> Commanded:
        """Write a new command down and end the hook it overtakes; an older fence is refused."""
        with self._locked():
            now = self.read()
            if fence < now.fence:
                raise errors.StaleFence(
                    f"Fence {fence} is older than {now.fence}: somebody newer commands."
                )
            _overtake(now, fence, what)
            coming = {"weight": None, "stable": None, **coming}
            begun = replace(
                now, fence=fence, sequence=now.sequence + 1, what=what, running=None, **coming
            )
            self._write(begun)
        return begun

    @contextlib.contextmanager
    def acting(self, mine: Commanded) -> Iterator[None]:
        """Hold everybody else off for a moment; raises when another command came meanwhile."""
        with self._locked():
            self.still(mine)
            yield

    def still(self, mine: Commanded) -> None:
        """Raise when another command came after this one."""
        now = self.read()
        if now.sequence == mine.sequence:
            return
        if now.fence > mine.fence:
            raise errors.StaleFence(f"Fence {mine.fence} is older than {now.fence}.")
        raise errors.TemporaryFailure(f"{mine.what} was overtaken by {now.what}.")

    def start(
        self, mine: Commanded, starting: Callable[[], subprocess.Popen[bytes]], seconds: float
    ) -> subprocess.Popen[bytes]:
        """Start a hook for a command and note it, so that whoever overtakes can end it."""
        with self.acting(mine):
            process = starting()
            running = Running(process.pid, _started(process.pid) or 0, _clock() + seconds)
            self._write(replace(self.read(), running=running), durable=False)
        return process

    def ended(self, mine: Commanded) -> None:
        """Note that this command's hook has ended."""
        with self._locked():
            now = self.read()
            if now.sequence == mine.sequence:
                self._write(replace(now, running=None), durable=False)

    def say(self, trouble: str | None) -> None:
        """Keep, or forget, a sentence that people should read beside the next observations."""
        with self._locked():
            if (now := self.read()).trouble != trouble:
                self._write(replace(now, trouble=trouble), durable=False)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _write(self, commanded: Commanded, *, durable: bool = True) -> None:
        write(self._file, json.dumps(asdict(commanded), indent=1) + "\n", durable=durable)


def write(path: Path, text: str, *, durable: bool = True) -> None:
    """Write a file whole, readable by its owner alone unless it was otherwise before.

    `durable`: it survives a power cut; a process that is running then does not.
    """
    making = path.with_name(f".{path.name}.{os.getpid()}")
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    opened = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(opened, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fchmod(file.fileno(), mode)
        if durable:
            os.fsync(file.fileno())
    making.replace(path)


def _overtake(now: Commanded, fence: int, what: str) -> None:
    """End the running hook if this command may; raises TemporaryFailure if it has to wait."""
    running = now.running
    if running is None or not running.started or _started(running.pid) != running.started:
        return
    nobodys = fence > now.fence or _clock() >= running.until
    if nobodys or (what == TAKE_BACK and now.what != TAKE_BACK):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        return
    raise errors.TemporaryFailure(f"The hook of {now.what} is still at work.")


def _started(pid: int) -> int | None:
    """Return when a process started, in ticks since boot; None when it has ended."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (OSError, UnicodeDecodeError):
        return None
    return None if words[0] in "ZX" else int(words[19])


def _clock() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
