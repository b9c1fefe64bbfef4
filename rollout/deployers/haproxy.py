"""Deployer `haproxy`: weights by HAProxy's runtime socket, artefacts by the team's hooks.

Made by `rollout.wiring`. HAProxy knows servers and no revisions, so the hooks start, promote and
stop what runs behind them; see haproxy.cfg.example beside this file.
"""

from pathlib import Path

from rollout import haproxy, steering
from rollout.deployers import port
from rollout.hook_settings import HAProxySettings, HookSettings


class Settings(HookSettings, HAProxySettings):
    """The hooks, and the backend whose weights are moved."""


class HAProxy(steering.Steered):
    """The deployer of one service behind one HAProxy backend."""

    abilities = port.Abilities(weights=True, drop_free=True, sticky=False, reads_back=True)

    def __init__(self, service: str, settings: Settings, folder: Path) -> None:
        switch = haproxy.Backend(
            settings.socket, settings.backend, settings.stable, settings.canary, settings.config
        )
        super().__init__(service, folder, settings.commands(), switch)
