"""What kind of file system a path lies on: SQLite's write-ahead log needs a local one.

Asked by the store before it opens a file and by the doctor. A file that several hosts share would
be torn by them: from the second host on Halon needs PostgreSQL.
"""

from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
# They keep neither the shared memory nor the locks of SQLite's write-ahead log.
NETWORK = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "ocfs2"),
        *("glusterfs", "fuse.glusterfs", "fuse.sshfs"),
    )
)


def network(place: Path, mounts: Path = MOUNTS) -> str | None:
    """Return the kind of network file system that a path lies on, None for a local one."""
    kind = _kind(place, mounts)
    return kind if kind in NETWORK else None


def _kind(place: Path, mounts: Path) -> str | None:
    there = next(path for path in (place, *place.parents) if path.exists()).resolve()
    best, kind = -1, None
    try:
        lines = mounts.read_text("utf-8", "replace").splitlines()
    except OSError:
        return None  # not Linux, or closed to us: nothing is known against it
    for line in lines:
        before, _, after = line.partition(" - ")
        mounted = Path(before.split()[4].encode().decode("unicode_escape"))
        if there.is_relative_to(mounted) and len(mounted.parts) >= best:
            best, kind = len(mounted.parts), after.split()[0]
    return kind
