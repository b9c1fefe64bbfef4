"""How a Halon that runs as root becomes an unprivileged user before anything hostile starts.

Called by the launcher, before it builds or starts a sandbox, with the standard library only.
Folders of root's are shown in a private mount namespace with their owner mapped to that user, so
that what is written belongs to root on disk and the process that wrote it never was. It must never
go on as root: what fails here is an OSError, and the command does not run.
"""

from __future__ import annotations

import os

from agents.sandboxes import kernel

# Ids that no distribution, container or service manager hands out (systemd's UIDS-GIDS list), so
# that no other process of the machine has the same; concurrent sandboxes have different ones.
FIRST, COUNT = 0x7000_0000, 1 << 20
NOBODY = 65534
DIRECTORY = 0o040000
# Over this folder lies a file system of our own, in our own namespace; it exists everywhere.
STAGE = "/tmp"  # noqa: S108 - only a mount point, nothing of the host's folder is touched


def descend(mounts: list[tuple[str, bool]]) -> dict[str, str]:
    """Become an unprivileged user who can reach these paths (each with whether it is written to).

    Returns where a path is shown to that user, if not at its own place.
    """
    user = chosen()
    if user == 0:
        return {}  # only one id exists here: root of this container is an ordinary user outside
    places = _shown(mounts, user)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    # Becoming another user hides a process's own files in /proc from itself.
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
    return places


def chosen() -> int:
    """Choose an id that is mapped here: in a container of an ordinary user few are."""
    with open("/proc/self/uid_map") as lines:  # noqa: PTH123 - pathlib costs more than this program
        ranges = [[int(word) for word in line.split()] for line in lines]
    for user in (FIRST + os.getpid() % COUNT, NOBODY):
        if any(first <= user < first + count for first, _outside, count in ranges):
            return user
    return ranges[-1][0] + ranges[-1][2] - 1


def _shown(mounts: list[tuple[str, bool]], user: int) -> dict[str, str]:
    try:
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_SLAVE)
    except PermissionError:
        # Root without the right to mount, as in many containers: the paths stay where they are.
        for source, written in mounts:
            if written:
                _give(source, user)
        return {}
    namespace = _owner_map(user)
    clones = [(source, _clone(source, namespace, user, written)) for source, written in mounts]
    os.close(namespace)
    kernel.mount("tmpfs", STAGE, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=0755,size=1m")
    places = {}
    for index, (source, clone) in enumerate(clones):
        places[source] = f"{STAGE}/halon-{index}"
        _attach(clone, places[source])
        os.close(clone)
    return places


def _clone(source: str, namespace: int, user: int, written: bool) -> int:
    """Clone the mounts below a path, files of root's shown as the user's."""
    clone = kernel.open_tree(source)
    try:
        kernel.map_owners(clone, namespace)
    except OSError:
        # A file system that cannot (overlay, NFS): what all may read is read all the same, and the
        # tree that is written to, which Halon made for this command, is given to the user.
        os.close(clone)
        if written:
            _give(source, user)
        return kernel.open_tree(source)
    return clone


def _give(folder: str, user: int) -> None:
    os.chown(folder, user, user)
    for path, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.lchown(f"{path}/{name}", user, user)


def _owner_map(user: int) -> int:
    """Make a user namespace that holds nothing but the map from root to the user."""
    ready, ready_writer = os.pipe()
    done, done_writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(done_writer)
            kernel.unshare(kernel.CLONE_NEWUSER)
            os.write(ready_writer, b".")
            os.read(done, 1)
        finally:
            os._exit(0)
    try:
        os.close(ready_writer)
        if not os.read(ready, 1):
            raise OSError("no user namespace can be made here")
        for name in ("uid_map", "gid_map"):
            fd = os.open(f"/proc/{pid}/{name}", os.O_WRONLY)
            os.write(fd, f"0 {user} 1".encode())
            os.close(fd)
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        for fd in (ready, done, done_writer):
            os.close(fd)
        os.waitpid(pid, 0)


def _attach(clone: int, target: str) -> None:
    if os.fstat(clone).st_mode & DIRECTORY:
        os.mkdir(target, 0o755)  # noqa: PTH102
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    kernel.move_mount(clone, target)
