"""The small process between Halon and a sandboxed command: starts it, reaps it, reports its cost.

Started by the runner as `python -I -S` with an empty environment, so that no secret of Halon can be
read through /proc, and with few imports, since its start is paid for every command.
It must never outlive Halon, and nothing that it started may outlive it.
"""

from __future__ import annotations

# `signal` itself imports enum and re, which would cost as much as all the rest of this program.
import _signal as signal  # type: ignore[import-not-found]
import marshal
import os
import sys

from agents.sandboxes import descent, inside, kernel, walls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SIGKILL = 9
child = 0


def kill_child(_number: int, _frame: object) -> None:
    """End the sandbox: with its process 1 the kernel kills everything inside."""
    if child:
        os.kill(child, SIGKILL)
    else:
        os._exit(0)


def start(spec: dict[str, Any], result: int) -> int:
    """Fork the process that becomes the sandbox; it dies with us, even when we die at once."""
    # Opened while we may still be root: a group is joined with the rights of whoever opened it.
    groups = [os.open(f"{folder}/cgroup.procs", os.O_WRONLY) for folder in spec["cgroups"]]
    if os.geteuid() == 0 and spec["kind"] != "none":
        step_down(spec)
    if spec["kind"] == "namespaces":
        walls.leave(spec)
    alive, alive_writer = os.pipe()
    pid = os.fork()
    if pid:
        os.write(alive_writer, b".")
        return pid
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.close(alive_writer)
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, SIGKILL)
        if not os.read(alive, 1):
            os._exit(1)
        for fd in groups:
            os.write(fd, b"0")
            os.close(fd)
        become(spec, result)
        os._exit(0)
    except OSError as error:
        inside.say(result, "broken", error)
    finally:
        os._exit(125)


def become(spec: dict[str, Any], result: int) -> None:
    """Turn this process into the sandbox of the wanted kind and run the command."""
    if spec["kind"] == "bubblewrap":
        os.set_inheritable(result, True)
        argv = [*spec["bwrap"], *file_arguments(spec["files"]), "--", *spec["inside"]]
        argv += [str(as_file(marshal.dumps(spec))), str(result)]
        os.execve(argv[0], argv, {})  # noqa: S606 - the sandbox itself
    if spec["kind"] == "namespaces":
        walls.build(spec)
    inside.run(spec, result)


def step_down(spec: dict[str, Any]) -> None:
    """Become an unprivileged user, and let the sandbox find its mounts where that user can."""
    wanted = [(source, mode == "rw") for source, _, mode in spec["mounts"] if mode != "link"]
    places = descent.descend([*wanted, *((path, False) for path in spec["own"])])
    spec["mounts"] = [
        (source if mode == "link" else places.get(source, source), target, mode)
        for source, target, mode in spec["mounts"]
    ]
    words = spec.get("bwrap", [])
    for index, word in enumerate(words[:-1]):
        if word in ("--bind", "--ro-bind"):
            words[index + 1] = places.get(words[index + 1], words[index + 1])


def file_arguments(files: list[tuple[str, str]]) -> list[str]:
    """Give bubblewrap's arguments for files whose content we make up."""
    words: list[str] = []
    for path, content in files:
        words += ["--ro-bind-data", str(as_file(content.encode())), path]
    return [*words, "--remount-ro", "/"]


def as_file(content: bytes) -> int:
    """Put content into an inheritable descriptor, positioned at its start."""
    fd = os.memfd_create("halon", 0)
    os.set_inheritable(fd, True)
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def reap(first: int) -> tuple[float, int]:
    """Reap the sandbox and whatever it leaves to us, killed: CPU seconds and peak KiB."""
    cpu, peak = 0.0, 0
    while True:
        try:
            pid, _status, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return cpu, peak
        cpu += usage.ru_utime + usage.ru_stime
        peak = max(peak, usage.ru_maxrss)
        if pid == first:
            first = 0
        if not first:
            kill_children()


def kill_children() -> None:
    """Kill the orphans that we adopted as their subreaper."""
    try:
        with open("/proc/thread-self/children") as children:  # noqa: PTH123
            pids = [int(pid) for pid in children.read().split()]
    except OSError:
        pids = children_by_stat()
    for pid in pids:
        try:
            os.kill(pid, SIGKILL)
        except ProcessLookupError:
            continue


def children_by_stat() -> list[int]:
    """Find our children where the kernel does not list them (no CONFIG_PROC_CHILDREN)."""
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208
        try:
            if name.isdigit():
                with open(f"/proc/{name}/stat") as stat:  # noqa: PTH123
                    parent = int(stat.read().rpartition(")")[2].split()[1])
                if parent == os.getpid():
                    found.append(int(name))
        except OSError:
            continue
    return found


def main(spec_fd: int, result: int) -> None:
    """Run one sandbox from the specification in `spec_fd`, reporting to `result`."""
    global child
    with os.fdopen(spec_fd, "rb") as source:
        spec = marshal.load(source)  # noqa: S302 - written by our own parent into a private memfd
    signal.signal(signal.SIGTERM, kill_child)
    # Halon's death is told as SIGTERM, so that there is time to kill what has no walls around it.
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGTERM)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    if os.getppid() != spec["parent"]:
        sys.exit(1)
    os.set_inheritable(result, False)
    try:
        child = start(spec, result)
    except OSError as error:
        inside.say(result, "broken", error)
        return
    # Unsharing a user namespace gains capabilities, which clears the death signal.
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != spec["parent"]:
        kill_child(signal.SIGTERM, None)
    for fd in (1, 2):
        os.close(fd)
    inside.say(result, "cost", *reap(child))
