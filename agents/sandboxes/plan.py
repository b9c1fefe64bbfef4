"""Turns a profile and limits into the specification that launcher, walls and inside understand.

Called by the variants. It decides what is visible inside; it must never list a folder of the host
that the profile or the command does not need.
"""

import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.sandboxes import commands, contract

HOME = "/home/agent"
TMP_BYTES = 512 * contract.MIB
ETC = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/java-17-openjdk",
    "/etc/java-21-openjdk",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/locale.alias",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/services",
    # Not the whole folder: root's private keys lie beside them.
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
)
FILES = (
    ("/etc/passwd", f"root:x:0:0::/:/bin/false\nagent:x:1000:1000::{HOME}:/bin/sh\n"),
    ("/etc/group", "root:x:0:\nagent:x:1000:\n"),
    ("/etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost sandbox\n"),
    ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
)
# In their place where the network is the host's: what names are asked of, and by which road.
RESOLVING = ("/etc/hosts", "/etc/resolv.conf")
ASKING = ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
# The modes of a mount: a symbolic link is made anew, so that chains of links work as on the host.
READ_ONLY, WRITABLE, LINK = "ro", "rw", "link"


@dataclass(frozen=True)
class Mount:
    """One path of the host that is shown inside, at the same place."""

    # For a link its text, else the path without any symbolic link.
    source: str
    target: str
    mode: str


def mounts(profile: contract.Profile, needed: Sequence[Path]) -> list[Mount]:
    """List what the profile and its commands need, parents before children, the tree in between."""
    tree = _tree(profile)
    wanted: dict[Path, str] = {}
    for path in (*profile.read_only, *needed):
        absolute = Path(os.path.abspath(path))  # noqa: PTH100 - must keep symbolic links
        wanted[absolute] = READ_ONLY
        wanted.setdefault(absolute.resolve(), READ_ONLY)
    wanted = {p: m for p, m in wanted.items() if not p.is_relative_to(tree) and _is_shown(p)}
    wanted[tree] = WRITABLE if profile.writable else READ_ONLY
    for path in (*profile.read_only, tree / ".git"):
        if path.is_relative_to(tree) and path != tree and not path.is_symlink() and path.exists():
            wanted[path] = READ_ONLY
    return [_mount(path, wanted[path]) for path in sorted(wanted, key=lambda p: len(p.parts))]


def specification(
    kind: str, argv: Sequence[str], profile: contract.Profile, limits: contract.Limits
) -> dict[str, Any]:
    """Give the whole specification of one command, in values that `marshal` can carry."""
    tree = _tree(profile)
    stand_ins = profile.stand_ins()
    programs = [argv[0], *(stand_in.argv[0] for stand_in in stand_ins)]
    needed = _needed(argv, profile)
    visible = [Path(path) for path in (*profile.read_only, *needed)]
    return {
        "kind": kind,
        "cwd": str(tree),
        "home": HOME,
        "env": commands.environment(programs, tree, visible, profile.env, HOME),
        "setup": [
            {"argv": list(s.argv), "port": s.port, "seconds": float(s.seconds)} for s in stand_ins
        ],
        "limits": resource_limits(limits),
        "mounts": [(m.source, m.target, m.mode) for m in mounts(profile, needed)],
        # Of Halon's own: what the variant itself must be able to read as an unprivileged user.
        "own": [],
        "etc": [path for path in ETC if os.path.lexists(path)],
        "files": _files(profile.network),
        "network": profile.network,
        "tmp_bytes": TMP_BYTES,
        "processes": limits.processes,
        "total_memory": limits.total_memory_bytes,
        "scratch": ["/tmp", HOME, "/dev/shm"],  # noqa: S108 - inside the sandbox
        "most_files": limits.files,
    }


def _files(network: bool) -> list[tuple[str, str]]:
    """Give the files of /etc that are made up, or with the host's network taken over."""
    if not network:
        return list(FILES)
    found = dict(FILES) | dict([ASKING])
    for name in RESOLVING:
        with contextlib.suppress(OSError):
            found[name] = Path(name).read_text("utf-8", "replace")
    return list(found.items())


def resource_limits(limits: contract.Limits) -> dict[str, int]:
    """Give the resource limits of each process inside.

    RLIMIT_DATA, not RLIMIT_AS: Node, Go and Java reserve far more address space than they touch.
    """
    return {
        "RLIMIT_DATA": limits.memory_bytes,
        "RLIMIT_NPROC": limits.processes,
        "RLIMIT_FSIZE": limits.file_bytes,
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": 4096,
    }


def _tree(profile: contract.Profile) -> Path:
    tree = profile.tree.resolve()
    if not tree.is_dir():
        raise contract.SandboxBroken(f"The working tree {str(profile.tree)!r} is not a folder.")
    return tree


def _needed(argv: Sequence[str], profile: contract.Profile) -> list[Path]:
    """Give the mounts of the command's and the stand-ins' programs, and of Python in any case.

    A command is often a shell line or a `make` target that starts Python further down.
    """
    tree = _tree(profile)
    known = [Path(path) for path in profile.read_only]
    stand_ins = [stand_in.argv[0] for stand_in in profile.stand_ins()]
    found = commands.needed_by(Path(sys.executable))
    for name in dict.fromkeys((argv[0], *stand_ins, *commands.PYTHONS)):
        program = commands.find(name, tree, known)
        if program is not None and not commands.is_system(program.resolve()):
            found += commands.needed_by(program)
    found += commands.interpreter_mounts([argv[0]], tree)
    # A virtual environment that is mounted needs the interpreter it was made from.
    for prefix in known:
        if (prefix / "pyvenv.cfg").is_file():
            found += commands.needed_by(prefix / "bin" / "python")
    return list(dict.fromkeys(found))


def _is_shown(path: Path) -> bool:
    return not commands.is_system(path) and os.path.lexists(path)


def _mount(path: Path, mode: str) -> Mount:
    if path.is_symlink():
        return Mount(str(path.readlink()), str(path), LINK)
    return Mount(str(path.resolve()), str(path), mode)
