"""Runs the attempts of escapes.toml, one child each, and prints what each reached as JSON.

A program of its own, with the standard library only: started inside a sandbox, and without one.
"""

import ctypes
import errno
import json
import mmap
import os
import platform
import pty
import resource
import shutil
import signal
import socket
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

SECONDS = 10


def attempt(case: dict[str, Any], facts: dict[str, Any]) -> str:
    """Run one case in a child: "held", "escaped: ...", or "absent" where the machine lacks it."""
    if case.get("arch", platform.machine()) != platform.machine():
        return "absent"
    reader, writer = os.pipe()
    pid = pty.fork()[0] if case.get("terminal") and not inside() else os.fork()
    if not pid:
        os.close(reader)
        signal.alarm(SECONDS)
        os.write(writer, tried(case["code"], facts).encode()[:2000])
        os._exit(0)
    os.close(writer)
    said = b""
    while chunk := os.read(reader, 4096):
        said += chunk
    os.close(reader)
    os.waitpid(pid, 0)
    return said.decode(errors="replace") or "absent"


def tried(code: str, facts: dict[str, Any]) -> str:
    """Execute the code of a case and put what became of it into words."""
    libc = ctypes.CDLL(None, use_errno=True)
    names: dict[str, Any] = {
        **{"facts": facts, "inside": inside(), "libc": libc, "escaped": None, "pids": pids},
        **{"victims": lambda: pids() if inside() else [facts["victim"]]},
        **{"ctypes": ctypes, "errno": errno, "mmap": mmap, "os": os, "resource": resource},
        **{"shutil": shutil, "socket": socket, "time": time},
    }
    try:
        exec(compile(code, "case", "exec"), names)  # noqa: S102 - this is what the program is for
    except (OSError, ValueError) as error:  # a limit that may not be raised is a ValueError
        if not names["escaped"]:
            return f"held ({error})"
    return f"escaped: {names['escaped']!r}" if names["escaped"] else "held"


def inside() -> bool:
    """Tell whether this is a sandbox: then process 1 is ours to attack."""
    return socket.gethostname() == "sandbox"


def pids() -> list[int]:
    """Give every other process that can be seen, the parents first."""
    mine = os.getpid()
    found = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208
    return [pid for pid in found if pid not in (mine, os.getppid() if inside() else 0)]


def main() -> None:
    """Run every case of the file named first with the facts of the file named second."""
    cases = tomllib.loads(Path(sys.argv[1]).read_text())["case"]
    facts = json.loads(Path(sys.argv[2]).read_text())
    for case in sorted(cases, key=lambda case: bool(case.get("last"))):
        sys.stdout.write(json.dumps([case["name"], attempt(case, facts)]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
