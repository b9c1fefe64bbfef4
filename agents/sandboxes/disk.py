"""Bounds what a command writes to the host's disk: bytes and files, one big as well as many small.

Used by the runner while a command runs. A quota of the file system would need root and the
operator; so the free space is looked at, which costs one call, and only when it has fallen by as
much as the command may write is the tree itself counted. It must never take what someone else
wrote for the command's, unless the disk is about to be full.
"""

import os
import time
from pathlib import Path

from agents.sandboxes import contract

# How often the runner looks; a disk takes some 200 MB in that time, so much is written too much.
EVERY_SECONDS = 0.1
# What was written and deleted while it is still open cannot be counted in the tree. Past this
# multiple of what is allowed, a loss of space is taken for the command's whoever caused it.
UNSEEN = 4


class Disk:
    """Watches one tree from just before its command starts."""

    def __init__(self, tree: Path, limits: contract.Limits) -> None:
        self._tree, self._limits = tree, limits
        # File times are a clock tick behind the clock.
        self._since = time.time() - 0.05
        self._bytes, self._files = self._free()
        self._look_at = (limits.disk_bytes, limits.files)
        self._due = 0.0

    def problem(self) -> str:
        """Return what is too much, as a clause about the command; empty while all is well."""
        if time.monotonic() < self._due:
            return ""
        self._due = time.monotonic() + EVERY_SECONDS
        return self.last()

    def last(self) -> str:
        """Return the same at once, whenever it was looked at before."""
        free, files = self._free()
        # Others delete as well: the most that was ever free is the measure.
        self._bytes, self._files = max(self._bytes, free), max(self._files, files)
        lost = (self._bytes - free, self._files - files)
        if lost[0] < self._look_at[0] and lost[1] < self._look_at[1]:
            return ""
        written, made = self._written()
        if written > self._limits.disk_bytes:
            return f"it wrote more than {self._limits.disk_bytes / contract.MIB:g} MiB to the disk"
        if made > self._limits.files:
            return f"it made more than {self._limits.files} files"
        if lost[0] > UNSEEN * self._limits.disk_bytes or lost[1] > UNSEEN * self._limits.files:
            return f"the disk lost {lost[0] / contract.MIB:.0f} MiB and {lost[1]} files meanwhile"
        half = (self._limits.disk_bytes // 2, self._limits.files // 2)
        self._look_at = (
            max(self._look_at[0], lost[0] + half[0]),
            max(self._look_at[1], lost[1] + half[1]),
        )
        return ""

    def _free(self) -> tuple[int, int]:
        found = os.statvfs(self._tree)
        return found.f_bfree * found.f_frsize, found.f_ffree

    def _written(self) -> tuple[int, int]:
        """Count the bytes and files of the tree that were changed since the start."""
        total, count = 0, 0
        for folder, folders, files in os.walk(self._tree, onerror=None):
            for name in (*folders, *files):
                try:
                    state = os.lstat(os.path.join(folder, name))  # noqa: PTH118 - a hot loop
                except OSError:
                    continue
                if state.st_ctime >= self._since:
                    count += 1
                    total += state.st_blocks * 512
        return total, count
