"""What the tests of the sandboxes share: one that is there, commands in it, and another user.

Used by tests/agents/test_sandbox*.py and test_escapes.py; fixtures are in conftest.py.
"""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agents import sandbox
from tests import services

ROOT = Path(sandbox.__file__).parents[1]
LIMITS = sandbox.Limits(seconds=30)
NOBODY = 65534
PY = "python3"


def available(name: str) -> sandbox.Sandbox:
    try:
        return sandbox.choose(name)
    except sandbox.SandboxUnavailable as error:
        services.missing(f"sandbox {name} ({error.message})")


def run(
    box: sandbox.Sandbox,
    tree: Path,
    *argv: str,
    limits: sandbox.Limits = LIMITS,
    setup: tuple[sandbox.StandIn | tuple[str, ...], ...] = (),
    writable: bool = True,
    read_only: tuple[Path, ...] = (),
    env: dict[str, str] | None = None,
) -> sandbox.Completed:
    profile = sandbox.Profile(tree, writable, read_only, env or {}, setup)
    return box.run(argv, profile, limits)


def python(box: sandbox.Sandbox, tree: Path, code: str, **rest: object) -> sandbox.Completed:
    return run(box, tree, PY, "-c", code, **rest)  # type: ignore[arg-type]


def alive(marker: str) -> list[str]:
    """The processes of this machine that carry the marker in their command line."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and path.name != str(os.getpid()):
            try:
                words = (path / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if marker in words:
                found.append(words)
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that must happen soon, and fail when it does not."""
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in 15 s"
        time.sleep(0.01)


def ordinary_python() -> list[str]:
    """How root starts a Python as user nobody."""
    system = services.need(readable_python(), "a system Python 3.11 that everyone may run")
    argv = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
    if subprocess.run([*argv, "test", "-r", str(ROOT / "agents")], check=False).returncode:
        pytest.skip("an ordinary user may not read this checkout")
    return [*argv, str(system), "-B"]


def readable_python() -> Path | None:
    """A Python that is new enough and lies where every user may read it."""
    for name in ("python3", "python3.12", "python3.11"):
        path = Path("/usr/bin") / name
        if path.exists():
            check = [str(path), "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
            if subprocess.run(check, check=False).returncode == 0:
                return path
    return None
