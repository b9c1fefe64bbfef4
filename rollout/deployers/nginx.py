"""Deployer `nginx`: shares by an include of nginx and a reload, artefacts by hooks.

Made by `rollout.wiring`. Not drop-free: a reload cuts connections that clients keep, so it is
refused unless the team says that it may.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from rollout import nginxfile, steering
from rollout.deployers import port
from rollout.hook_settings import Argv, HookSettings

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]


class Settings(HookSettings):
    """The hooks, the include, and how nginx is told."""

    include: Path  # Halon's alone; included in `http`
    stable: Name  # upstreams
    canary: Name
    status: str  # http://127.0.0.1:8080/halon: returns $halon_percent
    key: str = Field("$request_id", pattern=r"^[$A-Za-z0-9_{}.-]+$")  # what a user stays by
    test: Argv = ("nginx", "-t")
    reload: Argv = ("nginx", "-s", "reload")
    allow_drops: bool = False

    @field_validator("status")
    @classmethod
    def _is_http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must be an http address of this nginx")
        return value


class Nginx(steering.Steered):
    """The deployer of one service behind nginx."""

    abilities = port.Abilities(weights=True, drop_free=False, sticky=False, reads_back=True)

    def __init__(self, service: str, settings: Settings, folder: Path) -> None:
        switch = nginxfile.Include(
            str(settings.include.absolute()), settings.stable, settings.canary, settings.status,
            settings.key, settings.test, settings.reload, settings.allow_drops,
        )  # fmt: skip
        super().__init__(service, folder, settings.commands(), switch)
