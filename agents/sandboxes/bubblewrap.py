"""The sandbox that bubblewrap (`bwrap` 0.8 or newer) builds; preferred where it is installed.

bwrap is started with an empty environment, since what it starts could read its own. Our program
inside is process 1 of its world: no signal of the command can stop or end it.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agents.sandboxes import commands, contract, inside, plan, runner, walls

OWN = str(Path(inside.__file__).resolve().parent)
INSIDE = "/run/halon"
# An import, not a script: only an imported module is read from its compiled file.
BOOT = f"import sys; sys.path.insert(0, {INSIDE!r}); import inside; inside.main()"
ISOLATION = (
    *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"),
    *("--unshare-cgroup-try", "--uid", "1000", "--gid", "1000", "--disable-userns"),
    *(
        "--as-pid-1",
        "--die-with-parent",
        "--new-session",
        "--hostname",
        "sandbox",
        "--cap-drop",
        "ALL",
    ),
)
FLAGS = {plan.READ_ONLY: "--ro-bind", plan.WRITABLE: "--bind", plan.LINK: "--symlink"}


class Bubblewrap:
    """Needs the program `bwrap` and user namespaces for this user."""

    name = "bubblewrap"

    def run(
        self, argv: Sequence[str], profile: contract.Profile, limits: contract.Limits
    ) -> contract.Completed:
        """Run `argv` behind bubblewrap's walls."""
        program = shutil.which("bwrap")
        if program is None:
            raise contract.SandboxBroken("The program 'bwrap' is not installed.")
        spec = plan.specification(self.name, argv, profile, limits)
        spec["own"] = [OWN]
        spec["bwrap"] = [program, *_arguments(spec)]
        spec["inside"] = [sys.executable, "-I", "-S", "-c", BOOT]
        return runner.run(self.name, argv, spec, limits)


def _arguments(spec: dict[str, Any]) -> list[str]:
    words = [*ISOLATION, *([] if spec["network"] else ["--unshare-net"])]
    words += ["--ro-bind", "/usr", "/usr"]
    for folder in commands.SYSTEM[1:]:
        words += _system(Path(folder))
    for path in spec["etc"]:
        words += _system(Path(path))
    words += ["--proc", "/proc", "--dev", "/dev"]
    # Its /dev would be a file system without a size.
    words += ["--size", str(walls.SHARED_BYTES), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]  # noqa: S108
    # bwrap leaves /proc/sys as it is, whose files a process that is root outside may write as their
    # owner, without any capability: core_pattern alone would be a way out.
    for name in walls.PROC_READ_ONLY:
        words += ["--ro-bind-try", f"/proc/{name}", f"/proc/{name}"]
    for folder, mode in (("/tmp", "1777"), (spec["home"], "0700")):  # noqa: S108
        words += ["--perms", mode, "--size", str(spec["tmp_bytes"]), "--tmpfs", folder]
    for source, target, mode in spec["mounts"]:
        words += [FLAGS[mode], source, target]
    return [*words, "--ro-bind", OWN, INSIDE]


def _system(path: Path) -> list[str]:
    if path.is_symlink():
        return ["--symlink", str(path.readlink()), str(path)]
    return ["--ro-bind", str(path), str(path)] if os.path.lexists(path) else []
