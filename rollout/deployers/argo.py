"""Deployer `argo` (experimental): an Argo Rollout, steered through kubectl.

Made by `rollout.wiring`. Argo keeps the pods and the weights; Halon alone says when it goes on. It
has never run on a real cluster: its tests speak to an API server of their own.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from rollout import argo, argo_state, hooks, steering
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


class Settings(KubernetesSettings):
    """Where the Rollout is, and how its image names a revision."""

    rollout: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")

    def target(self) -> argo_state.Target:
        """Return the plain values that the way back can read."""
        return argo_state.Target(
            self.rollout, self.container, self.image, self.namespace, tuple(self.kubectl),
            self.config, self.context,
        )  # fmt: skip


class Argo(steering.Steered):
    """The deployer of one Rollout."""

    abilities = port.Abilities(weights=True, drop_free=True, sticky=False, reads_back=True)

    def __init__(self, service: str, settings: Settings, folder: Path) -> None:
        self._target = settings.target()
        script = str(Path(argo.__file__).absolute())
        argv = (sys.executable, "-I", "-S", script, json.dumps(vars(self._target)))
        commands = hooks.Hooks(
            argv=dict.fromkeys(SECONDS, argv),
            seconds=steering.SECONDS | SECONDS,
            environment=hooks.kept_environment(),
        )
        super().__init__(service, folder, commands)

    def preflight(self, plan: "DeploymentPlan") -> list[port.Problem]:
        """Return what speaks against this plan now; changes nothing."""
        found = [
            port.Problem("Deployer argo is experimental: it never ran on a cluster.", fatal=False)
        ]
        try:
            content = argo.Argo(self._target, {}).rollout()
        except (argo_state.NotDone, OSError, subprocess.SubprocessError) as error:
            return [*found, port.Problem(f"The Rollout cannot be seen: {error}")]
        percents = tuple(phase.percent for phase in plan.phases)
        found += [port.Problem(text) for text in argo_state.problems(content, percents)]
        return found + super().preflight(plan)
