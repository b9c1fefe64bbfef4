"""Deployer `flagd`: the share of users is a feature flag in a file that OpenFeature services read.

Made by `rollout.wiring`. The flag is what decides between the two versions; the team's hooks start,
promote and stop them. A service that reads the file late shifts late, which the monitor sees.
"""

from pathlib import Path

from rollout import flagfile, steering
from rollout.deployers import port
from rollout.hook_settings import HookSettings


class Settings(HookSettings):
    """The hooks, and the flag's own file."""

    file: Path  # read by flagd or a provider; Halon's alone
    flag: str
    key: str = "targetingKey"  # the property of the context that a user stays by


class Flagd(steering.Steered):
    """The deployer of one service whose versions are chosen by a flag."""

    abilities = port.Abilities(weights=True, drop_free=True, sticky=True, reads_back=True)

    def __init__(self, service: str, settings: Settings, folder: Path) -> None:
        switch = flagfile.Flag(str(settings.file.absolute()), settings.flag, settings.key)
        super().__init__(service, folder, settings.commands(), switch)
