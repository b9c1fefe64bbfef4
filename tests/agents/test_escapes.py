"""Nothing gets out of a sandbox, as root and as an ordinary user; without one, everything does.

Many attempts share one sandbox: see escapes.toml for what they try. The ones that exhaust something
have a sandbox each, with limits that are small for the one and large for the other.
"""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from agents import sandbox
from agents.sandboxes import inside
from tests.agents import sandboxes

CASES = {case["name"]: case for case in tomllib.loads(
    (Path(__file__).parent / "escapes.toml").read_text())["case"]}  # fmt: skip
BOXES = ("bubblewrap", "namespaces")
ROOT = os.geteuid() == 0
LIMITS = sandbox.Limits(seconds=60)
AS_NOBODY = """
import json, sys
from pathlib import Path
from agents import sandbox
given = json.load(open(sys.argv[1]))
profile = sandbox.Profile(Path(given["tree"]), read_only=tuple(map(Path, given["read_only"])))
done = sandbox.choose(given["box"]).run(given["argv"], profile, sandbox.Limits(60))
print(json.dumps([done.stdout, done.stderr, done.problem]))
"""


@contextmanager
def host(user: int) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A tree, and beside it what an attempt must not reach: files, sockets, a process, memory."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="halon-escape-")))
        word = f"word-{uuid4().hex}"
        tree, beside = folder / "tree", folder / "beside"
        for path in (tree / ".git/hooks", beside, folder / "declared"):
            path.mkdir(parents=True)
        for path in (folder / "secret", folder / "target", beside / "file", tree / ".git/config"):
            path.write_text(word)
        (folder / "declared/file").write_text("")
        for name in ("escaping.py", "escapes.toml"):
            shutil.copy(Path(__file__).parent / name, tree)
        servers = {name: stack.enter_context(server) for name, server in _servers(folder).items()}
        victim = subprocess.Popen(
            [word, "600"], executable="/usr/bin/sleep", env={"WORD": word}, user=user, group=user
        )
        stack.callback(victim.wait)
        stack.callback(victim.kill)
        libc = ctypes.CDLL(None, use_errno=True)
        shm = libc.shmget(os.getpid(), 4096, 0o1666)
        stack.callback(libc.shmctl, shm, 0, None)
        facts = {
            "secret": str(folder / "secret"),
            "target": str(folder / "target"),
            "inode": (folder / "secret").stat().st_ino,
            "handle": _handle(libc, folder / "secret"),
            "read_only": str(folder / "declared"),
            "unix": str(folder / "unix"),
            "abstract": servers["abstract"].getsockname()[1:].decode(),
            "tcp": servers["tcp"].getsockname()[1],
            "udp": servers["udp"].getsockname()[1],
            "victim": victim.pid,
            "word": word,
            "shm": os.getpid(),
        }
        (tree / "facts.json").write_text(json.dumps(facts))
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
            os.chown(path, user, user) if path.is_relative_to(tree) and ROOT else None
        yield tree, facts


def _servers(folder: Path) -> dict[str, socket.socket]:
    unix, abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    unix.bind(str(folder / "unix"))
    abstract.bind(f"\0halon-{uuid4().hex}")
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    for one in (unix, abstract):
        one.listen()

    def echo() -> None:
        try:
            udp.sendto(b"!", udp.recvfrom(10)[1])
        except OSError:
            return

    threading.Thread(target=echo, daemon=True).start()
    tcp = socket.create_server(("127.0.0.1", 0))
    return {"unix": unix, "abstract": abstract, "tcp": tcp, "udp": udp}


def _handle(libc: ctypes.CDLL, path: Path) -> str:
    handle = ctypes.create_string_buffer((128).to_bytes(4, "little"), 8 + 128)
    libc.name_to_handle_at(-100, str(path).encode(), handle, ctypes.byref(ctypes.c_int()), 0)
    return handle.raw.hex()


def verdicts(stdout: str) -> dict[str, str]:
    """What each attempt came to."""
    return dict(json.loads(line) for line in stdout.splitlines())


ARGV = ("escaping.py", "escapes.toml", "facts.json")


@pytest.fixture(scope="module", params=BOXES)
def held(request: pytest.FixtureRequest) -> dict[str, str]:
    """Every attempt inside a sandbox, as the user who runs the tests."""
    box = sandboxes.available(request.param)
    with host(os.geteuid()) as (tree, facts):
        profile = sandbox.Profile(tree, read_only=(Path(facts["read_only"]),))
        done = box.run(["python3", *ARGV], profile, LIMITS)
        assert (0, "") == (done.exit_code, done.problem), done.output
        assert facts["word"] == Path(facts["target"]).read_text()
        return verdicts(done.stdout)


