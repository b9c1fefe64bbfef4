"""Named places at which a test may kill the process: every step and effect boundary calls `point`.

Armed by an entry point (`arm_from_environment`) or by a test (`arm`, `watch`); unarmed it costs one
comparison. `HALON_CRASH_AT` names a point, or "point/detail" for one step or effect of that name;
`HALON_CRASH_MARK` is a file that is made by the one crash, so that the next life is not killed too.
"""

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

# Every point of the store and what a crash there means; other packages add theirs by `register`.
POINTS: dict[str, str] = {
    "run.claimed": "the run is ours, nothing of it has started",
    "step.before": "nothing of the step has happened",
    "step.worked": "the step's work is done and not recorded: it runs again",
    "step.recorded": "the step is recorded: it never runs again",
    "effect.before": "nothing is written",
    "effect.intended": "the intent is written, nothing was made outside",
    "effect.made": "made outside, not recorded: it is looked up, not made again",
    "effect.recorded": "made and recorded",
    "run.finishing": "all steps are done, the run is not finished",
    "run.finished": "the run is finished and what follows is queued",
}
_hook: Callable[[str, str], None] | None = None


class Crash(BaseException):
    """Stands for SIGKILL inside one process: no `except Exception` may swallow it."""


def register(name: str, meaning: str) -> str:
    """Add a point of another package to the registry and return its name."""
    POINTS[name] = meaning
    return name


def point(name: str, detail: str = "") -> None:
    """Die here if this point is armed; `detail` (a step's name, an effect's key) narrows it."""
    if _hook is not None:
        _hook(name, detail)


def arm(at: str, die: Callable[[], None]) -> None:
    """Call `die` the first time that the point `at` ("name" or "name/detail") is reached."""

    def hook(name: str, detail: str) -> None:
        if at in (name, f"{name}/{detail}"):
            disarm()
            die()

    watch(hook)


def watch(hook: Callable[[str, str], None]) -> None:
    """Call `hook` at every point; a test lists this way which ones a flow really passes."""
    global _hook
    _hook = hook


def disarm() -> None:
    """Return to costing nothing."""
    global _hook
    _hook = None


def raise_crash() -> None:
    """End the work as a SIGKILL would, as far as one process can."""
    raise Crash


def arm_from_environment(environment: Mapping[str, str]) -> None:
    """Arm as `HALON_CRASH_AT` says; does nothing without it or after the mark was made."""
    at, mark = environment.get("HALON_CRASH_AT"), environment.get("HALON_CRASH_MARK")
    if not at or (mark and Path(mark).exists()):
        return

    def die() -> None:
        if mark:
            try:
                Path(mark).touch(exist_ok=False)
            except FileExistsError:
                return  # another process has had the one crash
        os.kill(os.getpid(), signal.SIGKILL)

    arm(at, die)
