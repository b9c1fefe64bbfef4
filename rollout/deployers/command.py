"""Deployer `command`: a team's own hooks move artefacts and traffic; docs/hooks.md tells how.

Made by `rollout.wiring`. It believes no hook: what `observe` prints decides whether a command is
done.
"""

from pathlib import Path

from rollout import steering
from rollout.deployers import port
from rollout.hook_settings import Argv, HookSettings


class Settings(HookSettings):
    """The hooks, and what the team says that they can promise."""

    set_weight: Argv  # send HALON_PERCENT of the traffic to the canary
    drop_free: bool = False  # shifting loses no request
    sticky: bool = False  # one user stays on one version


class Command(steering.Steered):
    """The deployer of one service that is deployed by hooks."""

    def __init__(self, service: str, settings: Settings, folder: Path) -> None:
        super().__init__(service, folder, settings.commands())
        self.abilities = port.Abilities(
            weights=True, drop_free=settings.drop_free, sticky=settings.sticky, reads_back=True
        )
