"""What a command in a sandbox can reach: its tree, and nothing of the host."""

import errno
import json
import os
import socket
from pathlib import Path

import pytest

from agents import sandbox
from tests.agents.sandboxes import (
    LIMITS,
    PY,
    python,
    run,
)


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
