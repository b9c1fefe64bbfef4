"""Programs of npm that stand in for other people's servers, as `.ci/doubles` installs them.

Used by the doubles of Slack's Web API and of a model's API. Without them a test skips at home and
fails where CI is set.
"""

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests import services

# Read when this is loaded: tests get a HOME of their own.
HOME = Path(os.environ.get("EMULATE_HOME") or Path.home() / ".cache/halon-emulate")
STARTS_WITHIN = 60.0


def argv(program: str, what: str) -> list[str]:
    """Return the beginning of the command line of a program; `program` is a file of its package."""
    node = HOME / "node_modules/node-of-this-machine/bin/node"
    found = HOME / "node_modules" / program
    services.need(node if node.exists() and found.exists() else None, f"{what} (.ci/doubles)")
    return [str(node), str(found)]


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def started(command: Sequence[str], folder: Path, probe: httpx.Request) -> Iterator[None]:
    """Run a server while the block lasts, once it answers a request; its log is in `folder`."""
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            _answers(server, probe)
            yield
        finally:
            server.terminate()
            server.wait(20)


def _answers(server: subprocess.Popen[bytes], probe: httpx.Request) -> None:
    end = time.monotonic() + STARTS_WITHIN
    with httpx.Client(timeout=5) as client:
        while True:
            try:
                client.send(probe)
                return
            except httpx.TransportError:
                assert server.poll() is None, "the server ended"
                assert time.monotonic() < end, "the server does not answer"
                time.sleep(0.05)
