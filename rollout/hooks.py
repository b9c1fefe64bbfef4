"""Runs the commands of a team: argv, a documented environment, exit codes, one JSON answer.

Used by `rollout.steering`. Never a shell, never longer than its time; a hook's whole process group
ends with it when it is late. Only the standard library, so that the way back can run hooks with
nothing else of Halon alive.
"""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import IO, Any

from incidents import errors

OK, RETRY = 0, 75  # 75 is EX_TEMPFAIL of sysexits.h
TAIL = 64 * 1024  # bytes of output that are looked at
SAID = 500  # characters of the last line on stderr that people read
KEPT = ("PATH", "HOME", "LANG")


@dataclass(frozen=True)
class Hooks:
    """The commands by name, how long each may take until it is read back, and what they may see."""

    argv: Mapping[str, tuple[str, ...]]
    seconds: Mapping[str, float]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: str = "/"
    missing: tuple[str, ...] = ()  # variables that hooks should see and this process has not

    def has(self, name: str) -> bool:
        """Return whether there is such a hook."""
        return bool(self.argv.get(name))

    def adding(self, name: str, argv: tuple[str, ...]) -> "Hooks":
        """Return these hooks and one more."""
        return replace(self, argv={**self.argv, name: argv})


@dataclass(frozen=True)
class Answer:
    """What the hook `observe` printed; `weight` and health are None where it does not say."""

    weight: int | None
    stable: str | None
    canary: str | None
    stable_healthy: bool | None
    canary_healthy: bool | None
    standby_healthy: bool | None
    trouble: str | None


Starter = Callable[[Callable[[], subprocess.Popen[bytes]]], subprocess.Popen[bytes]]


def kept_environment() -> dict[str, str]:
    """Return what every hook sees of this process's environment."""
    return {name: os.environ[name] for name in KEPT if name in os.environ}


def run(
    hooks: Hooks,
    name: str,
    variables: Mapping[str, str],
    seconds: float,
    start: Starter | None = None,
) -> str:
    """Return what a hook printed; raises TemporaryFailure to be retried, else PermanentFailure.

    `start` is called with what starts the process, and returns the process: the caller's notes.
    """
    # Files, not pipes: a server that `prepare` leaves behind keeps a pipe open for ever.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:

        def starting() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                hooks.argv[name],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**hooks.environment, **variables, "HALON_HOOK": name},
                cwd=hooks.folder,
                start_new_session=True,
            )

        try:
            process = start(starting) if start else starting()
        except (OSError, ValueError) as error:
            raise errors.PermanentFailure(f"Hook {name} cannot be run: {error}.") from error
        code = _wait(process, seconds)
        said = _tail(err)
        if code is None:
            raise errors.TemporaryFailure(f"Hook {name} took longer than {seconds:.0f} s.")
        if code == RETRY:
            raise errors.TemporaryFailure(f"Hook {name} wants another try: {_last(said, code)}.")
        if code != OK:
            raise errors.PermanentFailure(f"Hook {name} failed: {_last(said, code)}.")
        return _tail(out)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(max(0.0, seconds))
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def _tail(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - TAIL))
    return file.read().decode("utf-8", "replace")


def _last(said: str, code: int) -> str:
    lines = said.strip().splitlines()
    ended = f"signal {-code}" if code < 0 else f"exit {code}"
    return lines[-1].strip()[:SAID].rstrip(".") if lines else ended


def parse(text: str) -> Answer:
    """Return the answer of `observe`; raises TemporaryFailure for anything else than its JSON."""
    try:
        content = json.loads(text)
    except ValueError:
        raise _unseen(f"hook observe printed no JSON but {text[:80]!r}") from None
    if not isinstance(content, dict):
        raise _unseen("hook observe printed no JSON object")
    both = _flag(content, "healthy")
    stable, canary = _flag(content, "stable_healthy"), _flag(content, "canary_healthy")
    return Answer(
        weight=_percent(content),
        stable=_revision(content, "stable"),
        canary=_revision(content, "canary"),
        stable_healthy=both if stable is None else stable,
        canary_healthy=both if canary is None else canary,
        standby_healthy=_flag(content, "standby_healthy"),
        trouble=str(content["trouble"])[:SAID] if content.get("trouble") else None,
    )


def _percent(content: dict[str, Any]) -> int | None:
    value = content.get("weight")
    if value is None:
        return None
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # Also refuses NaN and the infinities: no comparison with them is true.
    if not number or not 0 <= value <= 100 or value != int(value):
        raise _unseen(f"weight is {value!r} and no whole percentage")
    return int(value)


def _revision(content: dict[str, Any], key: str) -> str | None:
    if key not in content:
        raise _unseen(f"hook observe does not say {key!r} (null when there is none)")
    value = content[key]
    if value is not None and not isinstance(value, str):
        raise _unseen(f"{key} is {value!r} and no revision")
    return value or None


def _flag(content: dict[str, Any], key: str) -> bool | None:
    value = content.get(key)
    if value is not None and not isinstance(value, bool):
        raise _unseen(f"{key} is {value!r} and neither true nor false")
    return value


def _unseen(why: str) -> errors.TemporaryFailure:
    return errors.TemporaryFailure(f"Production cannot be seen: {why}.")
