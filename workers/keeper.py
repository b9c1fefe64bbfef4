"""Keeps one helper process alive beside a worker, and lets none outlive it.

Used by `halon worker --queue urgent` for the watch of the hotfix inboxes. The helper has a process
to itself, since the worker forks and must have no threads.
"""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

PAUSE_SECONDS = 5.0  # between two lives of a helper that ends at once
END_SECONDS = 20.0
_PR_SET_PDEATHSIG = 1


@contextmanager
def kept(argv: Sequence[str]) -> Iterator[Callable[[], None] | None]:
    """Start a helper and give the call that starts it again where it has died; None for no argv."""
    if not argv:
        yield None
        return
    mine = os.getpid()
    lives = [(time.monotonic(), subprocess.Popen(argv))]

    def keep() -> None:
        began, process = lives[-1]
        gone = os.getpid() == mine and process.poll() is not None
        if gone and time.monotonic() - began > PAUSE_SECONDS:
            lives.append((time.monotonic(), subprocess.Popen(argv)))

    try:
        yield keep
    finally:
        if os.getpid() == mine:
            lives[-1][1].terminate()
            try:
                lives[-1][1].wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                lives[-1][1].kill()


def die_with_parent() -> None:
    """Ask the kernel to end this process with its parent, whatever ended that one."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != parent:
        os._exit(1)
