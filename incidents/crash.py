"""Named places at which a test may kill the process: every step and effect boundary calls `point`.

Armed by an entry point (`arm_from_environment`) or by a test (`arm`); unarmed it costs one
comparison. Never armed in production.
"""

from collections.abc import Callable

POINTS: dict[str, str] = {}
_hook: Callable[[str], None] | None = None


class Crash(BaseException):
    """Stands for SIGKILL inside one process: no `except Exception` may swallow it."""


def point(name: str, detail: str = "") -> None:
    """Die here if this point is armed; `detail` (a step's name) narrows it."""
    if _hook is not None:
        raise NotImplementedError
