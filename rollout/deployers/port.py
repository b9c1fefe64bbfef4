"""What every deployer can do. Implemented beside this file; chosen by name in `rollout.wiring`.

A token is the commander's fence as a decimal number: a smaller one than was seen before is refused
with `errors.StaleFence`, the same one may repeat. Every command is idempotent, is read back before
it returns, and raises `errors.TemporaryFailure` when the world did not follow in time.
"""

from dataclasses import dataclass
from typing import Protocol

from incidents.reports import DeploymentPlan
from rollout.observations import Observed as Observed
from rollout.observations import Problem as Problem

NEWEST = "newest"


@dataclass(frozen=True)
class Abilities:
    """What a deployer can promise; the plan and its gaps depend on it."""

    weights: bool  # any percentage, or all-or-nothing
    drop_free: bool  # shifting loses no request
    sticky: bool  # one user stays on one version
    reads_back: bool  # `observe` asks the world, not our memory


class Deployer(Protocol):
    """Moves one service's traffic between revisions."""

    @property
    def abilities(self) -> Abilities:
        """What it can promise."""
        ...

    def preflight(self, plan: DeploymentPlan) -> list[Problem]:
        """Return what speaks against this plan now; changes nothing."""
        ...

    def prepare(self, plan: DeploymentPlan, token: str) -> Observed:
        """Make the canary ready at weight 0, and the safe version ready to return to."""
        ...

    def set_weight(self, percent: int, token: str) -> Observed:
        """Send this share of the traffic to the canary."""
        ...

    def observe(self) -> Observed:
        """Return what is; raises `errors.TemporaryFailure` when it cannot be seen."""
        ...

    def promote(self, token: str) -> Observed:
        """Make the canary the stable version."""
        ...

    def take_back(self, to: str, token: str) -> Observed:
        """Take all traffic off the canary and serve revision `to` as stable."""
        ...

    def take_back_argv(self, to: str, token: str) -> list[str]:
        """Return a command that does `take_back` with nothing else of Halon alive.

        The token `NEWEST` is for people: it speaks with the newest fence that production has seen.
        """
        ...
