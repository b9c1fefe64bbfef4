"""Every sandbox keeps the same promises, against code that tries to break them."""

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from agents import sandbox
from tests import services

ROOT = Path(sandbox.__file__).parents[1]
LIMITS = sandbox.Limits(seconds=30)
NOBODY = 65534
PY = "python3"


@pytest.fixture(params=["bubblewrap", "namespaces"])
def walled(request: pytest.FixtureRequest) -> sandbox.Sandbox:
    name: str = request.param
    return available(name)


@pytest.fixture(params=["bubblewrap", "namespaces", "none"])
def every(request: pytest.FixtureRequest) -> sandbox.Sandbox:
    name: str = request.param
    return available(name)


def available(name: str) -> sandbox.Sandbox:
    try:
        return sandbox.choose(name)
    except sandbox.SandboxUnavailable as error:
        services.missing(f"sandbox {name} ({error.message})")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder


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


# -- how a command ends


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


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that must happen soon, and fail when it does not."""
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in 15 s"
        time.sleep(0.01)


# -- what a command may use


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


# -- what a command can reach


def test_a_secret_of_halons_environment_is_nowhere_to_be_read(
    walled: sandbox.Sandbox, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret-of-the-host")

    done = run(walled, tree, "sh", "-c", "env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null; :")

    assert "HOME=/home/agent" in done.output
    assert "secret-of-the-host" not in done.output


def test_the_environment_is_ours_and_the_profiles(every: sandbox.Sandbox, tree: Path) -> None:
    code = "import json, os; print(json.dumps(dict(os.environ)))"

    done = python(every, tree, code, env={"MODE": "test", "TZ": "Europe/Rome"})

    seen = json.loads(done.stdout)
    wanted = {"LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "MODE": "test"}
    assert {**wanted, "TZ": "Europe/Rome"} == {
        name: seen[name] for name in (*wanted, "TZ") if name in seen
    }


def test_the_hosts_files_are_absent(walled: sandbox.Sandbox, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (tree.parent / "beside").mkdir()
    paths = [str(tmp_path / "secret"), str(tree.parent / "beside"), "/var", "/sys", "/etc/shadow"]
    paths += [str(Path.home()), "/run/user", "/old"]

    code = f"import os; print([p for p in {paths!r} if os.path.lexists(p)])"

    assert "[]\n" == python(walled, tree, code).output


def test_nothing_but_the_tree_and_scratch_can_be_written(
    walled: sandbox.Sandbox, tree: Path, tmp_path: Path
) -> None:
    (tmp_path / "lib").mkdir()
    paths = ["/usr/x", "/etc/x", "/x", "/proc/sys/kernel/core_pattern", "/dev/x", "/home/x"]
    paths += [str(tmp_path / "lib/x")]
    allowed = [str(tree / "x"), "/tmp/x", "/home/agent/x", "/dev/shm/x"]
    code = (
        "for p in %r:\n"
        "    try:\n"
        "        open(p, 'r+' if p.startswith('/proc') else 'w').close()\n"
        "        print(p)\n"
        "    except OSError:\n"
        "        pass"
    ) % [*paths, *allowed]

    done = python(walled, tree, code, read_only=(tmp_path / "lib",))

    # bubblewrap's /dev is a tmpfs of its own.
    assert allowed == [p for p in done.stdout.split() if p != "/dev/x"]
    assert [] == list((tmp_path / "lib").iterdir())


def test_what_is_written_beside_the_tree_stays_in_the_sandbox(
    walled: sandbox.Sandbox, tree: Path
) -> None:
    run(walled, tree, "sh", "-c", "echo x > ../escaped; echo x > /tmp/escaped-from-sandbox")

    assert [False, False] == [
        path.exists() for path in (tree.parent / "escaped", Path("/tmp/escaped-from-sandbox"))
    ]


def test_a_read_only_tree_cannot_be_written(walled: sandbox.Sandbox, tree: Path) -> None:
    done = run(walled, tree, "sh", "-c", "touch x || mkdir y || rm -f z", writable=False)

    assert "Read-only file system" in done.stderr
    assert [] == list(tree.iterdir())


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_the_trees_git_is_never_writable(walled: sandbox.Sandbox, tree: Path, kind: str) -> None:
    if kind == "folder":
        (tree / ".git").mkdir()
        (tree / ".git/config").write_text("before")
    else:
        (tree / ".git").write_text("before")
    script = "echo evil > .git/config; echo evil > .git; mv .git away; rm -rf .git; ln -sf /x .git"

    run(walled, tree, "sh", "-c", script)

    file = tree / ".git/config" if kind == "folder" else tree / ".git"
    assert "before" == file.read_text()
    assert not (tree / "away").exists()


def test_the_host_cannot_be_reached_over_the_network(walled: sandbox.Sandbox, tree: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = (
            "import socket\n"
            f"for address in [('127.0.0.1', {port}), ('192.0.2.1', 80)]:\n"
            "    try:\n"
            "        socket.create_connection(address, timeout=2)\n"
            "        print('reached')\n"
            "    except OSError as e:\n"
            "        print(e.strerror)"
        )

        done = python(walled, tree, code)

    assert "Connection refused\nNetwork is unreachable\n" == done.stdout


def test_with_the_operators_word_it_can_be_reached_and_nothing_else_opens(
    walled: sandbox.Sandbox, tree: Path
) -> None:
    """What installs packages needs an index; its files, processes and rights stay as they were."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = (
            "import os, pathlib, socket\n"
            f"socket.create_connection(('localhost', {server.getsockname()[1]}), timeout=5)\n"
            "words = pathlib.Path('/proc/self/status').read_text().split()\n"
            "right = words[words.index('CapEff:') + 1]\n"
            "print(right, os.path.exists('/etc/shadow'), os.getpid() < 9)"
        )
        done = walled.run([PY, "-c", code], sandbox.Profile(tree, network=True), LIMITS)

    assert "0000000000000000 False True\n" == done.output


