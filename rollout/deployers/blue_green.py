"""Deployer `blue_green`: all or nothing, switched by a hook or by a HAProxy backend.

Made by `rollout.wiring`. The new version gets the whole traffic in one step; the same gates judge
it, and the way back is the same.
"""

from pathlib import Path
from typing import Self

from pydantic import model_validator

from rollout import haproxy, steering
from rollout.deployers import port
from rollout.hook_settings import Argv, HAProxySettings, HookSettings


class Settings(HookSettings):
    """The hooks, and exactly one of `switch` and `haproxy`."""

    switch: Argv | None = None  # send all traffic to the new version, or (HALON_PERCENT=0) none
    haproxy: HAProxySettings | None = None
    drop_free: bool = False  # of `switch`; HAProxy loses no request

    @model_validator(mode="after")
    def _one_switch(self) -> Self:
        if (self.switch is None) == (self.haproxy is None):
            raise ValueError("name either `switch` (a hook) or `haproxy` (a table)")
        return self


class BlueGreen(steering.Steered):
    """The deployer of one service with two places, one of which serves."""

    def __init__(self, service: str, settings: Settings, folder: Path) -> None:
        commands, given, switch = settings.commands(), settings.haproxy, None
        if given is not None:
            switch = haproxy.Backend(
                given.socket, given.backend, given.stable, given.canary, given.config
            )
        if settings.switch:
            commands = commands.adding("set_weight", settings.switch)
        super().__init__(service, folder, commands, switch, binary=True)
        self.abilities = port.Abilities(
            weights=False,
            drop_free=settings.drop_free or switch is not None,
            sticky=True,
            reads_back=True,
        )
