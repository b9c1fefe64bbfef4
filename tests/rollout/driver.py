"""A controller in miniature: the loop that the real one runs, without its database.

Used by the tests of whole rollouts and by the bench. It does what a step says and nothing else.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from incidents import errors
from incidents.models import Bucket, Rollout, Version
from incidents.reports import DeploymentPlan
from rollout import canary, gate
from rollout.canary import Do, Scene, Step, Timing
from rollout.deployers.port import Deployer, Observed
from rollout.monitors.port import Monitor

TICK_SECONDS = 0.1


@dataclass
class Driver:
    """Runs one rollout to its end; every step that did something is kept."""

    rollout: Rollout
    deployer: Deployer
    monitor: Monitor
    timing: Timing
    gates: gate.Gates
    granted: frozenset[str] = frozenset({"through 100"})
    steps: list[tuple[datetime, Step]] = field(default_factory=list)
    buckets: list[Bucket] = field(default_factory=list)
    _since: datetime | None = None
    _last: datetime | None = None
    _unseen: datetime | None = None

    def run(self, seconds: float, until: Callable[["Driver"], bool] | None = None) -> Rollout:
        """Tick until the rollout is over, or `until` says so."""
        end = time.monotonic() + seconds
        while self.rollout.state not in canary.TERMINAL and not (until and until(self)):
            assert time.monotonic() < end, f"still {self.rollout.state}: {self.rollout.reason}"
            self.tick()
            time.sleep(TICK_SECONDS)
        return self.rollout

    def tick(self) -> None:
        """Look once and do what is said."""
        now = datetime.now(UTC)
        self._read(now)
        scene = Scene(
            now=now,
            buckets=tuple(self.buckets),
            observed=self._observe(now),
            unseen_since=self._unseen,
            granted=self.granted,
            last_tick=self._last,
        )
        step = canary.tick(self.rollout, scene, self.timing, self.gates)
        self._last = now
        if step.do is not Do.WAIT:
            self.steps.append((now, step))
        self.rollout = step.apply(self.rollout)
        self._do(step)

    def _read(self, now: datetime) -> None:
        until = now - self.timing.lag
        self._since = since = self._since or until - 2 * self.timing.bucket
        found = [self.monitor.buckets(version, since, until) for version in Version]
        for bucket in found[0]:
            self._since = bucket.start + timedelta(seconds=bucket.seconds)
        self.buckets += [*found[0], *found[1]]

    def _observe(self, now: datetime) -> Observed | None:
        try:
            seen = self.deployer.observe()
        except errors.TemporaryFailure:
            self._unseen = self._unseen or now
            return None
        self._unseen = None
        return seen

    def _do(self, step: Step) -> None:
        plan, token = DeploymentPlan.model_validate(self.rollout.plan), str(self.rollout.fence)
        if step.do is Do.PREPARE:
            self.deployer.prepare(plan, token)
        elif step.do in (Do.SHIFT, Do.REPEAT):
            self.deployer.set_weight(step.phase, token)
        elif step.do is Do.PROMOTE:
            self.deployer.promote(token)
        elif step.do is Do.TAKE_BACK and step.to is not None:
            self.deployer.take_back(step.to, token)
        if step.do is Do.SHIFT:
            # The phase begins when the traffic has moved, not when that was decided.
            self.rollout = replace(self.rollout, phase_started_at=datetime.now(UTC))
