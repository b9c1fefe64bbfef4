"""What a command in a sandbox may use, and that it is measured."""

from pathlib import Path

from agents import sandbox
from tests.agents.sandboxes import python, run


def test_a_flood_of_output_is_cut_in_the_middle_and_counted(
    every: sandbox.Sandbox, tree: Path
) -> None:
    code = "import sys\nsys.stdout.write('first\\n' + 'x' * 60_000_000 + '\\nlast\\n')"

    done = python(every, tree, code, limits=sandbox.Limits(seconds=60, output_bytes=10_000))

    assert 0 == done.exit_code
    assert done.stdout.startswith("first\nxxx")
    assert done.stdout.endswith("xxx\nlast\n")
    assert f"[... {60_000_012 - 10_000} bytes left out ...]" in done.stdout
    assert len(done.output) < 11_000


def test_binary_output_is_decoded_with_replacement(every: sandbox.Sandbox, tree: Path) -> None:
    done = run(every, tree, "sh", "-c", r"printf 'a\377\000b'")

    assert "a\ufffd\x00b" == done.stdout


def test_standard_input_is_empty(every: sandbox.Sandbox, tree: Path) -> None:
    assert (0, "") == (lambda done: (done.exit_code, done.stdout))(run(every, tree, "cat"))


def test_memory_is_bounded(every: sandbox.Sandbox, tree: Path) -> None:
    limits = sandbox.Limits(seconds=30, memory_bytes=200 * 1024 * 1024)

    done = python(every, tree, "x = bytearray(400 * 1024 * 1024)", limits=limits)

    assert done.exit_code not in (0, None)
    assert "MemoryError" in done.stderr


def test_a_file_cannot_grow_past_its_limit(every: sandbox.Sandbox, tree: Path) -> None:
    limits = sandbox.Limits(seconds=30, file_bytes=1024 * 1024)

    run(every, tree, "sh", "-c", "head -c 5000000 /dev/zero > big", limits=limits)

    assert 1024 * 1024 == (tree / "big").stat().st_size


def test_a_fork_bomb_is_bounded_and_ends(walled: sandbox.Sandbox, tree: Path) -> None:
    code = (
        "import os, time\n"
        "n = 0\n"
        "try:\n"
        "    while n < 5000:\n"
        "        if os.fork() == 0:\n"
        "            time.sleep(600)\n"
        "        n += 1\n"
        "except OSError:\n"
        "    print('refused', flush=True)\n"
        "print(n)"
    )
    limits = sandbox.Limits(seconds=30, processes=64)

    done = python(walled, tree, code, limits=limits)

    refused, count = done.stdout.split()
    assert "refused" == refused
    # Linux 6.14 bounds a namespace by pid_max, which it refuses below 301; all else by 64.
    assert int(count) <= 301


def test_time_and_memory_of_the_command_are_measured(every: sandbox.Sandbox, tree: Path) -> None:
    code = (
        "import time\n"
        "x = bytearray(b'x') * (80 * 1024 * 1024)\n"
        "while time.process_time() < 0.3:\n"
        "    pass"
    )

    done = python(every, tree, code)

    assert 0.3 <= done.cpu_seconds < 5
    assert done.seconds >= 0.3
    assert 80 * 2**20 <= done.peak_memory_bytes < 200 * 2**20
