"""Deployer `flagger` (experimental): Flagger moves the traffic and asks Halon before each step.

Made by `rollout.wiring`. The webhooks are hosted by the controller (`rollout.webhooks`); what
Flagger did is read back through kubectl. It has never run on a real cluster: its tests speak to a
Flagger and an API server of their own.
"""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from rollout import flagger, flagger_state, hooks, kubectl, permits, steering, webhooks
from rollout.deployers import port
from rollout.hook_settings import KubernetesSettings

if TYPE_CHECKING:
    from incidents.reports import DeploymentPlan

SECONDS = {
    "prepare": 240.0,
    "set_weight": 75.0,
    "observe": 40.0,
    "promote": 75.0,
    "take_back": 75.0,
}
NAME = r"^[a-z0-9][a-z0-9.-]*$"


class Settings(KubernetesSettings):
    """Where the Canary is, how its image names a revision, and where Flagger asks."""

    canary: str = Field(pattern=NAME)
    listen: str  # "0.0.0.0:8484": where the controller answers Flagger
    token_file: Path  # what its webhooks carry as metadata.token
    deployment: str = Field("", pattern=rf"{NAME}|^$")  # the Canary's target; its own name

    @field_validator("listen")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        webhooks.split(value)
        return value

    def target(self, service: str, folder: Path) -> flagger_state.Target:
        """Return the plain values that the way back can read; `folder` is of all services."""
        return flagger_state.Target(
            service, self.canary, self.container, self.image, self.listen, str(folder),
            self._token(), self.deployment, self.namespace, tuple(self.kubectl), self.config,
            self.context,
        )  # fmt: skip

    def _token(self) -> str:
        """Return what is kept of the token; "" where it cannot be read, as where one only plans."""
        try:
            token = self.token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return ""
        return permits.digest(token) if token else ""


class Flagger(steering.Steered):
    """The deployer of one Canary."""

    abilities = port.Abilities(weights=True, drop_free=True, sticky=False, reads_back=True)

    def __init__(self, service: str, settings: Settings, folder: Path) -> None:
        self._target = settings.target(service, folder.absolute().parent)
        script = str(Path(flagger.__file__).absolute())
        argv = (sys.executable, "-I", "-S", script, json.dumps(asdict(self._target)))
        commands = hooks.Hooks(
            argv=dict.fromkeys(SECONDS, argv),
            seconds=steering.SECONDS | SECONDS,
            environment=hooks.kept_environment(),
            missing=() if self._target.token else ("token_file",),
        )
        super().__init__(service, folder, commands)

    def preflight(self, plan: "DeploymentPlan") -> list[port.Problem]:
        """Return what speaks against this plan now; changes nothing."""
        found = [
            port.Problem(
                "Deployer flagger is experimental: it never ran on a cluster.", fatal=False
            )
        ]
        try:
            state = flagger.Flagger(self._target, {}).read()
        except (kubectl.NotDone, OSError, subprocess.SubprocessError) as error:
            return [*found, port.Problem(f"The Canary cannot be seen: {error}")]
        percents = tuple(phase.percent for phase in plan.phases)
        found += flagger_state.problems(state.canary, self._target, percents)
        if state.revision is None and state.asked.revision != state.stable.revision:
            text = f"The Deployment asks for {state.asked.revision}, which Flagger took back"
            found.append(port.Problem(f"{text}: let it ask for {state.stable.revision} again."))
        return found + super().preflight(plan)


def make_ready(service: str, settings: Settings, folder: Path) -> None:
    """Let the webhooks answer: without a rollout Flagger goes on as without Halon.

    Called by the controller before it hosts them. A permit that is there stays, with today's token.
    """
    target = settings.target(service, folder.absolute().parent)
    permit = permits.read(folder)
    if permit is None:
        flagger.stand_aside(target)
    elif target.token and permit.token != target.token:
        permits.write(folder, replace(permit, token=target.token))
