"""Installs what a revision needs before its code runs: once for each content of its lock files.

Used by the replays. The command sees the lock files alone, so that nothing else of one revision
can decide what another gets; what it leaves is read-only for every tree that has the same ones.
It must never run where a proof runs, and what it prints is no evidence.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO

from agents import git, gitcalls, workspace
from agents.builtin import failures
from agents.builtin.deadline import Deadline
from agents.case import Installation
from agents.sandboxes import commands
from agents.sandboxes.contract import MIB, Completed, Limits, Profile, Sandbox

# What decides the versions that are installed, by name, wherever it lies in a repository.
CUSTOMARY = (
    *("requirements*.txt", "constraints*.txt", "pyproject.toml", "setup.py", "setup.cfg"),
    *("poetry.lock", "uv.lock", "pdm.lock", "pylock*.toml", "Pipfile", "Pipfile.lock"),
    *("package.json", "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml"),
    *("go.mod", "go.sum", "Gemfile", "Gemfile.lock", "composer.json", "composer.lock"),
)
FORMAT = 1  # counted up when what is installed before must not be used any more
KEPT = 24  # installations; the one that was not used for longest goes first
LOOK_SECONDS = 0.05
REPORT_SECONDS = 2.0  # of the run's time, kept back as by the replays
PREPARED, SCRATCH, PYTHON = "HALON_PREPARED", ".tmp", "python"
# A program that finds what was installed in the folder where it runs: there it is led back to it.
LINKED = ("node_modules", ".venv", "venv", "vendor")
PREFIXES = (".venv", "venv", "node_modules", PYTHON)
# Where programs put what they install, if not into the folder where they run.
STORES = {"GOMODCACHE": "go", "BUNDLE_PATH": "bundle"}
ALWAYS = {
    "PIP_NO_INPUT": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
    "POETRY_VIRTUALENVS_IN_PROJECT": "1",
    "PIPENV_VENV_IN_PROJECT": "1",
    "GOFLAGS": "-modcacherw",  # else what is installed could not be removed again
}
PIP = re.compile(r"pip[0-9.]*")
LINES, CHARACTERS = 3, 400


@dataclass(frozen=True)
class Prepared:
    """What a proof is given of an installation: mounts, variables, and links in its tree."""

    read_only: tuple[Path, ...]
    env: Mapping[str, str]
    links: Mapping[str, Path]

    def link(self, tree: Path) -> None:
        """Lead from a tree to what is installed, where the revision has nothing of that name."""
        for name, target in self.links.items():
            if not os.path.lexists(tree / name):
                (tree / name).symlink_to(target)


@dataclass(frozen=True)
class Failed:
    """An installation that did not work, said in a clause, and how its command ended."""

    why: str
    completed: Completed


@dataclass(frozen=True)
class Lock:
    """One file that decides what is installed."""

    path: str
    blob: str


@dataclass
class Preparing:
    """The installations of one run; several processes may share the folder."""

    box: Sandbox
    repository: git.Repository
    how: Installation
    folder: Path
    deadline: Deadline
    read_only: tuple[Path, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    most: int = KEPT
    failed: dict[str, Failed] = field(default_factory=dict)
    _keys: dict[str, tuple[str, tuple[Lock, ...]]] = field(default_factory=dict)
    _ready: dict[str, IO[str]] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def of(self, tree: str) -> Prepared | Failed:
        """Return what a tree needs, installed; raises `errors.TimeSpent` when the time runs out."""
        key, locks = self._key(tree)
        while key not in self._ready and key not in self.failed and not self._take(key):
            lock = self._locked(key, fcntl.LOCK_EX)
            if lock is None:  # who has it installs, or uses what is whole: look again
                self.deadline.check(REPORT_SECONDS)
                time.sleep(LOOK_SECONDS)
                continue
            with lock:
                if key not in self.failed and not self._marker(key).is_file():
                    self._install(key, locks)
        return self.failed.get(key) or _prepared(self.folder / key)

    def problems(self) -> tuple[str, ...]:
        """Return what could not be installed, as gaps of a report."""
        return tuple(f"test environment: {one.why}" for one in self.failed.values())

    def close(self) -> None:
        """Let others remove what this run used."""
        for lock in self._ready.values():
            lock.close()
        self._ready.clear()

    # --- what decides ----------------------------------------------------------------------------

    def _key(self, tree: str) -> tuple[str, tuple[Lock, ...]]:
        if tree not in self._keys:
            locks = self._locks(tree)
            named = [[lock.path, lock.blob] for lock in locks]
            how = [self.how.command.argv, self.how.network, self.how.env, self.env]
            text = json.dumps([FORMAT, named, how, _tools(self.how.command.argv[0])])
            self._keys[tree] = hashlib.sha256(text.encode()).hexdigest()[:32], locks
        return self._keys[tree]

    def _locks(self, tree: str) -> tuple[Lock, ...]:
        out = self.repository.run("ls-tree", "-r", "-z", "--full-tree", tree).out
        found = []
        for row in filter(None, out.split(b"\0")):
            meta, _, path = gitcalls.decoded(row).partition("\t")
            mode, _, blob = meta.split()
            if mode.startswith("100") and _decides(path, self.how.locks or CUSTOMARY):
                found.append(Lock(path, blob))
        return tuple(found)

    # --- one at a time ---------------------------------------------------------------------------

    def _marker(self, key: str) -> Path:
        """The file that says an installation is whole; outside of what the command can write."""
        return self.folder / f"{key}.whole"

    def _take(self, key: str) -> bool:
        """Keep an installation that is whole for the rest of this run; tell if there is one."""
        lock = self._locked(key, fcntl.LOCK_SH)
        if lock is None:
            return False
        with self._guard:
            kept = self._marker(key).is_file() and key not in self._ready
            if kept:
                self._marker(key).touch()
                self._ready[key] = lock
        if not kept:
            lock.close()
        return key in self._ready

    def _locked(self, key: str, how: int) -> IO[str] | None:
        """Return the locked file of an installation; None while somebody else's lock forbids it."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.ExitStack() as unless_locked:
            lock = unless_locked.enter_context((self.folder / f"{key}.lock").open("w"))
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, how | fcntl.LOCK_NB)
                unless_locked.pop_all()
                return lock
        return None

    # --- installing ------------------------------------------------------------------------------

    def _install(self, key: str, locks: tuple[Lock, ...]) -> None:
        place = self.folder / key
        self._make_room()
        try:
            workspace.remove([place], self.folder)
            (place / SCRATCH).mkdir(parents=True)
            workspace.lay_over(place, {lock.path: self._content(lock) for lock in locks})
            done = self._run(place)
            workspace.remove([place / SCRATCH], self.folder)
        except OSError as error:
            raise workspace.WorkspaceFailed(
                f"Nothing can be installed in {str(self.folder)!r}: {error.strerror}. "
                "Free some disk space or choose another data folder."
            ) from error
        if done.ok:
            self._marker(key).touch()
            return
        workspace.remove([place], self.folder)
        self.failed[key] = Failed(self._why(done), done)

    def _content(self, lock: Lock) -> bytes:
        return self.repository.run("cat-file", "blob", lock.blob).out

    def _run(self, place: Path) -> Completed:
        self.deadline.check(REPORT_SECONDS)
        seconds = min(self.how.seconds, max(1.0, self.deadline.left - REPORT_SECONDS))
        limits = Limits(
            seconds,
            memory_bytes=4096 * MIB,
            total_memory_bytes=4096 * MIB,
            file_bytes=4096 * MIB,
            disk_bytes=8192 * MIB,
            files=1_000_000,
        )
        env = dict(self.env) | dict(self.how.env) | _leading(place, self.how.command.argv)
        profile = Profile(place, read_only=self.read_only, env=env, network=self.how.network)
        done = self.box.run(self.how.command.argv, profile, limits)
        if done.timed_out and seconds < self.how.seconds:
            self.deadline.check(REPORT_SECONDS + 1)  # the budget ended it
        return done

    def _why(self, done: Completed) -> str:
        said = [line.strip() for line in done.output.splitlines() if line.strip()][-LINES:]
        ending = f"took longer than {self.how.seconds:g} s" if done.timed_out else ""
        ending = ending or done.problem or f"ended with {done.exit_code}"
        hint = ""
        if not self.how.network and failures.network_words(done.output):
            hint = "; it has no network: set `prepare.network` in halon.toml if it may have one"
        words = f"`prepare` (`{self.how.command}`) {ending}: {' / '.join(said)}"
        return f"{words[:CHARACTERS]}{hint}"

    def _make_room(self) -> None:
        """Remove what was not used for longest and is used by nobody."""
        whole = sorted(self.folder.glob("*.whole"), key=_used_at)
        too_many = len(whole) - self.most + 1
        for marker in whole:
            if too_many <= 0:
                return
            with marker.with_suffix(".lock").open("w") as lock, contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                marker.unlink()
                workspace.remove([self.folder / marker.stem], self.folder)
                too_many -= 1


