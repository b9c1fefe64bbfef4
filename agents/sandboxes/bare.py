"""No walls at all: clean environment, limits, deadline; only by the operator's explicit word.

Chosen with HALON_SANDBOX=none. The command can read and write whatever Halon's user can, and reach
the network; everything it started is still killed at the end.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from agents.sandboxes import contract, plan, runner


class Bare:
    """Runs commands on the host itself."""

    name = "none"

    def run(
        self, argv: Sequence[str], profile: contract.Profile, limits: contract.Limits
    ) -> contract.Completed:
        """Run `argv` on the host, with a home and temporary folder of its own."""
        with tempfile.TemporaryDirectory(prefix="halon-bare-") as folder:
            spec = plan.specification(self.name, argv, profile, limits)
            spec["env"] |= {"HOME": folder, "TMPDIR": folder, **profile.env}
            # The kernel counts every process of this user, not only those of the command.
            spec["limits"]["RLIMIT_NPROC"] += _own_processes()
            return runner.run(self.name, argv, spec, limits)


def _own_processes() -> int:
    user, count = os.geteuid(), 0
    for path in Path("/proc").iterdir():
        try:
            if path.name.isdigit() and path.stat().st_uid == user:
                count += sum(1 for _ in (path / "task").iterdir())
        except OSError:
            continue
    return count
