"""The few Linux calls that Python 3.11 does not offer, by ctypes, each raising OSError.

Called by the launcher and the walls, which run with the standard library only. x86_64 and arm64
share the numbers used here but for two. It must hold no policy.
"""

import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_SLAVE = 4096, 16384, 1 << 19
MNT_DETACH = 2

MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 1, 2, 4
MOUNT_ATTR_IDMAP = 0x100000
AT_FDCWD, AT_RECURSIVE, AT_EMPTY_PATH = -100, 0x8000, 0x1000
OPEN_TREE_CLONE, MOVE_MOUNT_F_EMPTY_PATH = 1, 4

PR_SET_DUMPABLE = 4
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER = 1, 24, 36
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4

SYS_PIVOT_ROOT = 155 if os.uname().machine == "x86_64" else 41
SYS_CAPSET = 126 if os.uname().machine == "x86_64" else 91
SYS_OPEN_TREE, SYS_MOVE_MOUNT, SYS_MOUNT_SETATTR = 428, 429, 442
SYS_LANDLOCK_CREATE, SYS_LANDLOCK_ADD, SYS_LANDLOCK_RESTRICT = 444, 445, 446
LANDLOCK_CREATE_RULESET_VERSION = 1
LANDLOCK_RULE_PATH_BENEATH = 1
LAST_CAPABILITY = 63

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
AF_INET, SOCK_DGRAM = 2, 2

_libc = ctypes.CDLL(None, use_errno=True)


class MountAttributes(ctypes.Structure):
    """The kernel's `struct mount_attr`."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


class PathBeneath(ctypes.Structure):
    """The kernel's packed `struct landlock_path_beneath_attr`."""

    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def _checked(code: int, what: str) -> int:
    if code < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return code


def unshare(flags: int) -> None:
    """Leave the namespaces of the parent."""
    _checked(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount or bind `source` at `target`."""
    code = _libc.mount(
        source.encode(),
        target.encode(),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        options.encode() or None,
    )
    _checked(code, f"mount {source} on {target}")


def restrict_mount(target: str, attributes: int, *, recursive: bool) -> None:
    """Set attributes of a mount and, if wanted, of every mount below it (Linux 5.12)."""
    value = MountAttributes(attr_set=attributes)
    code = _libc.syscall(
        ctypes.c_long(SYS_MOUNT_SETATTR),
        ctypes.c_int(AT_FDCWD),
        target.encode(),
        ctypes.c_uint(AT_RECURSIVE if recursive else 0),
        ctypes.byref(value),
        ctypes.c_size_t(ctypes.sizeof(value)),
    )
    _checked(code, f"mount_setattr {target}")


def open_tree(path: str) -> int:
    """Clone the mounts at and below a path into a descriptor, attached nowhere (Linux 5.2)."""
    flags = OPEN_TREE_CLONE | AT_RECURSIVE | os.O_CLOEXEC
    code = _libc.syscall(
        ctypes.c_long(SYS_OPEN_TREE), ctypes.c_int(AT_FDCWD), path.encode(), ctypes.c_uint(flags)
    )
    return _checked(code, f"open_tree {path}")


def map_owners(tree: int, user_namespace: int) -> None:
    """Show the owners of a cloned tree as a user namespace maps them (Linux 5.12)."""
    value = MountAttributes(attr_set=MOUNT_ATTR_IDMAP, userns_fd=user_namespace)
    code = _libc.syscall(
        ctypes.c_long(SYS_MOUNT_SETATTR),
        ctypes.c_int(tree),
        b"",
        ctypes.c_uint(AT_EMPTY_PATH | AT_RECURSIVE),
        ctypes.byref(value),
        ctypes.c_size_t(ctypes.sizeof(value)),
    )
    _checked(code, "mount_setattr")


def move_mount(tree: int, target: str) -> None:
    """Attach a cloned tree to a path."""
    code = _libc.syscall(
        ctypes.c_long(SYS_MOVE_MOUNT),
        ctypes.c_int(tree),
        b"",
        ctypes.c_int(AT_FDCWD),
        target.encode(),
        ctypes.c_uint(MOVE_MOUNT_F_EMPTY_PATH),
    )
    _checked(code, f"move_mount {target}")


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root and put the former root at `old`."""
    code = _libc.syscall(ctypes.c_long(SYS_PIVOT_ROOT), new.encode(), old.encode())
    _checked(code, f"pivot_root {new}")


def detach(target: str) -> None:
    """Unmount lazily, with everything below."""
    _checked(_libc.umount2(target.encode(), MNT_DETACH), f"umount {target}")


def set_host_name(name: str) -> None:
    """Name this machine, in its own UTS namespace."""
    _checked(_libc.sethostname(name.encode(), ctypes.c_size_t(len(name))), "sethostname")


def prctl(option: int, value: int) -> None:
    """Set one attribute of this process."""
    words = (ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))
    _checked(_libc.prctl(ctypes.c_int(option), *words), f"prctl {option}")


