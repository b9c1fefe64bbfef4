"""Deployer `processes`: commands a `halon host DIR` by want.json and reads is.json back.

Made by `rollout.wiring` for the controller. It keeps nothing in memory: the two files are the
state, so a new controller goes on where the last one stopped.
"""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from incidents import errors
from incidents.models import SafeVersion
from incidents.reports import DeploymentPlan
from rollout.deployers import port, processes_take_back
from rollout.deployers.processes_take_back import NotYet, Superseded

SECONDS = 60.0
SHIFT_SECONDS = 10.0


class Processes:
    """The deployer of one service whose production is one `halon host` folder."""

    abilities = port.Abilities(weights=True, drop_free=True, sticky=False, reads_back=True)

    def __init__(self, folder: Path, *, seconds: float = SECONDS) -> None:
        self._folder = folder.absolute()
        self._seconds = seconds

    def preflight(self, plan: DeploymentPlan) -> list[port.Problem]:
        """Return what speaks against this plan now; changes nothing."""
        try:
            seen = self.observe()
        except errors.TemporaryFailure as error:
            return [port.Problem(error.message)]
        problems = []
        if not seen.stable_healthy:
            problems.append(port.Problem("No replica of stable is healthy.", fatal=False))
        if seen.stable_revision != plan.stable_revision:
            problems.append(
                port.Problem(
                    f"Production runs {seen.stable_revision}, the plan was made for "
                    f"{plan.stable_revision}: make a new plan."
                )
            )
        if seen.canary_revision not in (None, plan.revision):
            problems.append(
                port.Problem(f"Another canary is there: {seen.canary_revision}; end it first.")
            )
        return problems

    def prepare(self, plan: DeploymentPlan, token: str) -> port.Observed:
        """Make the canary ready at weight 0, and the last good version if it is the way back."""
        good = plan.safe_version == SafeVersion.LAST_GOOD and plan.last_good_revision
        standby = plan.last_good_revision if good else None
        if standby in (plan.stable_revision, plan.revision):
            standby = None
        want = {
            "stable": plan.stable_revision,
            "canary": plan.revision,
            "standby": standby,
            "weight": 0,
        }

        def change(now: dict[str, Any]) -> dict[str, Any]:
            if now.get("stable") != plan.stable_revision:
                raise errors.WrongState(
                    f"Production runs {now.get('stable')!r} and not {plan.stable_revision!r}."
                )
            # Preparing again must never move traffic back behind the controller's back.
            if now.get("canary") == plan.revision and now.get("weight"):
                return {**want, "weight": now["weight"]}
            return want

        return self._command(change, token, self._seconds)

    def set_weight(self, percent: int, token: str) -> port.Observed:
        """Send this share of the traffic to the canary."""

        def change(now: dict[str, Any]) -> dict[str, Any]:
            if now.get("canary") is None and percent:
                raise errors.WrongState("There is no canary to send traffic to.")
            return {**now, "weight": percent}

        return self._command(change, token, SHIFT_SECONDS)

    def observe(self) -> port.Observed:
        """Return what the host reports; raises `errors.TemporaryFailure` when it is silent."""
        seen = processes_take_back.read(self._folder / "is.json")
        if not seen.get("running") or self._age() > processes_take_back.STALE_SECONDS:
            why = processes_take_back.why_not(self._folder, seen)
            raise errors.TemporaryFailure(f"Production cannot be seen: {why}.")
        return _observed(seen)

    def promote(self, token: str) -> port.Observed:
        """Make the canary the stable version; its replicas go on running."""

        def change(now: dict[str, Any]) -> dict[str, Any]:
            if now.get("canary") is None:
                return now  # done before
            return {"stable": now["canary"], "canary": None, "standby": None, "weight": 0}

        return self._command(change, token, self._seconds)

    def take_back(self, to: str, token: str) -> port.Observed:
        """Take all traffic off the canary and serve revision `to` as stable."""
        try:
            seen = processes_take_back.take_back(self._folder, to, _fence(token), self._seconds)
        except Superseded as error:
            raise errors.StaleFence(f"{error}.") from error
        except (NotYet, OSError) as error:
            raise errors.TemporaryFailure(f"Not taken back yet: {error}.") from error
        return _observed(seen)

    def take_back_argv(self, to: str, token: str) -> list[str]:
        """Return the command that takes back with nothing else of Halon alive."""
        script = Path(processes_take_back.__file__).absolute()
        fence = token if token == processes_take_back.NEWEST else str(_fence(token))
        return [sys.executable, "-I", str(script), str(self._folder), to, fence]

    def _command(
        self, change: Callable[[dict[str, Any]], dict[str, Any]], token: str, seconds: float
    ) -> port.Observed:
        """Change what is wanted under the lock and wait until the host reports it as done."""
        fence = _fence(token)
        try:
            with processes_take_back.commanding(self._folder, fence):
                seen = processes_take_back.read(self._folder / "is.json")
                obeying = seen.get("obeying")
                if not isinstance(obeying, dict):
                    raise NotYet(processes_take_back.why_not(self._folder, seen))
                want = {**change(obeying), "fence": fence}
                digest = processes_take_back.write_want(self._folder, want)
            return _observed(
                processes_take_back.wait_for(
                    self._folder, digest, fence, seconds, lambda now: bool(now.get("settled"))
                )
            )
        except Superseded as error:
            raise errors.StaleFence(f"{error}.") from error
        except (NotYet, OSError) as error:
            raise errors.TemporaryFailure(f"Production did not follow: {error}.") from error

    def _age(self) -> float:
        try:
            return time.time() - (self._folder / "is.json").stat().st_mtime
        except OSError:
            return float("inf")


def _fence(token: str) -> int:
    if not token.isdecimal():
        raise errors.PermanentFailure(f"A token is a decimal number, not {token!r}.")
    return int(token)


def _observed(seen: dict[str, Any]) -> port.Observed:
    stable, canary = seen.get("stable") or {}, seen.get("canary") or {}
    standby = seen.get("standby")
    return port.Observed(
        weight=int(seen.get("weight") or 0),
        stable_revision=stable.get("revision"),
        canary_revision=canary.get("revision"),
        stable_healthy=bool(stable.get("healthy")),
        canary_healthy=bool(canary.get("healthy")),
        at=datetime.fromisoformat(seen["at"]).astimezone(UTC),
        settled=bool(seen.get("settled")),
        standby_healthy=bool(standby.get("healthy")) if standby else None,
        fence=processes_take_back.fence_of(seen),
        trouble=seen.get("error"),
    )
