"""The three scenarios of `halon demo`: the whole real system, judged from outside.

Each runs the command as a newcomer does, in a folder for temporary files of its own: real Redis,
RQ, git, sandbox, processes and traffic. One file, so that they never run beside each other.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.history import Scenario
from tests.flows import proc

ROOT = Path(__file__).resolve().parents[2]
LONGEST_SECONDS = 280
SAID = {
    Scenario.GUEST_CRASH: (
        "Diagnosis CONFIRMED",
        "Tests: approved",
        "✓ the culprit is the commit that did it",
        "✓ a new revision serves",
        "✓ the fix is on the release branch",
        "✓ no request was lost",
    ),
    Scenario.NO_CODE_CAUSE: (
        "Diagnosis NO_CODE_CAUSE",
        "✓ the dependency is named",
        "✓ no patch was made",
        "✓ nothing was deployed",
    ),
    Scenario.BAD_FIX: (
        "Taken back from 10 % to last good",
        "✓ the last good version serves",
        "✓ it was escalated",
        "✓ no request was lost",
    ),
}

pytestmark = [pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(LONGEST_SECONDS + 20)]


@dataclass(frozen=True)
class Ended:
    """What is left of a demo: its exit code, what it said, and what it forgot."""

    code: int
    said: str
    files: list[str]
    processes: list[str]


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder for temporary files with a short path, since sockets do not take long ones."""
    with tempfile.TemporaryDirectory(prefix="h", dir="/tmp") as folder:
        yield Path(folder)


def demo(scenario: Scenario, temporary: Path) -> Ended:
    """Run the demo to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", "demo", "--yes", "--scenario", scenario.value],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary), "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    left = sorted(str(path) for path in temporary.iterdir())
    return Ended(done.returncode, done.stdout, left, proc.mentioning(str(temporary)))


@pytest.mark.parametrize("scenario", list(Scenario))
def test_a_scenario_ends_as_it_must_and_leaves_nothing(
    scenario: Scenario, short_folder: Path
) -> None:
    ended = demo(scenario, short_folder)

    assert 0 == ended.code, ended.said
    assert "ended as it must" in ended.said
    assert "✗" not in ended.said
    assert [] == [claim for claim in SAID[scenario] if claim not in ended.said], ended.said
    assert ([], []) == (ended.files, ended.processes)
