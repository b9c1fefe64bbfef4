"""A real `halon up` for the tests of the command line: its own folder, PATH and environment.

Every process is asked for and ended by its own pid. Used by tests/cli.
"""

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli import main

ROOT = Path(__file__).resolve().parents[2]
HALON = (sys.executable, "-P", "-m", "cli")
NAMES = ("bot", "controller", "worker-urgent", "worker-normal")


def until(condition: Callable[[], Any], seconds: float = 20.0, what: str = "") -> Any:
    """Return the condition's first true value; fail when it stays false."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"never came true: {what or condition}"
        time.sleep(0.01)
    return value


def alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def children(pid: int) -> dict[int, str]:
    """Return the pids of a process's living children with their command lines."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            stat = (place / "stat").read_text("utf-8").rpartition(")")[2].split()
            if int(stat[1]) == pid and stat[0] not in "ZX":
                raw = (place / "cmdline").read_bytes()
                if line := raw.replace(b"\0", b" ").decode().strip():  # else it is just dying
                    found[int(place.name)] = line
    return found


def environment(pid: int) -> dict[str, str]:
    """Return the environment that a process was really started with."""
    raw = Path(f"/proc/{pid}/environ").read_bytes().decode("utf-8", "replace")
    return dict(pair.split("=", 1) for pair in raw.split("\0") if "=" in pair)


def halon(*arguments: str, env: Mapping[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [*HALON, *arguments],
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def here(*arguments: str, env: Mapping[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in this process: what its entry point does, without a start of Python.

    For verbs that end at once and start nothing.
    """
    out, err, code, before = io.StringIO(), io.StringIO(), 0, dict(os.environ)
    argv, sys.argv = sys.argv, ["halon", *arguments]
    os.environ.clear()
    os.environ.update(env)
    try:
        with (
            contextlib.chdir(cwd),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            main.run()
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    finally:
        sys.argv = argv
        os.environ.clear()
        os.environ.update(before)
    return subprocess.CompletedProcess(["halon", *arguments], code, out.getvalue(), err.getvalue())


@dataclass
class Up:
    """One `halon up` on a folder of its own."""

    place: Path
    more: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        return self.place / "data"

    @property
    def env(self) -> dict[str, str]:
        """Return the environment that it is started with."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {**kept, "HALON_FOLDER": str(self.folder), "HALON_WEB_PORT": "0", **self.more}

    def write_services(self) -> None:
        """Write a halon.toml with one service that is never looked into."""
        text = f'[[service]]\nname = "checkout"\nrepository = "{self.place / "none"}"\n'
        (self.place / "halon.toml").write_text(text, encoding="utf-8")

    def start(self) -> None:
        """Start it and wait until it says where the war room is."""
        self.write_services()
        with (self.place / "out").open("wb") as out:
            self.process = subprocess.Popen(
                [*HALON, "up"],
                env=self.env,
                cwd=self.place,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until(lambda: "Watching over" in self.said(), what="halon up")

    def said(self) -> str:
        """Return what it printed."""
        assert self.process is not None
        text = (self.place / "out").read_text("utf-8")
        assert self.process.poll() is None, f"it ended with {self.process.returncode}: {text}"
        return text

    def pids(self) -> dict[str, int]:
        """Return the pids of the children that run now, by their names."""
        assert self.process is not None
        found = {}
        for pid, line in children(self.process.pid).items():
            found[_name(line)] = pid
        return found

    def pid(self, name: str, *, other_than: int = 0) -> int:
        """Wait for a child of this name and return its pid."""
        found: int = until(
            lambda: (pid := self.pids().get(name, 0)) != other_than and pid, what=name
        )
        return found

    def kill(self) -> None:
        """Kill it without mercy, by its own pid."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def end(self) -> None:
        """End it politely."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)


def _name(line: str) -> str:
    words = line.split()
    if "redis-server" in words[0]:
        return "redis"
    if "cli" in words and "worker" in words:
        return f"worker-{words[-1]}"
    return words[-1]


@contextlib.contextmanager
def running(place: Path, **more: str) -> Iterator[Up]:
    """Run `halon up` for a block."""
    up = Up(place, more)
    try:
        up.start()
        yield up
    finally:
        up.end()