def test_loopback_works_inside(walled: sandbox.Sandbox, tree: Path) -> None:
    code = (
        "import socket\n"
        "s = socket.create_server(('127.0.0.1', 8080))\n"
        "c = socket.create_connection(('localhost', 8080), timeout=5)\n"
        "print('connected')"
    )

    assert "connected\n" == python(walled, tree, code).output


def test_the_command_has_no_capability_and_gains_none(walled: sandbox.Sandbox, tree: Path) -> None:
    done = run(walled, tree, "sh", "-c", "grep -E '^(Cap|NoNewPrivs)' /proc/self/status; id -u")

    words = done.stdout.split()
    assert {"0000000000000000", "1", "1000"} == set(words[1::2]) | {words[-1]}


def test_no_further_user_namespace_can_be_made(walled: sandbox.Sandbox, tree: Path) -> None:
    code = (
        "import ctypes; c = ctypes.CDLL(None, use_errno=True)\n"
        "print(c.unshare(0x10000000), c.unshare(0x20000))"
    )

    assert "-1 -1\n" == python(walled, tree, code).stdout


def test_the_keys_of_whoever_started_halon_cannot_be_reached(
    walled: sandbox.Sandbox, tree: Path
) -> None:
    """The session's keyring is in no namespace, and a program keeps it across all of them."""
    code = (
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True); session = ctypes.c_long(-3)\n"
        "for words in ((250, 6, session, None, 0), (248, b'user', b'left', b'x', 1, session)):\n"
        "    print(libc.syscall(*words), ctypes.get_errno())"
    )
    if os.uname().machine != "x86_64":
        pytest.skip("the numbers are those of x86_64")
    assert f"-1 {errno.ENOSYS}\n" * 2 == python(walled, tree, code).stdout


def test_only_sockets_that_a_network_namespace_holds_can_be_made(
    walled: sandbox.Sandbox, tree: Path
) -> None:
    """A socket of a virtual machine (vsock) reaches the machine around this one."""
    code = (
        "import socket\n"
        "for name in ('AF_VSOCK', 'AF_ALG', 'AF_INET', 'AF_INET6', 'AF_UNIX'):\n"
        "    try: socket.socket(getattr(socket, name)).close(); print(name, 'made')\n"
        "    except OSError as error: print(name, error.errno)"
    )
    no = errno.EAFNOSUPPORT
    expected = f"AF_VSOCK {no}\nAF_ALG {no}\nAF_INET made\nAF_INET6 made\nAF_UNIX made\n"
    assert expected == python(walled, tree, code).stdout


