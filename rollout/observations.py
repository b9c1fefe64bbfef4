"""What a deployer sees and what speaks against starting: the two values that every one returns.

Handed out by `rollout.deployers.port`. Only the standard library, because the way back speaks in
them with nothing else installed.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Problem:
    """Something that speaks against starting; `fatal`: it must not start."""

    text: str
    fatal: bool = True


@dataclass(frozen=True)
class Observed:
    """What is, read from outside. `weight` in percent to the canary; None revision: none runs."""

    weight: int
    stable_revision: str | None
    canary_revision: str | None
    stable_healthy: bool
    canary_healthy: bool
    at: datetime
    settled: bool = True  # what was last commanded is what is
    standby_healthy: bool | None = None  # None: no standby was asked for
    fence: int = 0
    trouble: str | None = None