def bring_loopback_up() -> None:
    """Set IFF_UP on `lo` of this network namespace."""
    fd = _checked(_libc.socket(AF_INET, SOCK_DGRAM, 0), "socket")
    try:
        request = ctypes.create_string_buffer(40)
        request.raw = b"lo".ljust(40, b"\0")
        _checked(_libc.ioctl(fd, ctypes.c_ulong(SIOCGIFFLAGS), request), "SIOCGIFFLAGS")
        flags = int.from_bytes(request.raw[16:18], "little") | IFF_UP
        request.raw = request.raw[:16] + flags.to_bytes(2, "little") + request.raw[18:]
        _checked(_libc.ioctl(fd, ctypes.c_ulong(SIOCSIFFLAGS), request), "SIOCSIFFLAGS")
    finally:
        os.close(fd)


def drop_capabilities() -> None:
    """Give up every capability for good, also across execve of set-user-id programs."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    _libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for capability in range(LAST_CAPABILITY + 1):
        if _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            break
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    nothing = (ctypes.c_uint32 * 6)()
    code = _libc.syscall(ctypes.c_long(SYS_CAPSET), ctypes.byref(header), ctypes.byref(nothing))
    _checked(code, "capset")


def landlock_version() -> int:
    """Give the Landlock version of this kernel, 0 when it has none."""
    code = _libc.syscall(
        ctypes.c_long(SYS_LANDLOCK_CREATE),
        None,
        ctypes.c_size_t(0),
        ctypes.c_uint32(LANDLOCK_CREATE_RULESET_VERSION),
    )
    return max(0, int(code))


def landlock(handled: int, rules: list[tuple[str, int]]) -> None:
    """Refuse the `handled` rights on files everywhere but beneath the paths of `rules`."""
    attribute = ctypes.c_uint64(handled)
    ruleset = _checked(
        _libc.syscall(
            ctypes.c_long(SYS_LANDLOCK_CREATE),
            ctypes.byref(attribute),
            ctypes.c_size_t(8),
            ctypes.c_uint32(0),
        ),
        "landlock_create_ruleset",
    )
    try:
        for path, access in rules:
            _allow(ruleset, path, access)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        code = _libc.syscall(
            ctypes.c_long(SYS_LANDLOCK_RESTRICT), ctypes.c_int(ruleset), ctypes.c_uint32(0)
        )
        _checked(code, "landlock_restrict_self")
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = PathBeneath(allowed_access=access, parent_fd=fd)
        code = _libc.syscall(
            ctypes.c_long(SYS_LANDLOCK_ADD),
            ctypes.c_int(ruleset),
            ctypes.c_int(LANDLOCK_RULE_PATH_BENEATH),
            ctypes.byref(rule),
            ctypes.c_uint32(0),
        )
        _checked(code, f"landlock_add_rule {path}")
    finally:
        os.close(fd)
