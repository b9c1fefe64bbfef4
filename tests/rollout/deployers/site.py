"""A real HAProxy in front of a team's real servers, all on unix sockets: no free port is needed."""

import http.client
import json
import os
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import services
from tests.rollout import plans, service_under_test
from tests.rollout.deployers import hook
from tests.rollout.deployers.team import Team
from tests.rollout.production import until

SETTINGS = """
global
    stats socket {folder}/admin.sock mode 600 level admin
{more_global}
defaults
    mode http
    timeout connect 1s
    timeout client 20s
    timeout server 20s
frontend public
    bind unix@{folder}/public.sock
    default_backend app
backend app
    balance {balance}
{more_backend}
    option httpchk GET /healthz
    option redispatch
    retries 2
    default-server {check} inter 100ms fall 2 rise 2
    server stable unix@{folder}/team/stable.sock weight 100
    server canary unix@{folder}/team/canary.sock weight {rest}
    server reserve unix@{folder}/team/stable.sock backup
{servers}
"""


class Connection(http.client.HTTPConnection):
    """A connection to HAProxy's public socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(self._path))


@dataclass
class Site:
    """HAProxy, the team behind it, and everything that has to end with the test."""

    folder: Path
    program: Path
    team: Team
    process: subprocess.Popen[bytes] | None = None
    keys: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def begin(
        cls, folder: Path, stable: str = plans.OLD, behaviour: dict[str, float] | None = None
    ) -> "Site":
        """Return a site whose stable server runs this version; HAProxy is not started yet."""
        found = services.program("haproxy", beside=[Path("/usr/sbin"), Path("/usr/local/sbin")])
        program = services.need(found, "HAProxy")
        if len(str(folder / "team/canary.sock")) > 90:
            pytest.fail(f"{folder} is too long for a unix socket's name")
        service = str(Path(service_under_test.__file__))
        team = Team.begin(folder / "team", service=service, stable=None)
        (team.folder / stable).mkdir()
        told = json.dumps(behaviour or {})
        (team.folder / stable / "behaviour.json").write_text(told, encoding="utf-8")
        environment = {"HALON_HOOK": "take_back", "HALON_TO": stable, "HALON_REVISION": ""}
        subprocess.run(team.argv(), env=environment, check=True)
        team.change(calls=[])
        keys = {
            "socket": str(folder / "admin.sock"),
            "backend": "app",
            "stable": ["stable"],
            "canary": ["canary"],
            "config": str(folder / "haproxy.cfg"),
        }
        return cls(folder, program, team, keys=keys)

    def start(self, **other: str) -> None:
        """Start HAProxy and wait until it has checked the stable server."""
        said = {
            "balance": "roundrobin", "more_global": "", "more_backend": "", "check": "check",
            "rest": "0", "servers": "",
        }  # fmt: skip
        settings = SETTINGS.format(folder=self.folder, **{**said, **other})
        (self.folder / "haproxy.cfg").write_text(settings, encoding="utf-8")
        with (self.folder / "haproxy.log").open("wb") as log:
            self.process = subprocess.Popen(
                [str(self.program), "-W", "-f", str(self.folder / "haproxy.cfg")],
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        until(lambda: (self.folder / "admin.sock").exists(), what="HAProxy's socket")
        if "check" not in other:
            until(lambda: "DOWN" in self.ask("show stat"), what="the canary's check")

    def ask(self, command: str) -> str:
        """Return HAProxy's answer, as a person with socat would get it."""
        with socket.socket(socket.AF_UNIX) as talking:
            talking.connect(str(self.folder / "admin.sock"))
            talking.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: talking.recv(65536), b"")).decode()

    def reload(self) -> None:
        """Reload HAProxy as an operator does, and wait until the new worker answers."""
        assert self.process is not None
        before = self._worker()
        self.process.send_signal(signal.SIGUSR2)
        until(lambda: self._worker() not in ("", before), what="a new worker")

    def _worker(self) -> str:
        try:
            lines = self.ask("show info").splitlines()
        except OSError:
            return ""
        return next((line for line in lines if line.startswith("Pid:")), "")

    def connect(self) -> http.client.HTTPConnection:
        return Connection(self.folder / "public.sock")

    def behave(self, revision: str, **behaviour: float) -> None:
        """Say how a revision behaves that is not started yet."""
        (self.team.folder / revision).mkdir()
        file = self.team.folder / revision / "behaviour.json"
        file.write_text(json.dumps(behaviour), encoding="utf-8")

    def kill(self, side: str) -> None:
        """Kill a side's server, without mercy."""
        os.kill(self.team.world()[f"{side}_pid"], signal.SIGKILL)

    def end(self) -> None:
        """End HAProxy and the servers, each by its own pid."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
        for side in ("stable", "canary"):
            hook.stop(self.team.world().get(f"{side}_pid"))
