"""How much of a run's time is left; a stage that finds none ends with what it knows.

Made once per run by the engine; the only clock of the engine's parts.
"""

import time
from dataclasses import dataclass, field

from incidents import errors


@dataclass(frozen=True)
class Deadline:
    """Seconds of wall time from the moment it is made."""

    seconds: float
    started: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def left(self) -> float:
        """Seconds that remain, never below zero."""
        return max(0.0, self.seconds - self.spent)

    def check(self, need: float = 0.0) -> None:
        """Raise `errors.TimeSpent` unless more than `need` seconds remain."""
        if self.left <= need:
            raise errors.TimeSpent(
                f"The budget of {self.seconds:.0f} s is used up; give this run more time."
            )
