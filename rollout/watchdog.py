"""The dead man's switch of one rollout: `python -I watchdog.py LEASE_FILE`.

Armed by the controller before the first shift, and then on its own: only the standard library, one
file to read and one command to run. When the lease runs out or its file is gone, it does what the
lease said: take back (again and again until it is done) or hold and call. It never does both; the
`done` marker ends it.
"""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TAKE_BACK, HOLD = "take_back", "hold"
SUPERSEDED = 3  # the command's own word for "somebody newer commands"
FIRST_BACK_OFF, LONGEST_BACK_OFF = 0.5, 15.0
RUN_SECONDS = 90.0
START_SECONDS = 10.0
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Lease:
    """What the watchdog shall do when nobody renews it for `seconds`."""

    on_expiry: str  # TAKE_BACK or HOLD
    take_back: tuple[str, ...]
    call: tuple[str, ...] = ()  # run once when it acts, to reach people
    seconds: float = 90.0


def clock() -> float:
    """Return seconds since the machine started, time asleep included; the same in every process."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot() -> str:
    """Return this boot's id: a lease from before a restart has run out."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def beside(lease: Path, what: str) -> Path:
    """Return the file beside a lease: `lock`, `done` or `acted`."""
    return lease.with_name(f"{lease.name}.{what}")


def write(lease_file: Path, lease: Lease) -> None:
    """Write the lease whole and durable, running from now."""
    content = {
        "expires": clock() + lease.seconds,
        "boot": boot(),
        "on_expiry": lease.on_expiry,
        "take_back": list(lease.take_back),
        "call": list(lease.call),
        "poll": min(0.5, lease.seconds / 10),
    }
    making = lease_file.with_name(f".{lease_file.name}.{os.getpid()}")
    with making.open("w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    making.replace(lease_file)


def watching(lease_file: Path) -> bool:
    """Return whether a watchdog lives for this lease."""
    try:
        with beside(lease_file, "lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def acted(lease_file: Path) -> list[dict[str, Any]]:
    """Return what the watchdog did, oldest first; empty when it did not have to."""
    try:
        lines = beside(lease_file, "acted").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def arm(lease_file: Path, lease: Lease) -> None:
    """Write the lease and see to it that a watchdog watches it; raises OSError when none starts."""
    lease_file.parent.mkdir(parents=True, exist_ok=True)
    beside(lease_file, "done").unlink(missing_ok=True)
    write(lease_file, lease)
    if watching(lease_file):
        return
    beside(lease_file, "acted").unlink(missing_ok=True)  # read `acted` before arming anew
    argv = [sys.executable, "-I", str(Path(__file__).absolute()), str(lease_file.absolute())]
    subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
        cwd="/",
        start_new_session=True,
        timeout=START_SECONDS,
        check=True,
    )
    until = time.monotonic() + START_SECONDS
    while not watching(lease_file) and not acted(lease_file):
        if time.monotonic() > until:
            raise OSError(f"no watchdog started for {str(lease_file)!r}")
        time.sleep(POLL_SECONDS)


def renew(lease_file: Path, lease: Lease) -> bool:
    """Run the lease from now; False when no watchdog lives or it acted: look and arm again."""
    if acted(lease_file) or not watching(lease_file):
        return False
    write(lease_file, lease)
    return True


def disarm(lease_file: Path) -> None:
    """End the watchdog, if there ever was one: the rollout is over and read back."""
    if not lease_file.parent.exists():
        return
    beside(lease_file, "done").touch()
    until = time.monotonic() + START_SECONDS
    while watching(lease_file) and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
    lease_file.unlink(missing_ok=True)


class Watch:
    """The loop of the watchdog's own process."""

    def __init__(self, lease_file: Path) -> None:
        self._file = lease_file
        self._last: dict[str, Any] = {}

    def run(self) -> None:
        """Wait for `done` or for the lease to run out, and act then."""
        while not beside(self._file, "done").exists():
            if self._expired():
                self._act()
                return
            time.sleep(float(self._last.get("poll", 0.5)))

    def _expired(self) -> bool:
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
            self._last = dict(content)
            return bool(content["boot"] != boot() or clock() >= float(content["expires"]))
        except (OSError, ValueError, KeyError, TypeError):
            # A lease that is gone or garbage is nobody's promise any more.
            return True

    def _act(self) -> None:
        call = self._last.get("call") or []
        if self._last.get("on_expiry") == HOLD:
            self._note("hold", 0, "the lease ran out; the weight stays, people are called")
            self._call(call)
            return
        self._note("started", 0, "the lease ran out; taking back")
        self._call(call)
        pause = FIRST_BACK_OFF
        while not beside(self._file, "done").exists():
            code, said = _run(self._last.get("take_back") or [])
            self._note("take_back", code, said)
            if code in (0, SUPERSEDED):
                return
            time.sleep(pause)
            pause = min(LONGEST_BACK_OFF, pause * 2)

    def _call(self, argv: list[str]) -> None:
        if argv:
            code, said = _run(argv)
            self._note("call", code, said)

    def _note(self, what: str, code: int, said: str) -> None:
        entry = {"at": time.time(), "did": what, "exit": code, "said": said[-2000:]}
        with contextlib.suppress(OSError), beside(self._file, "acted").open("a") as file:
            file.write(json.dumps(entry) + "\n")


def _run(argv: list[str]) -> tuple[int, str]:
    try:
        done = subprocess.run(argv, capture_output=True, timeout=RUN_SECONDS, check=False)
    except (OSError, IndexError, ValueError, subprocess.SubprocessError) as error:
        return 127, str(error)
    return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace").strip()


def _alone(lock: int) -> bool:
    """Take the lock; `watching` holds it for a blink when it looks, so one refusal is no answer."""
    until = time.monotonic() + 2.0
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(POLL_SECONDS)
        else:
            return True


def main(arguments: list[str]) -> int:
    """Detach from whoever started us, then watch one lease, unless another watchdog does."""
    if len(arguments) != 1:
        sys.stderr.write("usage: watchdog.py LEASE_FILE\n")
        return 2
    lease_file = Path(arguments[0])
    if os.fork():
        return 0
    with beside(lease_file, "lock").open("w") as lock:
        if not _alone(lock.fileno()):
            return 0
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        Watch(lease_file).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
