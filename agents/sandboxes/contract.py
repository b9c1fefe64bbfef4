"""What every sandbox promises: the values that go in and come out, and the one method.

The variants beside this file implement it; callers take it from `agents.sandbox`.
It must never import a variant.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from incidents import errors

MIB = 1024 * 1024
STAND_IN_SECONDS = 20.0


class SandboxUnavailable(errors.PermanentFailure):
    """No sandbox that was asked for works on this machine; a person has to install or allow one."""


class SandboxBroken(errors.PermanentFailure):
    """The walls could not be built around one command, so it was not run at all."""


@dataclass(frozen=True)
class Limits:
    """What one command may use; `seconds` is wall time from the command's start."""

    seconds: float
    # Of each process.
    memory_bytes: int = 2048 * MIB
    processes: int = 256
    # Of everything together: the processes' own, and what lies in scratch folders.
    total_memory_bytes: int = 2048 * MIB
    file_bytes: int = 256 * MIB
    # Of all files in the tree together, and their number, folders included.
    disk_bytes: int = 2048 * MIB
    files: int = 200_000
    # Head and tail are kept, the middle is counted and left out.
    output_bytes: int = 4 * MIB


@dataclass(frozen=True)
class StandIn:
    """A background process inside the sandbox, in place of a dependency that is out of reach.

    It is ready when `port` listens; without one, when it prints a line "ready" or listens at all.
    """

    argv: tuple[str, ...]
    port: int | None = None
    seconds: float = STAND_IN_SECONDS


@dataclass(frozen=True)
class Profile:
    """What the command sees; everything else of the host's files and network is absent."""

    # Mounted at its own path; the working folder.
    tree: Path
    # A `.git` in the tree is read-only even then.
    writable: bool = True
    # Mounted at their own absolute paths.
    read_only: tuple[Path, ...] = ()
    # Added to the fixed, clean environment.
    env: Mapping[str, str] = field(default_factory=dict)
    # Started in this order, each ready before the next; a bare argv is a StandIn without port.
    setup: tuple[StandIn | tuple[str, ...], ...] = ()
    # The host's network, for installing by the operator's word; what runs a revision has none.
    network: bool = False

    def stand_ins(self) -> tuple[StandIn, ...]:
        """Give the setup with every bare argv made a StandIn."""
        return tuple(s if isinstance(s, StandIn) else StandIn(tuple(s)) for s in self.setup)


@dataclass(frozen=True)
class Completed:
    """How one command ended; `exit_code` is negative for a signal and None when there is none."""

    argv: tuple[str, ...]
    exit_code: int | None
    timed_out: bool
    # stdout and stderr in the order of their arrival.
    output: str
    stdout: str
    stderr: str
    # Wall time of the command itself, without the sandbox and the stand-ins.
    seconds: float
    cpu_seconds: float
    # Of the largest single process.
    peak_memory_bytes: int
    sandbox: str
    # Why there is no exit code though time was left: a stand-in that failed, a killed runner.
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Tell whether the command ran to its end and reported success."""
        return self.exit_code == 0 and not self.timed_out


@dataclass(frozen=True)
class SandboxProbe:
    """Whether one sandbox works here, and if not, why."""

    name: str
    works: bool
    reason: str = ""


class Sandbox(Protocol):
    """Runs one command with a profile and limits; never raises for what the command does."""

    @property
    def name(self) -> str:
        """Name the variant, as the setting spells it."""
        ...

    def run(self, argv: Sequence[str], profile: Profile, limits: Limits) -> Completed:
        """Run `argv` to its end or its deadline; nothing it started is alive afterwards."""
        ...