@pytest.fixture(scope="module", params=BOXES)
def held_for_nobody(request: pytest.FixtureRequest) -> dict[str, str]:
    """Every attempt inside a sandbox that an ordinary user built."""
    sandboxes.available(request.param)
    with host(sandboxes.NOBODY) as (tree, facts):
        given = {"tree": str(tree), "read_only": [facts["read_only"]], "box": request.param}
        argv = ["/usr/bin/python3", *ARGV]
        (tree / "given.json").write_text(json.dumps(given | {"argv": argv}))
        code = [*sandboxes.ordinary_python(), "-c", AS_NOBODY, str(tree / "given.json")]
        done = subprocess.run(code, cwd=sandboxes.ROOT, capture_output=True, text=True, check=False)
        assert "" == done.stderr
        stdout, _, problem = json.loads(done.stdout)
        assert "" == problem
        return verdicts(stdout)


@pytest.fixture(scope="module")
def free() -> dict[str, str]:
    """Every attempt with no sandbox at all."""
    with host(os.geteuid()) as (tree, facts):
        (tree / "link-in").unlink(missing_ok=True)
        left_open = os.open(facts["secret"], os.O_RDONLY)
        done = subprocess.run(
            [sys.executable, *ARGV],
            cwd=tree,
            capture_output=True,
            text=True,
            pass_fds=[left_open],
            check=False,
        )
        os.close(left_open)
        assert (0, "") == (done.returncode, done.stderr)
        return verdicts(done.stdout)


@pytest.mark.parametrize("name", CASES)
def test_no_attempt_gets_out(held: dict[str, str], name: str) -> None:
    assert held[name].startswith("held"), held[name]


@pytest.mark.skipif(not ROOT, reason="only root can become another user")
@pytest.mark.parametrize("name", CASES)
def test_no_attempt_gets_out_where_halon_is_an_ordinary_user(
    held_for_nobody: dict[str, str], name: str
) -> None:
    assert held_for_nobody[name].startswith("held"), held_for_nobody[name]


@pytest.mark.parametrize("name", CASES)
def test_every_attempt_succeeds_where_nothing_holds_it(free: dict[str, str], name: str) -> None:
    """A case that could not fail would prove nothing."""
    case = CASES[name]
    if case.get("needs") == "root" and not ROOT:
        pytest.skip("only root would succeed")
    has = free[name] != "absent" and Path(case.get("path", "/")).exists()
    if not has or not _may(case.get("capability")):
        pytest.skip("this machine does not have it")

    assert free[name].startswith("escaped"), free[name]


def _may(capability: int | None) -> bool:
    status = Path("/proc/self/status").read_text()
    (effective,) = (line.split()[1] for line in status.splitlines() if line.startswith("CapEff"))
    return capability is None or bool(int(effective, 16) >> capability & 1)


def test_there_are_enough_attempts() -> None:
    assert len(CASES) >= 25


# -- what exhausts something: a limit that is small for the attempt, and one that is large


def tried(
    box: sandbox.Sandbox, tree: Path, code: str, setup: str = "", **limits: float
) -> sandbox.Completed:
    """Run Python code with these limits."""
    profile = sandbox.Profile(tree)
    argv = ["python3", "-c", f"import os, sys, time\n{setup}\n{code}"]
    return box.run(argv, profile, replace(sandbox.Limits(seconds=20), **limits))  # type: ignore[arg-type]


@pytest.fixture(params=BOXES)
def box(request: pytest.FixtureRequest) -> sandbox.Sandbox:
    """Each sandbox."""
    return sandboxes.available(request.param)


MIB = 1024 * 1024
# The end of an attack: with small limits it waits to be caught, however long the watch takes.
WAITS = "def done():\n    __import__('signal').pause()\n"
SAYS = "def done():\n    print('True')\n"
FORKS = """
n = 0
try:
    while n < 120:
        if os.fork() == 0:
            time.sleep(60)
        n += 1
except OSError:
    pass
print(n >= 120)
"""
BLOAT = """
for _ in range(6):
    if os.fork() == 0:
        held = os.urandom(1) * (40 << 20)
        open(f'ready-{os.getpid()}', 'w').close()
        time.sleep(60)
while sum(name.startswith('ready-') for name in os.listdir('.')) < 6:
    if os.waitpid(-1, os.WNOHANG)[0]:
        sys.exit('killed')
    time.sleep(0.01)
done()
"""
BIG = """
for n in range(6):
    with open(f'big-{n}', 'wb') as file:
        for _ in range(4):
            file.write(os.urandom(1 << 20))
done()
"""
GONE = """
kept = []
for n in range(60):
    file = open(f'big-{n}', 'wb')
    os.unlink(f'big-{n}')
    file.write(os.urandom(1 << 20))
    file.flush()
    kept.append(file)
done()
"""
MANY = """
for n in range(3000):
    open(f'{place}/f{n}', 'w').close()
done()
"""
SHARED = """
with open('/dev/shm/x', 'wb') as file:
    for _ in range(80):
        file.write(bytes(1 << 20))
print('True')
"""


