"""Our own walls where bubblewrap is missing: namespaces, a new root, Landlock, no capabilities.

Called by the launcher, in process 1 of the new namespaces, with the standard library only.
It must build everything or raise OSError: a command never runs behind half a wall.
Everything of the host that is mounted is read-only, /proc/sys too, so only the tree can be changed.
"""

from __future__ import annotations

import os

from agents.sandboxes import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAMESPACES = (
    kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWNS
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWCGROUP
)
USER = 1000
SHARED_BYTES = 64 * 1024 * 1024
# A tmpfs may be mounted over any folder in a private mount namespace; this one exists everywhere.
STAGE = "/tmp"  # noqa: S108 - only a mount point, nothing of the host's folder is touched
NEW, OLD = "/new", "/old"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
LINK = "link"
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
# A process that is root outside may write these without a capability, as their owner.
PROC_READ_ONLY = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi")
HARMLESS = kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV
ATTRIBUTES = {"ro": HARMLESS | kernel.MOUNT_ATTR_RDONLY, "rw": HARMLESS}
# pid_max below 301 is refused by the kernel.
SMALLEST_PID_MAX = 301
# Older kernels have one pid_max for the whole machine: writing it as root would bind the host.
PID_MAX_VERSION = (6, 14)

# Landlock: every right that changes a file system, by the version that introduced it.
CHANGES_1 = 0b1_1111_1111_0010  # write a file; remove or make anything
REFER_2, TRUNCATE_3 = 1 << 13, 1 << 14


def leave(spec: dict[str, Any]) -> None:
    """Enter new namespaces; the next fork is process 1 of its own world."""
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(NAMESPACES if spec["network"] else NAMESPACES | kernel.CLONE_NEWNET)
    # Without "deny" an unprivileged process may not map a group.
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{USER} {user} 1"),
        ("gid_map", f"{USER} {group} 1"),
    ):
        _write(f"/proc/self/{name}", text)


def build(spec: dict[str, Any]) -> None:
    """Build the new root from `spec`, move into it, and give up everything that could undo it."""
    if not spec["network"]:
        kernel.bring_loopback_up()
    kernel.set_host_name("sandbox")
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_SLAVE)
    kernel.mount("tmpfs", STAGE, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=0755,size=16m")
    for folder in (NEW, OLD):
        os.mkdir(STAGE + folder, 0o755)  # noqa: PTH102
    kernel.pivot_root(STAGE, STAGE + OLD)
    os.chdir("/")
    kernel.mount("tmpfs", NEW, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=0755,size=16m")
    _system(spec)
    _devices()
    _scratch("/tmp", 0o1777, spec["tmp_bytes"])  # noqa: S108 - inside the new root
    _scratch(spec["home"], 0o700, spec["tmp_bytes"])
    for source, target, mode in spec["mounts"]:
        bind(source, target, mode)
    _proc(spec["processes"])
    kernel.restrict_mount(NEW, kernel.MOUNT_ATTR_RDONLY, recursive=False)
    os.chdir(NEW)
    kernel.pivot_root(".", ".")
    kernel.detach(".")
    os.chdir("/")
    _second_wall(spec)
    kernel.drop_capabilities()


def bind(source: str, target: str, mode: str) -> None:
    """Show a path of the host inside; for a link, `source` is its text."""
    inside = NEW + target
    if not os.path.lexists(inside):
        _make_place(source, inside, mode)
    if mode != LINK:
        # Recursive: a plain bind of a folder with mounts below is refused in a user namespace.
        kernel.mount(OLD + source, inside, flags=kernel.MS_BIND | kernel.MS_REC)
        kernel.restrict_mount(inside, ATTRIBUTES[mode], recursive=True)


def _make_place(source: str, inside: str, mode: str) -> None:
    _make_parent(inside)
    if mode == LINK:
        os.symlink(source, inside)  # noqa: PTH211
    elif os.path.isdir(OLD + source):  # noqa: PTH112
        os.mkdir(inside, 0o755)  # noqa: PTH102
    else:
        os.close(os.open(inside, os.O_CREAT | os.O_WRONLY, 0o644))


def _system(spec: dict[str, Any]) -> None:
    for path in (*SYSTEM, *spec["etc"]):
        if os.path.islink(OLD + path):  # noqa: PTH114
            bind(os.readlink(OLD + path), path, LINK)  # noqa: PTH115
        elif os.path.lexists(OLD + path):
            bind(path, path, "ro")
    for path, content in spec["files"]:
        _make_parent(NEW + path)
        _write(NEW + path, content)


def _devices() -> None:
    os.mkdir(f"{NEW}/dev", 0o755)  # noqa: PTH102
    for name in DEVICES:
        target = f"{NEW}/dev/{name}"
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        kernel.mount(f"{OLD}/dev/{name}", target, flags=kernel.MS_BIND)
    for name, to in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{to}", f"{NEW}/dev/{name}")  # noqa: PTH211
    _scratch("/dev/shm", 0o1777, SHARED_BYTES)  # noqa: S108 - inside the new root


def _scratch(path: str, mode: int, size: int) -> None:
    os.makedirs(NEW + path, 0o755, exist_ok=True)  # noqa: PTH103
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("tmpfs", NEW + path, "tmpfs", flags, f"mode={mode:o},size={size}")


def _proc(processes: int) -> None:
    os.mkdir(f"{NEW}/proc", 0o555)  # noqa: PTH102
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("proc", f"{NEW}/proc", "proc", flags)
    # No user namespace below ours, and (Linux 6.14) no more processes than allowed: RLIMIT_NPROC
    # does not bind a process that is root outside.
    _write(f"{NEW}/proc/sys/user/max_user_namespaces", "0")
    if _version() >= PID_MAX_VERSION:
        _write(f"{NEW}/proc/sys/kernel/pid_max", str(max(SMALLEST_PID_MAX, processes)))
    for name in PROC_READ_ONLY:
        path = f"{NEW}/proc/{name}"
        if os.path.lexists(path):
            kernel.mount(path, path, flags=kernel.MS_BIND | kernel.MS_REC)
            kernel.restrict_mount(path, kernel.MOUNT_ATTR_RDONLY, recursive=True)


def _version() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(c for c in minor if c.isdigit()) or 0)


def _second_wall(spec: dict[str, Any]) -> None:
    version = kernel.landlock_version()
    if not version:
        return
    handled = CHANGES_1
    handled |= REFER_2 if version >= 2 else 0
    handled |= TRUNCATE_3 if version >= 3 else 0
    writable = [target for _, target, mode in spec["mounts"] if mode == "rw"]
    folders = ["/tmp", spec["home"], "/dev", "/proc", *writable]  # noqa: S108
    kernel.landlock(handled, [(path, handled) for path in folders])


def _make_parent(path: str) -> None:
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)  # noqa: PTH103, PTH120


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
