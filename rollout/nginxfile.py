"""An include of nginx that splits requests between two upstreams: written, tested, reloaded, asked.

The switch of the deployer `nginx`, on the way back too. Only the standard library. A reload of
nginx cuts idle connections that clients keep, so it is not drop-free; and what the file says is
not what nginx does, so the running workers themselves are asked for the share.
"""

import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from incidents import errors
from rollout import record
from rollout.observations import Problem
from rollout.switch import Reading

SECONDS = 10.0
SAID = 300


@dataclass(frozen=True)
class Include:
    """One include; `stable` and `canary` are names of upstreams, `key` what a user stays by."""

    kind: ClassVar[str] = "nginx"
    path: str
    stable: str
    canary: str
    status: str  # an address of this nginx that answers `$halon_percent`
    key: str = "$request_id"
    test: tuple[str, ...] = ("nginx", "-t")
    reload: tuple[str, ...] = ("nginx", "-s", "reload")
    allow_drops: bool = False

    def set(self, percent: int) -> None:
        """Write the share and let nginx take it; a file that nginx refuses is taken back."""
        file = Path(self.path)
        before = file.read_text(encoding="utf-8") if file.exists() else None
        try:
            record.write(file, self.content(percent))
            self._run(self.test)
            self._run(self.reload)
        except (OSError, errors.TemporaryFailure) as error:
            if before is not None:
                record.write(file, before)
            said = error.message if isinstance(error, errors.TemporaryFailure) else str(error)
            raise errors.TemporaryFailure(f"nginx did not take {percent} %: {said}") from error

    def read(self) -> Reading:
        """Return the share that the running nginx says; health it cannot know."""
        try:
            with urllib.request.urlopen(self.status, timeout=SECONDS) as answer:  # noqa: S310
                said = answer.read(64).decode("ascii", "replace").strip()
        except (OSError, ValueError, urllib.error.URLError) as error:
            raise errors.TemporaryFailure(f"nginx does not say its share: {error}.") from error
        if not said.isdecimal() or int(said) > 100:
            raise errors.TemporaryFailure(f"nginx says {said!r} and no share.")
        return Reading(int(said))

    def drained(self) -> bool:
        """Return True: old workers answer what they have, and nobody else can see it."""
        return True

    def problems(self) -> list[Problem]:
        """Return what speaks against this nginx: losing requests, a config that is none."""
        found = []
        if not self.allow_drops:
            found.append(
                Problem(
                    "A reload of nginx cuts connections that clients keep: set `allow_drops = "
                    "true` if they try again, or use HAProxy."
                )
            )
        if not Path(self.path).exists():
            first = self.content(0).strip().splitlines()[-1]
            found.append(Problem(f"There is no {self.path!r}; begin with: {first}"))
        try:
            self._run(self.test)
            self.read()
        except errors.TemporaryFailure as error:
            found.append(Problem(error.message))
        return found

    def content(self, percent: int) -> str:
        """Return the include for a share; users of a smaller share stay in a larger one."""
        part = f"{percent}% {self.canary}; " if 0 < percent < 100 else ""
        rest = self.canary if percent == 100 else self.stable
        return (
            "# Written by Halon; do not edit.\n"
            f'split_clients "{self.key}" $halon_upstream {{ {part}* {rest}; }}\n'
            f'split_clients "{self.key}" $halon_percent {{ * "{percent}"; }}\n'
        )

    def _run(self, argv: tuple[str, ...]) -> None:
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise errors.TemporaryFailure(f"{argv[0]!r} cannot be run: {error}.") from error
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
            told = next((line for line in lines if "emerg" in line), lines[-1])
            raise errors.TemporaryFailure(f"{argv[0]!r} says: {told[:SAID]}")
