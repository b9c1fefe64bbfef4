"""A PostgreSQL of the tests' own: a new cluster on a unix socket in a temporary folder.

Started once per test process by the fixture `postgres_url`. It never uses a server that happens
to run on the machine, opens no TCP port, and drops root first because PostgreSQL refuses it.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import services

DEBIAN = Path("/usr/lib/postgresql")
PROGRAMS = ("initdb", "postgres", "pg_isready")
SETTINGS = {"listen_addresses": "", "fsync": "off", "max_connections": "50"}
START_SECONDS = 30


@dataclass(frozen=True)
class Cluster:
    """The programs, the folder of data and socket, and the command prefix that drops root."""

    initdb: Path
    postgres: Path
    pg_isready: Path
    room: Path
    prefix: tuple[str, ...]

    @property
    def url(self) -> str:
        """The address of the empty first database, as SQLAlchemy writes it."""
        return f"postgresql+psycopg://postgres@/postgres?host={self.room}"


@contextmanager
def cluster() -> Iterator[str]:
    """Run a new cluster and give its address; both are gone when the block ends."""
    found = {name: services.need(find(name), f"PostgreSQL ({name})") for name in PROGRAMS}
    # Not tmp_path: a socket's path may have 107 bytes, and pytest's folders are closed to others.
    room = Path(tempfile.mkdtemp(prefix="halon-pg-", dir=services.memory()))
    try:
        made = Cluster(**found, room=room, prefix=drop_root(room))
        create(made)
        with running(made):
            yield made.url
    finally:
        shutil.rmtree(room, ignore_errors=True)


def find(name: str) -> Path | None:
    """Return one of PostgreSQL's programs; Debian keeps them in a folder per major version."""
    return services.program(name, beside=sorted(DEBIAN.glob("*/bin"), reverse=True))


def drop_root(room: Path) -> tuple[str, ...]:
    """Return the words before a command that make it end with us and, for root, run as another."""
    dying = ("setpriv", "--pdeathsig", "INT")
    if os.geteuid() != 0:
        return dying
    user = pwd.getpwnam("nobody")
    os.chown(room, user.pw_uid, user.pw_gid)
    return (*dying, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")


def create(made: Cluster) -> None:
    """Write the files of an empty cluster."""
    options = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
    done = subprocess.run(
        [*made.prefix, str(made.initdb), f"--pgdata={made.room}/data", *options],
        cwd=made.room,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"initdb: {done.stdout}{done.stderr}"


@contextmanager
def running(made: Cluster) -> Iterator[None]:
    """Keep the server up until the block ends; it also ends when this process is killed."""
    settings = SETTINGS | {"unix_socket_directories": str(made.room)}
    command = [*made.prefix, str(made.postgres), "-D", f"{made.room}/data"]
    command += [f"--{name}={value}" for name, value in settings.items()]
    log = made.room / "server.log"
    with log.open("wb") as said:
        server = subprocess.Popen(
            command, cwd=made.room, env=environment(), stdout=said, stderr=subprocess.STDOUT
        )
    try:
        wait_until_ready(made, server, log)
        yield
    finally:
        # SIGQUIT is PostgreSQL's immediate stop: no one needs what it would still write.
        server.send_signal(signal.SIGQUIT)
        server.wait(timeout=START_SECONDS)


def wait_until_ready(made: Cluster, server: subprocess.Popen[bytes], log: Path) -> None:
    """Return as soon as the server takes connections; fail with its log when it does not."""
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        asked = subprocess.run(
            [str(made.pg_isready), "--quiet", f"--host={made.room}"], env=environment(), check=False
        )
        if asked.returncode == 0:
            return
        time.sleep(0.05)
    raise AssertionError(f"PostgreSQL did not start:\n{log.read_text(errors='replace')}")


def environment() -> dict[str, str]:
    """Return what PostgreSQL's programs need of ours."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
