"""Runs inside the walls: starts the stand-ins, waits for each, runs the command, reports.

Called by the launcher (as process 1 of its own namespace) or started as a script by bubblewrap,
with the standard library only. It must never let the command write its report: the report's file
descriptor is not inherited, and this process cannot be traced or opened through /proc. What the
kernel keeps outside of namespaces (keys, sockets of virtual machines) is closed by system call.
"""

from __future__ import annotations

# `signal` itself imports enum and re, which would cost as much as all the rest of this program.
import _signal as signal  # type: ignore[import-not-found]
import ctypes
import marshal
import os
import resource
import struct
import sys
import time

# Importing `typing` would lengthen the start of this program, which every command pays.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 4, 22, 38
SECCOMP_MODE_FILTER = 2
SIGKILL, SIGPIPE, SIGXFSZ = 9, 13, 25
SIG_DFL = 0
POLL_SECONDS = 0.004
WATCH_SECONDS = 0.1
PAGE = 4096
TAIL_BYTES = 600
LISTENING = "0A"

# By machine: the kernel's name of it (AUDIT_ARCH_*), `socket`, and the calls that are not there:
# add_key, request_key and keyctl reach the keys of whoever started Halon; io_uring opens sockets
# past this filter; bpf, perf_event_open and userfaultfd are for attacking kernels; openat2 hides
# its mode from this filter.
CALLS = {
    "x86_64": (0xC000003E, 41, (248, 249, 250, 425, 321, 298, 323, 437)),
    "aarch64": (0xC00000B7, 198, (217, 218, 219, 425, 280, 241, 282, 437)),
}
# The calls that give a file its mode, with the argument that says it (and, for `open` and `openat`,
# the one with O_CREAT, without which the mode means nothing): chmod, fchmod, fchmodat, fchmodat2,
# mknod, mknodat, creat, open, openat. What a command writes belongs to Halon's user on disk, and as
# root that is root: a set-user-id file of a command's would be a way out for any user of the host.
MODES = {
    "x86_64": (
        *((90, 1, 0), (91, 1, 0), (268, 2, 0), (452, 2, 0), (133, 1, 0), (259, 2, 0)),
        *((85, 1, 0), (2, 2, 1), (257, 3, 2)),
    ),
    "aarch64": ((52, 1, 0), (53, 2, 0), (452, 2, 0), (33, 2, 0), (56, 3, 2)),
}
SET_ID, O_CREAT_OR_TMPFILE = 0o6000, 0o100 | 0o20000000
FAMILIES = (1, 2, 10, 16)  # unix, IPv4, IPv6, netlink: each has its network namespace
EPERM, ENOSYS, EAFNOSUPPORT = 1, 38, 97


def say(result: int, *words: object) -> None:
    """Write one line of the report: words separated by tabs, below PIPE_BUF, so it is atomic."""
    line = "\t".join(str(word).replace("\t", " ").replace("\n", " | ") for word in words)
    os.write(result, line.encode(errors="replace")[:3000] + b"\n")


def hide() -> None:
    """Deny the command, which has our user id, a look at our memory and file descriptors."""
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def limit(limits: dict[str, int]) -> None:
    """Set the limits of the process that is about to become the command."""
    for name, value in limits.items():
        which = getattr(resource, name)
        hard = resource.getrlimit(which)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (allowed, allowed))


def close_calls() -> None:
    """Deny the system calls that no namespace holds in; programs of another machine get none."""
    arch, socket, absent = CALLS[os.uname().machine]
    load, equal, below, back = 0x20, 0x15, 0x35, 0x06  # BPF: LD word, JEQ, JGE, RET
    allow, refuse = 0x7FFF0000, 0x00050000
    lines = [(load, 0, 0, 4), (equal, 1, 0, arch), (back, 0, 0, refuse | ENOSYS)]
    lines += [(load, 0, 0, 0), (below, 0, 1, 0x40000000), (back, 0, 0, refuse | ENOSYS)]
    for number in absent:
        lines += [(equal, 0, 1, number), (back, 0, 0, refuse | ENOSYS)]
    for number, mode, flags in MODES[os.uname().machine]:
        lines += mode_lines(number, mode, flags, refuse | EPERM)
    # The first argument of `socket`, of which the kernel reads the lower half.
    lines += [(equal, 1, 0, socket), (back, 0, 0, allow), (load, 0, 0, 16)]
    for family in FAMILIES:
        lines += [(equal, 0, 1, family), (back, 0, 0, allow)]
    lines += [(back, 0, 0, refuse | EAFNOSUPPORT)]
    packed = b"".join(struct.pack("=HBBI", *line) for line in lines)
    program = ctypes.create_string_buffer(packed, len(packed))
    head = ctypes.create_string_buffer(
        struct.pack("@HP", len(lines), ctypes.addressof(program)), struct.calcsize("@HP")
    )
    libc = ctypes.CDLL(None, use_errno=True)
    none = ctypes.c_ulong(0)
    for option, value, more in (
        (PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), none),
        (PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), ctypes.byref(head)),
    ):
        if libc.prctl(option, value, more, none, none) < 0:
            raise OSError(ctypes.get_errno(), "system calls cannot be closed")


