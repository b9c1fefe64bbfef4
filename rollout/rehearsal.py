"""The rehearsal: the way back, walked for real before the first request goes forward.

Called by the controller when the canary is ready at weight 0. It runs the very command that the
watchdog holds, times it, and prepares the canary again; the stable version stays what it is.
"""

import subprocess
import time
from dataclasses import dataclass

from incidents import errors
from incidents.reports import DeploymentPlan
from rollout.deployers.port import Deployer, Observed

SECONDS = 120.0


@dataclass(frozen=True)
class Rehearsal:
    """What rehearsing showed; `passed` False: the rollout must not start."""

    passed: bool
    seconds: float
    text: str
    observed: Observed | None = None


def rehearse(deployer: Deployer, plan: DeploymentPlan, token: str) -> Rehearsal:
    """Take back on weight 0 by the watchdog's own command, read it back, and prepare again.

    Where the way back leads to another revision than stable, that one is shown to be ready and is
    not put into production: nobody has approved that yet.
    """
    argv = deployer.take_back_argv(plan.stable_revision, token)
    begun = time.monotonic()
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Rehearsal(False, time.monotonic() - begun, f"Taking back could not be run: {error}")
    seconds = time.monotonic() - begun
    if done.returncode != 0:
        said = done.stderr.strip() or f"exit {done.returncode}"
        return Rehearsal(False, seconds, f"Taking back failed: {said}")
    try:
        seen = deployer.observe()
        if seen.weight != 0 or seen.canary_revision is not None:
            text = f"After taking back the canary still has {seen.weight} %."
            return Rehearsal(False, seconds, text, seen)
        if seen.stable_revision != plan.stable_revision:
            text = f"After taking back production runs {seen.stable_revision}."
            return Rehearsal(False, seconds, text, seen)
        again = deployer.prepare(plan, token)
    except errors.TemporaryFailure as error:
        return Rehearsal(False, seconds, error.message)
    text = f"Taken back on weight 0 in {seconds:.1f} s, read back, and prepared again."
    if again.standby_healthy is not None:
        if not again.standby_healthy:
            return Rehearsal(False, seconds, "The last good version is not healthy.", again)
        good = (plan.last_good_revision or "")[:12]
        text += f" The last good version {good} runs warm beside it and is healthy."
    return Rehearsal(True, seconds, text, again)