def _used_at(marker: Path) -> float:
    try:
        return marker.stat().st_mtime
    except OSError:
        return 0.0  # another process has just removed it


def _decides(path: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether a path is named: by its last part, or whole by a pattern that has folders."""
    name = path.rpartition("/")[2]
    return any(fnmatchcase(path if "/" in one else name, one) for one in patterns)


def _tools(program: str) -> list[list[str | int]]:
    """Return what tells the programs that install from another version of theirs."""
    found: list[list[str | int]] = []
    for name in (program, *commands.PYTHONS):
        path = commands.find(name, Path("/"))
        if path is not None:
            state = path.stat()
            found.append([str(path.resolve()), state.st_size, state.st_mtime_ns])
    return found


def _leading(place: Path, argv: tuple[str, ...]) -> dict[str, str]:
    """Return the variables that make a command install into a folder, and leave nothing else."""
    scratch = place / SCRATCH
    found = {
        **ALWAYS,
        **{name: str(place / where) for name, where in STORES.items()},
        PREPARED: str(place),
        "TMPDIR": str(scratch),
        "XDG_CACHE_HOME": str(scratch / "cache"),
        "npm_config_cache": str(scratch / "npm"),
    }
    # Only where pip is called by itself: in a virtual environment it would miss its target.
    called = argv[2] if argv[1:2] == ("-m",) and len(argv) > 2 else Path(argv[0]).name
    if PIP.fullmatch(called):
        found["PIP_TARGET"] = str(place / PYTHON)
    return found


def _prepared(place: Path) -> Prepared:
    env = {PREPARED: str(place)}
    env |= {name: str(place / where) for name, where in STORES.items() if (place / where).is_dir()}
    if (place / PYTHON).is_dir():
        env["PYTHONPATH"] = str(place / PYTHON)
    prefixes = [place / name for name in PREFIXES if (place / name).is_dir()]
    links = {name: place / name for name in LINKED if (place / name).is_dir()}
    return Prepared((*prefixes, place), env, links)
