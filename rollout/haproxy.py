"""HAProxy's runtime socket: weights of one backend set in the drop-free order, and read back.

The switch of the deployers `haproxy` and `blue_green`, on the way back too. Only the standard
library. It never writes HAProxy's configuration: at rest that file is the safe state.
"""

import csv
import math
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from incidents import errors
from rollout.observations import Problem
from rollout.switch import Reading

SECONDS = 5.0
HEAVIEST = 256  # HAProxy's largest weight
DYNAMIC = ("roundrobin", "leastconn", "random")  # others know only "all" and "nothing"
HASHING = ("source", "uri", "url_param", "hdr", "rdp-cookie", "hash")  # dynamic when consistent
OUT = 0x01 | 0x02 | 0x04 | 0x08 | 0x10 | 0x20  # srv_admin_state: maintenance or drain, by anyone
KEEPING_STATE = re.compile(
    r"^\s*(server-state-file|load-server-state-from-file\s+(global|local))\b"
)


@dataclass(frozen=True)
class Server:
    """One server of the backend, as HAProxy says. `rest`: its weight after a reload."""

    name: str
    weight: int
    rest: int
    out: bool  # in maintenance or draining, whatever its weight
    status: str
    sessions: int
    backup: bool

    @property
    def up(self) -> bool:
        """Whether it may get requests; without a check HAProxy believes that it may."""
        return not self.out and self.status.startswith(("UP", "no check"))