@pytest.mark.parametrize(
    ("code", "setup", "small", "large", "said"),
    [
        (FORKS, "", {"processes": 48}, {"processes": 400}, ""),
        (BLOAT, "", {"total_memory_bytes": 120 * MIB}, {}, "MiB of memory"),
        (BIG, "", {"disk_bytes": 12 * MIB}, {}, "wrote more than 12 MiB"),
        (GONE, "", {"disk_bytes": 10 * MIB}, {}, "the disk lost"),
        (MANY, "place = '.'", {"files": 500}, {}, "more than 500 files"),
        (MANY, "place = '/tmp'", {"files": 500}, {}, "more than 500 files in its scratch"),
    ],
    ids=["forks", "memory", "big files", "deleted files", "many files", "scratch files"],
)
def test_what_is_bounded_is_held_and_what_is_not_goes_through(
    box: sandbox.Sandbox,
    tmp_path: Path,
    code: str,
    setup: str,
    small: dict[str, float],
    large: dict[str, float],
    said: str,
) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "large").mkdir()

    held = tried(box, tmp_path / "small", code, WAITS + setup, **small)

    assert "True\n" != held.stdout or held.problem
    # A control group kills one process by itself, before the watch sees the whole.
    assert said in held.problem or "killed" in held.stderr, held
    if box.name == BOXES[0]:
        assert "True\n" == tried(box, tmp_path / "large", code, SAYS + setup, **large).stdout


def test_the_shared_memory_folder_has_a_size(box: sandbox.Sandbox, tmp_path: Path) -> None:
    done = tried(box, tmp_path, SHARED)

    assert "No space left on device" in done.stderr
    assert "True" not in done.stdout


STOP = "import signal\nfor pid in (1, os.getppid(), os.getpid()):\n    os.kill(pid, signal.SIGSTOP)"


def test_a_command_that_stops_itself_ends_at_its_deadline(
    box: sandbox.Sandbox, tmp_path: Path
) -> None:
    began = time.monotonic()

    done = tried(box, tmp_path, STOP, seconds=1)

    assert (None, True) == (done.exit_code, done.timed_out)
    assert time.monotonic() - began < 15


DAEMON = """
if os.fork() == 0:
    os.setsid()
    for number in range(1, 30):
        try:
            __import__('signal').signal(number, 1)
        except (OSError, ValueError):
            pass
    if os.fork() == 0:
        os.execvp('sleep', [sys.argv[0] + 'WORD', '600'])
    os._exit(0)
os.wait()
"""


def test_a_daemon_that_outlives_its_parents_does_not_outlive_the_sandbox(
    box: sandbox.Sandbox, tmp_path: Path
) -> None:
    word = f"word-{uuid4().hex}"
    code = DAEMON.replace("WORD", word)

    tried(box, tmp_path, code)
    assert [] == sandboxes.alive(word)

    free = ["python3", "-c", f"import os, sys, time\n{code}"]
    subprocess.run(free, cwd=tmp_path, check=True)
    # While a process becomes another program it has no words for a moment.
    sandboxes.wait_until(lambda: bool(_those_with(word)))
    for pid in _those_with(word):
        os.kill(pid, signal.SIGKILL)


def _those_with(word: str) -> list[int]:
    return [pid for pid in _pids() if word in _words(pid)]


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


@pytest.mark.skipif(not ROOT, reason="only root has something to lay down")
def test_root_is_laid_down_before_anything_of_the_repository_runs(
    box: sandbox.Sandbox, tmp_path: Path
) -> None:
    """On the host the command's user is nobody's, and yet what it writes is root's."""
    word = f"word-{uuid4().hex}"
    code = f"""
open('x', 'w').close()
while not os.path.exists('seen'):
    time.sleep(0.02)
# {word}
"""
    seen: list[int] = []

    def look() -> None:
        deadline = time.monotonic() + 40
        while not seen and time.monotonic() < deadline:
            if (tmp_path / "x").exists():
                seen.extend(_user(pid) for pid in _those_with(word))
            time.sleep(0.02)
        (tmp_path / "seen").touch()

    watcher = threading.Thread(target=look)
    watcher.start()
    done = tried(box, tmp_path, code, seconds=60)
    watcher.join()

    assert done.ok
    assert min(seen) >= sandboxes.NOBODY
    assert 0 == (tmp_path / "x").stat().st_uid


def _user(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def test_memory_is_summed_over_all_processes() -> None:
    """Where no control group can be made, this is the only bound on many processes together."""
    spec = {"scratch": [], "most_files": 1, "total_memory": 1 << 20}

    assert "it used more than 1 MiB of memory" == inside.excess(spec)
    assert "" == inside.excess(spec | {"total_memory": 1 << 50})
