"""What shifts traffic between two fixed sides: HAProxy, a flag file; and what it says of itself.

Used by `rollout.steering`; implemented in `rollout.haproxy` and `rollout.flagfile`. Only the
standard library.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from rollout.observations import Problem


@dataclass(frozen=True)
class Reading:
    """What a switch says of the traffic; health is None where it cannot know."""

    weight: int
    stable_healthy: bool | None = None
    canary_healthy: bool | None = None
    trouble: str | None = None


class Switch(Protocol):
    """Shifts traffic between two fixed sides; a frozen dataclass, so that it can be written down.

    Each method raises `errors.TemporaryFailure` when the switch does not answer.
    """

    kind: ClassVar[str]

    def set(self, percent: int) -> None:
        """Send this share to the canary's side."""
        ...

    def read(self) -> Reading:
        """Return where the traffic goes, as the switch itself says."""
        ...

    def drained(self) -> bool:
        """Return whether no request is left on the canary's side."""
        ...

    def problems(self) -> list[Problem]:
        """Return what in the switch's own settings speaks against a rollout."""
        ...