@dataclass(frozen=True)
class Backend:
    """One backend with the servers of the two sides; `config` only to look at, may be empty."""

    kind: ClassVar[str] = "haproxy"
    socket: str
    backend: str
    stable: tuple[str, ...]
    canary: tuple[str, ...]
    config: str = ""

    def set(self, percent: int) -> None:
        """Send this share to the canary: raise what grows before lowering what shrinks.

        The other way round there is a moment with no weight at all, and requests get 503.
        """
        weights = self._weights(percent)
        now = {server.name: server.weight for server in self._servers()}
        changed = [name for name in weights if weights[name] != now.get(name)]
        rising = [name for name in changed if weights[name] > now.get(name, 0)]
        falling = [name for name in changed if name not in rising]
        for names in (rising, falling):
            if said := self._ask(
                "; ".join(f"set server {self.backend}/{n} weight {weights[n]}" for n in names)
            ):
                raise errors.TemporaryFailure(f"HAProxy refused a weight: {said}")

    def read(self) -> Reading:
        """Return where the traffic goes; a server in maintenance or draining counts as weight 0."""
        servers = {server.name: server for server in self._servers()}
        sides = [[servers[name] for name in side] for side in (self.stable, self.canary)]
        stable, canary = (sum(0 if s.out else s.weight for s in side) for side in sides)
        serving = [*sides[0], *(sides[1] if canary else ())]  # a canary at rest may be stopped
        troubles = [f"{s.name} is {s.status}" for s in serving if not s.up]
        if not stable + canary:
            troubles.append("no server has any weight")
        return Reading(
            weight=_share(canary, stable),
            stable_healthy=any(server.up for server in sides[0]),
            canary_healthy=all(server.up for server in sides[1]),
            trouble=f"HAProxy: {', '.join(troubles)}." if troubles else None,
        )

    def drained(self) -> bool:
        """Return whether no request is left on the canary's servers."""
        return not any(s.sessions for s in self._servers() if s.name in self.canary)

    def problems(self) -> list[Problem]:
        """Return what in HAProxy speaks against a rollout; only looks."""
        try:
            servers, (algorithm, cookie) = self._servers(), self._balance()
        except errors.TemporaryFailure as error:
            return [Problem(error.message)]
        found = [*self._side_problems(servers), *self._config_problems()]
        found += self._balance_problems(algorithm)
        if cookie:
            found.append(
                Problem(
                    f"The cookie {cookie!r} keeps users on their server: they stay on the canary "
                    "after it has weight 0, until it is stopped.",
                    fatal=False,
                )
            )
        return found

    def _balance_problems(self, algorithm: str) -> list[Problem]:
        if algorithm in ("", *DYNAMIC):
            return []
        if algorithm not in HASHING:
            text = f"`balance {algorithm}` cannot change weights while HAProxy runs"
            return [Problem(f"{text}; use one of {', '.join(DYNAMIC)}.")]
        text = f"`balance {algorithm}` can change weights only with `hash-type consistent`."
        known = bool(self.config) and Path(self.config).is_file()
        if known and "consistent" in Path(self.config).read_text(encoding="utf-8"):
            return []
        return [Problem(text, fatal=known)]

    def _side_problems(self, servers: list[Server]) -> list[Problem]:
        ours = {*self.stable, *self.canary}
        texts = [
            f"Server {s.name!r} of {self.backend!r} is on neither side and gets requests."
            for s in servers
            if s.name not in ours and s.weight and not s.backup
        ]
        texts += [
            f"After a reload server {s.name!r} would have weight {s.rest}: its line in the "
            "configuration must say `weight 0`, so that a reload leads to safety."
            for s in servers
            if s.name in self.canary and s.rest
        ]
        texts += [
            f"After a reload server {s.name!r} would have no weight."
            for s in servers
            if s.name in self.stable and not s.rest
        ]
        texts += [
            f"Server {s.name!r} is {s.status}: start it first."
            for s in servers
            if s.name in self.stable and not s.up
        ]
        found = [Problem(text) for text in texts]
        if not any(s.backup for s in servers):
            text = f"Backend {self.backend!r} has no `backup` server: nobody serves if the canary "
            found.append(Problem(f"{text}dies while it has 100 %.", fatal=False))
        return found + [
            Problem(f"Server {s.name!r} has no check: a dead one would go on getting requests.")
            for s in servers
            if s.name in ours and s.status == "no check"
        ]

    def _config_problems(self) -> list[Problem]:
        if not self.config:
            text = "`config` names no file, so whether a reload keeps weights is not known."
            return [Problem(text, fatal=False)]
        try:
            lines = Path(self.config).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            return [Problem(f"HAProxy's configuration cannot be read: {error}.", fatal=False)]
        return [
            Problem(
                f"{self.config}:{number} keeps weights over a reload ({line.strip()!r}); without "
                "it every reload and reboot leads back to safety."
            )
            for number, line in enumerate(lines, 1)
            if KEEPING_STATE.match(line)
        ]

    def _weights(self, percent: int) -> dict[str, int]:
        """Return each server's weight, so that the sides have exactly the shares asked for."""
        stable = (100 - percent) * len(self.canary)
        canary = percent * len(self.stable)
        divisor = math.gcd(stable, canary)
        if max(stable, canary) <= HEAVIEST and len(self.stable) == len(self.canary) == 1:
            divisor = 1  # percentages, as a person who looks expects them
        stable, canary = stable // divisor, canary // divisor
        if max(stable, canary) > HEAVIEST:
            raise errors.PermanentFailure(
                f"{percent} % cannot be had exactly with {len(self.stable)} stable servers and "
                f"{len(self.canary)} of the canary: weights end at {HEAVIEST}."
            )
        return dict.fromkeys(self.stable, stable) | dict.fromkeys(self.canary, canary)

    def _servers(self) -> list[Server]:
        states = self._ask(f"show servers state {self.backend}").splitlines()
        try:
            names = states[1].lstrip("# ").split()
            rows = [dict(zip(names, line.split(), strict=False)) for line in states[2:] if line]
            stats = {row["svname"]: row for row in self._stats()}
            found = [
                Server(
                    name=row["srv_name"],
                    weight=int(row["srv_uweight"]),
                    rest=int(row["srv_iweight"]),
                    out=bool(int(row["srv_admin_state"]) & OUT),
                    status=stats[row["srv_name"]]["status"],
                    sessions=int(stats[row["srv_name"]]["scur"] or 0),
                    backup=stats[row["srv_name"]]["bck"] == "1",
                )
                for row in rows
            ]
        except (IndexError, KeyError, ValueError) as error:
            said = " ".join(states)[:200]
            raise errors.TemporaryFailure(
                f"HAProxy does not tell of backend {self.backend!r}: {said}"
            ) from error
        missing = {*self.stable, *self.canary} - {server.name for server in found}
        if missing:
            raise errors.TemporaryFailure(
                f"HAProxy's backend {self.backend!r} has no server {', '.join(sorted(missing))}."
            )
        return found

    def _balance(self) -> tuple[str, str]:
        """Return the algorithm and the persistence cookie; empty where the socket may not tell."""
        rows = [row for row in self._stats() if row["svname"] == "BACKEND"]
        return (rows[0].get("algo", ""), rows[0].get("cookie", "")) if rows else ("", "")

    def _stats(self) -> list[dict[str, str]]:
        lines = self._ask("show stat").lstrip("# ").splitlines()
        return [row for row in csv.DictReader(lines) if row.get("pxname") == self.backend]

    def _ask(self, command: str) -> str:
        """Return HAProxy's answer without blank edges; one connection for one line."""
        if not command:
            return ""
        answer = b""
        try:
            with socket.socket(socket.AF_UNIX) as talking:
                talking.settimeout(SECONDS)
                talking.connect(self.socket)
                talking.sendall(command.encode() + b"\n")
                while received := talking.recv(65536):
                    answer += received
        except OSError as error:
            raise errors.TemporaryFailure(
                f"HAProxy does not answer on {self.socket!r}: {error}."
            ) from error
        return answer.decode("utf-8", "replace").strip()


def _share(canary: int, stable: int) -> int:
    """Return whole percents; only nothing is 0 and only everything is 100."""
    if not canary:
        return 0
    if not stable:
        return 100
    return min(99, max(1, round(100 * canary / (canary + stable))))
