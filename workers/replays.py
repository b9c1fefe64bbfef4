"""Keeps replayed requests going while a rollout that was approved with them is watched.

Called by `workers.traffic` at each look. What cannot be replayed is told once, and the rollout goes
on with users' requests alone, as thin as they are.
"""

from dataclasses import replace
from datetime import datetime

from incidents import entries, errors
from incidents.models import MACHINE, Bucket, Rollout
from incidents.reports import DeploymentPlan
from rollout import canary, offers, replaying
from rollout.canary import Timing
from workers.office import Office


class Replays:
    """The senders of one controller process; losing them costs the time since the last look."""

    def __init__(self, desk: Office, timing: Timing) -> None:
        self._desk, self._timing = desk, timing
        self._asking: dict[str, replaying.Replaying] = {}

    def look(self, rollout: Rollout, now: datetime) -> tuple[Bucket, ...]:
        """Return what was counted of replayed requests so far; start or stop asking."""
        if DeploymentPlan.model_validate(rollout.plan).chosen != offers.REPLAYED:
            return ()
        if rollout.state in canary.MOVED and rollout.phase:
            self._ask(rollout)
        else:
            self.end(rollout.id)
        if (asking := self._asking.get(rollout.id)) is not None:
            found = asking.taken(now - self._timing.lag)
            self._desk.rollouts.add_replayed(rollout.id, found)
        return tuple(self._desk.rollouts.replayed(rollout.id))

    def end(self, rollout_id: str) -> None:
        """Ask nothing more for a rollout."""
        if (asking := self._asking.pop(rollout_id, None)) is not None:
            asking.close()

    def close(self) -> None:
        """Ask nothing more at all."""
        for rollout_id in [*self._asking]:
            self.end(rollout_id)

    def _ask(self, rollout: Rollout) -> None:
        asking = self._asking.get(rollout.id)
        if asking is not None and asking.alive:
            return
        try:
            given = replaying.settings(self._desk.service(rollout.service))
            if given is None:
                raise errors.PermanentFailure("halon.toml has no [service.replay] any more.")
            asking = replaying.Replaying(given, rollout.id, self._timing.bucket)
        except (errors.BadSettings, errors.PermanentFailure) as error:
            told = entries.trouble(
                f"No requests are replayed: {error.message}",
                "The gates wait for users' requests: mend [service.replay], or take it back.",
            )
            told = replace(told, subject=f"replay-{rollout.id}")
            self._desk.timeline.append_once(rollout.incident, told, MACHINE)
            return
        asking.start()
        self._asking[rollout.id] = asking