def mode_lines(number: int, mode: int, flags: int, refused: int) -> list[tuple[int, int, int, int]]:
    """Give the filter that refuses one call with a set-user-id or set-group-id mode."""
    load, equal, has, back = 0x20, 0x15, 0x45, 0x06
    made = [(load, 0, 0, 16 + 8 * flags), (has, 0, 3, O_CREAT_OR_TMPFILE)] if flags else []
    after = [(load, 0, 0, 16 + 8 * mode), (has, 0, 1, SET_ID), (back, 0, 0, refused)]
    body = [*made, *after]
    # The number of the call is loaded again for the lines that follow.
    return [(equal, 0, len(body), number), *body, (load, 0, 0, 0)]


def start(argv: list[str], spec: dict[str, Any], output: int | None) -> int:
    """Fork and execute a command in a session of its own; it ends with 127 or 126 if it cannot."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        nothing = os.open("/dev/null", os.O_RDONLY)
        os.dup2(nothing, 0)
        if output is not None:
            os.dup2(output, 1)
            os.dup2(output, 2)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        # Python ignores these two, and an ignored signal would stay ignored in the command.
        for number in (SIGPIPE, SIGXFSZ):
            ctypes.CDLL(None).signal(number, SIG_DFL)
        os.chdir(spec["cwd"])
        limit(spec["limits"])
        if spec["kind"] != "none":
            close_calls()
        os.execvpe(argv[0], argv, spec["env"])  # noqa: S606 - this program exists to execute argv
    except OSError as error:
        os.write(2, f"cannot run {argv[0]!r}: {error.strerror}\n".encode(errors="replace"))
        os._exit(127 if isinstance(error, FileNotFoundError | NotADirectoryError) else 126)
    finally:
        os._exit(126)


def listening_sockets() -> dict[str, int]:
    """Give inode -> port of every listening TCP socket of this network namespace."""
    found: dict[str, int] = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as lines:  # noqa: PTH123 - pathlib costs more than this whole program
                next(lines, None)
                for line in lines:
                    fields = line.split()
                    if fields[3] == LISTENING:
                        found[fields[9]] = int(fields[1].rpartition(":")[2], 16)
        except OSError:
            continue
    return found


def listens(session: int, sockets: dict[str, int]) -> bool:
    """Tell whether a process of this session holds one of the listening sockets."""
    for name in os.listdir("/proc"):  # noqa: PTH208
        try:
            if not name.isdigit() or os.getsid(int(name)) != session:
                continue
            for fd in os.listdir(f"/proc/{name}/fd"):  # noqa: PTH208
                link = os.readlink(f"/proc/{name}/fd/{fd}")  # noqa: PTH115
                if link.startswith("socket:[") and link[8:-1] in sockets:
                    return True
        except OSError:
            continue
    return False


def is_ready(pid: int, port: int | None, output: int) -> bool:
    """Tell whether a stand-in listens where it should, or has printed its line "ready"."""
    sockets = listening_sockets()
    if port is not None:
        return port in sockets.values()
    head = os.pread(output, 65536, 0)
    if any(line.strip().lower() == b"ready" for line in head.splitlines()):
        return True
    return bool(sockets) and listens(pid, sockets)


def tail(output: int) -> str:
    """Give the end of what a stand-in printed."""
    size = os.fstat(output).st_size
    return os.pread(output, TAIL_BYTES, max(0, size - TAIL_BYTES)).decode(errors="replace").strip()


def ended(status: int) -> str:
    """Put a wait status into words."""
    code = os.waitstatus_to_exitcode(status)
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


def start_stand_in(stand_in: dict[str, Any], spec: dict[str, Any]) -> tuple[int, int, str]:
    """Start one stand-in and wait until it is ready: its pid, its output, and what went wrong."""
    output = os.memfd_create("stand-in")
    pid = start(stand_in["argv"], spec, output)
    deadline = time.monotonic() + stand_in["seconds"]
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return 0, output, f"{ended(status)} before it was ready: {tail(output)}"
        if is_ready(pid, stand_in["port"], output):
            return pid, output, ""
        if time.monotonic() > deadline:
            return pid, output, f"was not ready after {stand_in['seconds']:g} s: {tail(output)}"
        time.sleep(POLL_SECONDS)


def resident() -> int:
    """Give the bytes of memory that all processes of this sandbox hold together."""
    total = 0
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            try:
                with open(f"/proc/{name}/statm") as fields:  # noqa: PTH123
                    words = fields.read().split()
            except OSError:
                continue
            total += (int(words[1]) - int(words[2])) * PAGE
    return total


def apportioned() -> int:
    """Give the same with pages that processes share counted once; slow, so only when in doubt."""
    total = 0
    for name in os.listdir("/proc"):  # noqa: PTH208
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/smaps_rollup") as lines:  # noqa: PTH123
                total += sum(int(li.split()[1]) for li in lines if li.startswith("Pss_Anon"))
        except (OSError, IndexError, ValueError):
            continue
    return total * 1024


def excess(spec: dict[str, Any]) -> str:
    """Tell what the processes and scratch folders take too much of together, if anything."""
    scratch, files = 0, 0
    for folder in spec["scratch"]:
        found = os.statvfs(folder)
        scratch += (found.f_blocks - found.f_bfree) * found.f_frsize
        files += found.f_files - found.f_ffree
    # Each costs the kernel about a kilobyte, which no limit on bytes counts.
    if files > spec["most_files"]:
        return f"it made more than {spec['most_files']} files in its scratch folders"
    allowed = spec["total_memory"] - scratch
    if resident() > allowed and apportioned() > allowed:
        return f"it used more than {spec['total_memory'] >> 20} MiB of memory"
    return ""


def wait_for(
    pid: int, stand_ins: dict[int, tuple[str, int]], spec: dict[str, Any]
) -> tuple[int, float, int, str]:
    """Reap until the command ends: wait status, CPU seconds, peak KiB, and what went wrong."""
    cpu, peak, walled = 0.0, 0, spec["kind"] != "none"
    while True:
        done, status, usage = os.wait4(-1, os.WNOHANG)
        if not done:
            signal.sigtimedwait([signal.SIGCHLD], WATCH_SECONDS)
            if walled and (problem := excess(spec)):
                return -1, cpu, peak, problem
            continue
        if done in stand_ins:
            name, output = stand_ins[done]
            return -1, cpu, peak, f"stand-in {name!r} {ended(status)} too early: {tail(output)}"
        cpu += usage.ru_utime + usage.ru_stime
        peak = max(peak, usage.ru_maxrss)
        if done == pid:
            return status, cpu, peak, ""


def run(spec: dict[str, Any], result: int) -> None:
    """Run the stand-ins and the command of `spec`, and write the report to `result`."""
    os.set_inheritable(result, False)
    hide()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    stand_ins: dict[int, tuple[str, int]] = {}
    try:
        for stand_in in spec["setup"]:
            name = " ".join(stand_in["argv"])
            pid, output, problem = start_stand_in(stand_in, spec)
            if pid:
                stand_ins[pid] = (name, output)
            if problem:
                say(result, "problem", f"stand-in {name!r} {problem}")
                return
        began = time.monotonic()
        say(result, "started")
        status, cpu, peak, problem = wait_for(start(spec["argv"], spec, None), stand_ins, spec)
        if problem:
            say(result, "problem", problem)
            return
        seconds = time.monotonic() - began
        say(result, "ended", os.waitstatus_to_exitcode(status), seconds, cpu, peak * 1024)
    finally:
        for pid in stand_ins:
            try:
                os.killpg(pid, SIGKILL)
            except ProcessLookupError:
                continue


def main() -> None:
    """Read the specification from one inherited descriptor and report to another."""
    with os.fdopen(int(sys.argv[1]), "rb") as source:
        spec = marshal.load(source)  # noqa: S302 - written by our own parent into a private memfd
    run(spec, int(sys.argv[2]))


if __name__ == "__main__":
    main()
