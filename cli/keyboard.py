"""Single keys from a terminal without waiting; `halon demo` answers questions with them."""

import contextlib
import select
import sys
import termios
import tty
from collections.abc import Iterator


class Keys:
    """Keys pressed so far, one at a time; never blocks."""

    def __init__(self, reading: bool) -> None:
        self._reading = reading

    def pressed(self) -> str | None:
        """Return the next key, None when nothing was pressed or there is no terminal."""
        if not self._reading or not select.select([sys.stdin], [], [], 0)[0]:
            return None
        return sys.stdin.read(1).lower() or None


@contextlib.contextmanager
def listening(wanted: bool) -> Iterator[Keys]:
    """Read single keys while the block runs, and leave the terminal as it was."""
    if not wanted:
        yield Keys(False)
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield Keys(True)
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