def test_the_hosts_processes_are_not_seen(walled: sandbox.Sandbox, tree: Path) -> None:
    code = f"import os; print(len([p for p in os.listdir('/proc') if p.isdigit()]) < 6)"  # noqa: F541

    assert "True\n" == python(walled, tree, code).stdout


def test_a_command_cannot_forge_its_own_report(walled: sandbox.Sandbox, tree: Path) -> None:
    """The report travels over a pipe that our process inside holds and the command cannot open."""
    code = (
        "import glob, os, sys\n"
        "line = b'ended\\t0\\t0\\t0\\t0\\n'\n"
        "for path in glob.glob('/proc/[0-9]*/fd/*') + [f'/dev/fd/{n}' for n in range(3, 50)]:\n"
        "    try:\n"
        "        if int(path.split('/')[2]) != os.getpid():\n"
        "            os.write(os.open(path, os.O_WRONLY | os.O_NONBLOCK), line)\n"
        "    except (OSError, ValueError):\n"
        "        pass\n"
        "for n in range(3, 50):\n"
        "    try:\n"
        "        os.write(n, line)\n"
        "    except OSError:\n"
        "        pass\n"
        "sys.exit(7)"
    )

    assert 7 == python(walled, tree, code).exit_code


def test_killing_everything_is_never_taken_for_success(walled: sandbox.Sandbox, tree: Path) -> None:
    done = python(walled, tree, "import os\nfor s in (9, 15):\n os.kill(-1, s)")

    assert not done.ok
    assert done.exit_code != 0


# -- what a command needs


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


# -- stand-ins

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


# -- choice


def test_an_unknown_sandbox_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(sandbox.SandboxUnavailable) as caught:
        sandbox.choose("docker")

    expected = "HALON_SANDBOX is 'docker'; it must be one of 'auto', 'bubblewrap', 'namespaces', "
    assert expected + "'none'." == caught.value.message


def test_no_sandbox_is_chosen_only_by_that_name() -> None:
    assert "none" == sandbox.choose("none").name
    assert "none" not in [probe.name for probe in sandbox.probe()]


def test_a_missing_bubblewrap_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(sandbox.SandboxUnavailable) as caught:
        sandbox.choose("bubblewrap")

    assert "'bwrap' is not installed" in caught.value.message
    assert "HALON_SANDBOX" in caught.value.message
    assert "apt-get install bubblewrap" in caught.value.message


def test_a_tree_that_does_not_exist_is_refused(every: sandbox.Sandbox, tmp_path: Path) -> None:
    with pytest.raises(sandbox.SandboxBroken, match="is not a folder"):
        run(every, tmp_path / "no such", "true")


# -- the other user


@pytest.fixture
def open_tree() -> Iterator[Path]:
    """A folder of user nobody, since pytest's own are closed to everyone but their user."""
    folder = Path(tempfile.mkdtemp(prefix="halon-test-"))
    os.chown(folder, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)


AS_NOBODY = """
import json, sys
from pathlib import Path
from agents import sandbox
box = sandbox.choose(sys.argv[1])
script = "echo hello > x; cat x; id -u; grep CapEff /proc/self/status; touch /usr/x"
bomb = "import os, time\\nn = 0\\ntry:\\n while n < 5000:\\n  if not os.fork(): time.sleep(99)\\n"
bomb += "  n += 1\\nexcept OSError: print(n < 64)"
profile = sandbox.Profile(Path(sys.argv[2]))
done = box.run(["sh", "-c", script], profile, sandbox.Limits(seconds=20))
bounded = box.run(["python3", "-c", bomb], profile, sandbox.Limits(seconds=20, processes=64))
print(json.dumps([done.stdout, done.stderr, bounded.stdout]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("name", ["bubblewrap", "namespaces"])
def test_an_ordinary_user_has_the_same_walls(open_tree: Path, name: str) -> None:
    available(name)
    argv = [*ordinary_python(), "-c", AS_NOBODY, name, str(open_tree)]

    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)

    assert "" == done.stderr
    stdout, stderr, bounded = json.loads(done.stdout)
    assert ["hello", "1000", "CapEff:", "0000000000000000"] == stdout.split()
    assert "cannot touch '/usr/x'" in stderr
    assert "True\n" == bounded
    assert NOBODY == (open_tree / "x").stat().st_uid


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
