"""How long things take in a rollout, and what of it a time scale shortens.

Used by the tick, the deploy stage and the controller. Pure.
"""

from dataclasses import dataclass
from datetime import timedelta

# However fast the clock of a demo runs: a busy machine is late by seconds, and is no absence.
LEAST_LEASE = 10.0


@dataclass(frozen=True)
class Timing:
    """Durations of a rollout, divided by the time scale where the policy sets them.

    What machines need (a process to start, a line to be written) does not shrink with the scale.
    """

    scale: float
    bucket: timedelta
    approval: timedelta
    gap: timedelta  # data or production unseen this long: blind
    lease: timedelta  # a controller away this long: nobody was watching
    stale: timedelta
    lag: timedelta  # how late a line may be written
    prepare: timedelta
    take_back: timedelta

    @classmethod
    def scaled(cls, scale: float) -> "Timing":
        """Return the default durations divided by a time scale."""

        def part(seconds: float, floor: float) -> timedelta:
            return timedelta(seconds=max(seconds / scale, floor))

        return cls(
            scale=scale,
            bucket=timedelta(seconds=5) / scale,
            approval=part(1800, 60),
            gap=part(120, 5),
            lease=part(90, LEAST_LEASE),
            stale=part(10, 3),
            lag=part(1, 0.25),
            prepare=part(300, 60),
            take_back=part(300, 60),
        )

    def real(self, seconds: float) -> timedelta:
        """Return a duration of the plan as it really lasts."""
        return timedelta(seconds=seconds) / self.scale
