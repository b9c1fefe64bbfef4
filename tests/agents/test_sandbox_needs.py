"""What a command in a sandbox is given: interpreters, folders, stand-ins."""

import socket
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

from agents import sandbox
from tests.agents.sandboxes import PY, alive, python, run


def test_python_is_found_by_either_name_also_below_a_shell(
    every: sandbox.Sandbox, tree: Path
) -> None:
    done = run(every, tree, "sh", "-c", "python -c 'print(1)' && python3 -c 'print(2)'")

    assert "1\n2\n" == done.output


def test_halons_own_interpreter_runs_with_its_packages(every: sandbox.Sandbox, tree: Path) -> None:
    done = run(every, tree, sys.executable, "-c", "import pytest, sys; print(sys.prefix)")

    assert f"{sys.prefix}\n" == done.output


def test_a_virtual_environment_elsewhere_is_mounted_with_its_interpreter(
    every: sandbox.Sandbox, tree: Path, tmp_path: Path
) -> None:
    make = [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")]
    subprocess.run(make, check=True)

    done = run(
        every,
        tree,
        *("python", "-c", "import sys; print(sys.prefix)"),
        read_only=(tmp_path / "venv",),
    )

    assert f"{tmp_path / 'venv'}\n" == done.output


def test_a_read_only_folder_is_readable_at_its_own_path(
    every: sandbox.Sandbox, tree: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/x").write_text("content\n")

    done = run(every, tree, "cat", str(tmp_path / "data/x"), read_only=(tmp_path / "data",))

    assert "content\n" == done.output


def test_a_script_in_the_tree_runs_by_its_first_line(every: sandbox.Sandbox, tree: Path) -> None:
    (tree / "tool").write_text("#!/usr/bin/env python3\nprint('ran')\n")
    (tree / "tool").chmod(0o755)

    assert "ran\n" == run(every, tree, "./tool").output


def test_a_tree_behind_a_symbolic_link_is_used(every: sandbox.Sandbox, tree: Path) -> None:
    (tree.parent / "link").symlink_to(tree)
    (tree / "x").write_text("content\n")

    assert "content\n" == run(every, tree.parent / "link", "cat", "x").output


SERVER = "import http.server as h; h.HTTPServer(('127.0.0.1', {port}), h.BaseHTTPRequestHandler)"
SERVER += ".serve_forever()"
FETCH = "import socket; socket.create_connection(('127.0.0.1', {port}), 5); print('reached')"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_the_command_starts_when_its_stand_in_listens(every: sandbox.Sandbox, tree: Path) -> None:
    port = free_port()
    slow = "import time; time.sleep(0.3); " + SERVER.format(port=port)

    bare = python(every, tree, FETCH.format(port=port), setup=((PY, "-c", slow),))
    named = sandbox.StandIn((PY, "-c", slow), port=port)
    declared = python(every, tree, FETCH.format(port=port), setup=(named,))

    assert ["reached\n"] * 2 == [bare.output, declared.output]
    # The time of a stand-in is not the command's.
    assert declared.seconds < 0.3 + 5


def test_a_stand_in_may_say_that_it_is_ready(every: sandbox.Sandbox, tree: Path) -> None:
    script = "sleep 0.2; touch file; echo ready; sleep 600"

    done = run(every, tree, "ls", setup=(("sh", "-c", script),))

    assert "file\n" == done.output


def test_a_stand_in_that_ends_is_a_problem_and_no_exit_code(
    every: sandbox.Sandbox, tree: Path
) -> None:
    done = run(every, tree, "true", setup=(("sh", "-c", "echo no database; exit 4"),))

    assert (None, False, False) == (done.exit_code, done.timed_out, done.ok)
    assert "ended with exit code 4 before it was ready: no database" in done.problem


def test_a_stand_in_that_never_becomes_ready_is_a_problem(
    every: sandbox.Sandbox, tree: Path
) -> None:
    stand_in = sandbox.StandIn(("sleep", "600"), seconds=0.3)

    done = run(every, tree, "true", setup=(stand_in,))

    assert "stand-in 'sleep 600' was not ready after 0.3 s" in done.problem


def test_a_stand_in_that_dies_under_the_command_is_a_problem(
    every: sandbox.Sandbox, tree: Path
) -> None:
    script = "echo ready; while ! [ -e go ]; do sleep 0.02; done; exit 5"

    done = run(every, tree, "sh", "-c", "touch go; sleep 600", setup=(("sh", "-c", script),))

    assert None is done.exit_code
    assert "ended with exit code 5 too early" in done.problem


def test_stand_ins_are_gone_when_the_command_ends(every: sandbox.Sandbox, tree: Path) -> None:
    marker = f"marker-{uuid4().hex}"

    done = run(every, tree, "true", setup=(("sh", "-c", f"echo ready; sleep 600; : {marker}"),))

    assert done.ok
    assert [] == alive(marker)
