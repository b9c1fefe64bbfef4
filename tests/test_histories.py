"""The diagnosis finds the guilty commit of invented histories, and convicts nobody without proof.

Every history is made afresh by tests/histories.py and read through `halon diagnose --json` only.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests import histories

pytestmark = pytest.mark.slow

HALON = Path(sys.executable).with_name("halon")
KEYS = {"verdict", "culprit", "suspects", "hypotheses", "evidence", "gaps", "engine", "seconds"}
LONGEST = 110  # seconds

# Sixteen in all, so chosen that every twist is in at least one: merge, rename, shim, conflict, ...
GUILTY = [
    ("none", 5),
    ("key", 4),
    ("type", 20),
    ("value", 0),
    ("config", 8),
    ("timeout", 3),
    ("import", 4),
    ("sql", 10),
    ("encoding", 3),
]
# Fails in half of its runs: a handful of runs may look like either, so it may abstain, and must
# never convict another.
FLICKERING = [("intermittent", 3)]
INNOCENT = [
    ("environment", 6),
    ("data", 5),
    ("dependency", 4),
    ("flaky", 3),
    ("older", 5),
    ("production only", 3),
]


def fingerprint(folder: Path) -> dict[str, str]:
    """Return the content of every file below a folder; only git's index may change."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / ".git" / "index"
    }


def diagnose(made: histories.Made) -> dict[str, object]:
    """Run `halon diagnose` as a person would; check the contract of its output."""
    args = ["--repo", made.repo, "--test", shlex.join(made.test), "--json"]
    for log in made.logs:
        args += ["--log", log]
    if made.trace:
        args += ["--trace", made.trace]
    if made.good:
        args += ["--good", made.good]
    for folder in made.with_:
        args += ["--with", folder]
    done = subprocess.run(
        [HALON, "diagnose", *args], capture_output=True, timeout=LONGEST, check=False
    )
    assert (done.returncode, done.stderr.decode() if done.returncode else "") == (0, "")
    said = json.loads(done.stdout)
    assert set(said) >= KEYS
    return dict(said)


def examine(made: histories.Made) -> dict[str, object]:
    """Diagnose a history and make sure that nothing of it was touched."""
    places = [Path(place) for place in (made.repo, *made.with_)]
    before = [fingerprint(place) for place in places]
    said = diagnose(made)
    assert [fingerprint(place) for place in places] == before
    return said


@pytest.mark.parametrize(("kind", "seed"), GUILTY, ids=lambda part: str(part))
def test_the_guilty_commit_is_confirmed(kind: str, seed: int, tmp_path: Path) -> None:
    made = histories.make(seed, guilty=True, kind=kind, dest=tmp_path)
    said = examine(made)
    assert (said["verdict"], said["culprit"]) == ("CONFIRMED", made.guilty), made.twist


@pytest.mark.parametrize(("kind", "seed"), FLICKERING, ids=lambda part: str(part))
def test_a_flickering_failure_convicts_nobody_else(kind: str, seed: int, tmp_path: Path) -> None:
    made = histories.make(seed, guilty=True, kind=kind, dest=tmp_path)
    said = examine(made)
    assert said["culprit"] in (made.guilty, None), made.twist
    assert (said["culprit"] is None) == (said["verdict"] == "INCONCLUSIVE"), made.twist


@pytest.mark.parametrize(("kind", "seed"), INNOCENT, ids=lambda part: str(part))
def test_no_innocent_commit_is_convicted(kind: str, seed: int, tmp_path: Path) -> None:
    made = histories.make(seed, guilty=False, kind=kind, dest=tmp_path)
    said = examine(made)
    assert said["culprit"] is None, made.twist
    assert said["verdict"] in ("INCONCLUSIVE", "NO_CODE_CAUSE"), made.twist


def test_a_seed_gives_the_same_commits_again(tmp_path: Path) -> None:
    first = histories.make(7, guilty=True, dest=tmp_path / "a")
    second = histories.make(7, guilty=True, dest=tmp_path / "b")
    assert (first.guilty, first.kind, first.twist) == (second.guilty, second.kind, second.twist)
