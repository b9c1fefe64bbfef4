"""How a command in a sandbox ends: by itself, by a signal, at its deadline, with Halon."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest

from agents import sandbox
from tests.agents.sandboxes import ROOT, alive, run, wait_until


def test_a_command_runs_in_its_tree_and_returns_what_it_did(
    every: sandbox.Sandbox, tree: Path
) -> None:
    (tree / "in.txt").write_text("seen\n")

    done = run(every, tree, "sh", "-c", "cat in.txt; echo wrong >&2; echo new > out.txt; exit 3")

    assert (3, False, "seen\n", "wrong\n", "") == (
        done.exit_code,
        done.timed_out,
        done.stdout,
        done.stderr,
        done.problem,
    )
    assert sorted("seen\nwrong\n") == sorted(done.output)
    assert "new\n" == (tree / "out.txt").read_text()
    assert every.name == done.sandbox


@pytest.mark.parametrize(("number", "code"), [(9, -9), (11, -11), (15, -15)])
def test_a_signal_is_a_negative_exit_code(
    every: sandbox.Sandbox, tree: Path, number: int, code: int
) -> None:
    assert code == run(every, tree, "sh", "-c", f"kill -{number} $$").exit_code


def test_a_program_that_does_not_exist_is_exit_code_127(every: sandbox.Sandbox, tree: Path) -> None:
    done = run(every, tree, "no-such-program")

    assert (127, "cannot run 'no-such-program': No such file or directory\n") == (
        done.exit_code,
        done.stderr,
    )


def test_a_file_that_is_not_executable_is_exit_code_126(every: sandbox.Sandbox, tree: Path) -> None:
    (tree / "data").write_text("x")

    assert 126 == run(every, tree, "./data").exit_code


def test_a_hanging_command_ends_at_its_deadline_with_all_that_it_started(
    every: sandbox.Sandbox, tree: Path
) -> None:
    marker = f"marker-{uuid4().hex}"
    script = f"(setsid sh -c 'sleep 600; : {marker}' &) ; trap '' TERM; echo begun; sleep 600"
    began = time.monotonic()

    done = run(every, tree, "sh", "-c", script, limits=sandbox.Limits(seconds=1))

    assert (None, True, "begun\n") == (done.exit_code, done.timed_out, done.stdout)
    assert time.monotonic() - began < 10
    assert [] == alive(marker)


def test_what_a_command_leaves_in_the_background_is_killed_at_its_end(
    every: sandbox.Sandbox, tree: Path
) -> None:
    marker = f"marker-{uuid4().hex}"

    done = run(every, tree, "sh", "-c", f"setsid sh -c 'sleep 600; : {marker}' & echo done")

    assert (0, "done\n") == (done.exit_code, done.stdout)
    assert [] == alive(marker)


def test_when_halon_is_killed_the_sandbox_dies_with_it(every: sandbox.Sandbox, tree: Path) -> None:
    marker = f"marker-{uuid4().hex}"
    code = (
        "import sys; from pathlib import Path; from agents import sandbox\n"
        "sandbox.choose(sys.argv[1]).run(['sh', '-c', sys.argv[3]],"
        " sandbox.Profile(Path(sys.argv[2])), sandbox.Limits(seconds=600))"
    )
    script = f"echo $$ > begun; sleep 600; : {marker}"
    argv = [sys.executable, "-c", code, every.name, str(tree), script]
    with subprocess.Popen(argv, cwd=ROOT) as halon:
        wait_until(lambda: (tree / "begun").exists())
        halon.send_signal(signal.SIGKILL)

    wait_until(lambda: not alive(marker))
