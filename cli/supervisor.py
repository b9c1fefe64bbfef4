"""Starts child processes, restarts each one that ends, and ends them all.

Used by `halon up` and `halon demo`. Every child gets its own short environment and its own log
file, and the kernel kills it when the supervisor dies, even by SIGKILL. Knows nothing of incidents.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from incidents import errors

FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 10.0
STEADY_SECONDS = 10.0  # a child that lived this long starts again without delay
GRACE_SECONDS = 8.0
_PR_SET_PDEATHSIG = 1

# What any program needs to run at all; everything else is a child's own.
COMMON_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR")


@dataclass(frozen=True)
class Child:
    """A process to keep alive: argv, environment, log file, and whether it starts again."""

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    restart: bool = True


@dataclass
class _Running:
    child: Child
    process: subprocess.Popen[bytes]
    started: float
    delay: float = FIRST_DELAY_SECONDS
    again_at: float | None = None


def environment(names: tuple[str, ...], extra: Mapping[str, str]) -> dict[str, str]:
    """Return the named variables of ours that are set, the common ones, and the extra ones."""
    wanted = {*COMMON_VARIABLES, *names}
    kept = {name: value for name, value in os.environ.items() if name in wanted}
    return {**kept, "PYTHONUNBUFFERED": "1", **extra}


class Supervisor:
    """Keeps children alive until `stop`; `on_death` hears of each that ended, with its pid."""

    def __init__(self, on_death: Callable[[Child, int, int], None] = lambda *_: None) -> None:
        self._running: dict[str, _Running] = {}
        self._on_death = on_death
        self._stopping = False

    def start(self, child: Child) -> int:
        """Start a child and return its pid; raises `PermanentFailure` when it cannot start."""
        running = _Running(child, _spawn(child), time.monotonic())
        self._running[child.name] = running
        return running.process.pid

    def pid(self, name: str) -> int:
        """Return the pid of a child; raises `KeyError` for an unknown one."""
        return self._running[name].process.pid

    def revise(self, name: str, env: Mapping[str, str]) -> None:
        """Set variables of a child from its next start on."""
        running = self._running[name]
        running.child = replace(running.child, env={**running.child.env, **env})

    def alive(self, name: str) -> bool:
        """Tell whether a child runs right now."""
        running = self._running.get(name)
        return running is not None and running.process.poll() is None

    def look(self) -> None:
        """Notice children that ended and start them again when their delay is over."""
        now = time.monotonic()
        for running in list(self._running.values()):
            if running.again_at is not None:
                if now >= running.again_at:
                    self._again(running)
            elif (code := running.process.poll()) is not None:
                self._ended(running, code, now)

    def stop(self, names: tuple[str, ...] | None = None, but: tuple[str, ...] = ()) -> None:
        """End the named children (all by default), the newest first; SIGKILL after the grace."""
        chosen = [
            r
            for r in self._running.values()
            if r.child.name not in but and (names is None or r.child.name in names)
        ]
        for running in reversed(chosen):
            if running.process.poll() is None:
                running.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        for running in reversed(chosen):
            try:
                running.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                # What it started in its own group would be left behind otherwise.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(running.process.pid, signal.SIGKILL)
                running.process.wait()
            del self._running[running.child.name]

    def _ended(self, running: _Running, code: int, now: float) -> None:
        self._on_death(running.child, running.process.pid, code)
        if not running.child.restart:
            del self._running[running.child.name]
            return
        steady = now - running.started > STEADY_SECONDS
        running.again_at = now + (0.0 if steady else running.delay)
        running.delay = (
            FIRST_DELAY_SECONDS if steady else min(running.delay * 2, LONGEST_DELAY_SECONDS)
        )

    def _again(self, running: _Running) -> None:
        now = time.monotonic()
        try:
            running.process = _spawn(running.child)
        except errors.PermanentFailure:  # no process or no disk left: the others must live on
            running.delay = min(running.delay * 2, LONGEST_DELAY_SECONDS)
            running.again_at = now + running.delay
            return
        running.started, running.again_at = now, None


def _spawn(child: Child) -> subprocess.Popen[bytes]:
    child.log.parent.mkdir(parents=True, exist_ok=True)
    parent = os.getpid()

    def bind_to_parent() -> None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != parent:
            os._exit(1)

    try:
        with child.log.open("ab") as log:
            return subprocess.Popen(
                child.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(child.env),
                # A Ctrl-C at the terminal goes to the supervisor alone, which ends all in order.
                start_new_session=True,
                preexec_fn=bind_to_parent,
            )
    except OSError as error:
        raise errors.PermanentFailure(f"{child.name} cannot be started: {error}") from error
