"""The keys of [service.deploy] that name a team's hooks, for the deployers that steer by them.

Built by `rollout.wiring` from halon.toml; below it the plain values of `rollout.hooks` travel. The
environment is read here, once, and only the names that the settings list.
"""

import os
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rollout import hooks, steering
from rollout.kubectl import PLACE

Argv = Annotated[tuple[str, ...], Field(min_length=1)]
# The watchdog gives a way back 90 s, and promoting must end within the lease of 90 s.
LONGEST = {"prepare": 290.0, **dict.fromkeys(set(steering.SECONDS) - {"prepare"}, 75.0)}


class HookSettings(BaseModel):
    """Commands as argv (no shell), what they may see, and how long each may take."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prepare: Argv  # start HALON_REVISION as the canary at weight 0
    observe: Argv  # print what runs as one JSON object
    promote: Argv  # make HALON_REVISION the stable version
    take_back: Argv  # serve HALON_TO as stable, stop the canary
    freeze: Argv | None = None  # hold the team's own pipeline while a rollout is open
    unfreeze: Argv | None = None  # let it go again
    environment: tuple[str, ...] = ()  # names of further variables that hooks may see
    cwd: Path = Path("/")  # where hooks run
    seconds: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)

    @field_validator("seconds")
    @classmethod
    def _known(cls, value: dict[str, float]) -> dict[str, float]:
        for name, seconds in value.items():
            if name not in LONGEST:
                raise ValueError(f"{name!r} is no hook; known are {', '.join(steering.SECONDS)}")
            if seconds > LONGEST[name]:
                raise ValueError(f"{name} may take at most {LONGEST[name]:.0f} s")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.freeze is None) != (self.unfreeze is None):
            raise ValueError("freeze and unfreeze belong together")
        return self

    def commands(self) -> hooks.Hooks:
        """Return the hooks with the environment that they will see."""
        names = set(type(self).model_fields) & set(steering.SECONDS)
        argv = {name: given for name in sorted(names) if (given := getattr(self, name))}
        named = {name: os.environ[name] for name in self.environment if name in os.environ}
        return hooks.Hooks(
            argv=argv,
            seconds=steering.SECONDS | self.seconds,
            environment=hooks.kept_environment() | named,
            folder=str(self.cwd),
            missing=tuple(name for name in self.environment if name not in os.environ),
        )


class KubernetesSettings(BaseModel):
    """How a cluster is reached, and how its images name a revision."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    container: str  # whose image is exchanged
    image: str  # "registry.example/shop:{revision}", with the whole commit id
    namespace: str = Field("default", pattern=r"^[a-z0-9][a-z0-9-]*$")
    kubectl: Argv = ("kubectl",)  # 1.20 or newer
    kubeconfig: Path | None = None  # where not ~/.kube/config
    context: str = ""

    @field_validator("image")
    @classmethod
    def _names_a_revision(cls, value: str) -> str:
        if value.count(PLACE) != 1:
            raise ValueError(f"must contain {PLACE} once")
        return value

    @property
    def config(self) -> str:
        """The path of the kubeconfig as text; "" for kubectl's own."""
        return str(self.kubeconfig.absolute()) if self.kubeconfig else ""


class HAProxySettings(BaseModel):
    """Where HAProxy is told, and which of its servers are the two sides."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    socket: str  # `stats socket … level admin`
    backend: str
    stable: Argv  # names of servers
    canary: Argv
    config: str = ""  # only read, to find what would keep weights over a reload

    @model_validator(mode="after")
    def _two_sides(self) -> Self:
        if both := sorted({*self.stable} & {*self.canary}):
            raise ValueError(f"{', '.join(both)} cannot be on both sides")
        return self
