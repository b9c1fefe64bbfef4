"""Rollout figures: how fast a broken canary loses its traffic, and how often a healthy one does.

Run with `python -m bench.rollout`; also called by the bench as a whole. The first part is a real
host under real load in real time; the second replays simulated counts through the gate and, on the
same counts, through the rule that most tools use: take back when any minute is over the limit.
"""

import random
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypedDict

from incidents.models import Bucket, Result, Rollout, RolloutState, SafeVersion, Version
from rollout import gate, plan
from rollout.canary import Do, Timing
from rollout.deployers.processes import Processes
from rollout.monitors.accesslog import AccessLog
from tests import repositories
from tests.rollout import plans
from tests.rollout.driver import Driver
from tests.rollout.production import Load, Production

LIMIT = 0.05
ROLLOUTS = 150
BUCKET = 5.0
PHASES = ((10, 120), (50, 120), (100, 360))  # percent, buckets of 5 s
FASTEST_RULE = 60.0  # seconds: a rule over whole minutes cannot speak before the first is over


class Row(TypedDict):
    """One figure beside its anchor."""

    what: str
    aim: str
    value: float
    anchor: float
    ratio: float


def row(what: str, aim: str, value: float, anchor: float) -> Row:
    """Return a row with its ratio; an anchor of 0 gives the value itself."""
    ratio = value / anchor if anchor else value
    return {"what": what, "aim": aim, "value": value, "anchor": anchor, "ratio": ratio}


def broken_canary() -> list[Row]:
    """Shift 10 % of about 700 requests per minute to a canary with 50 % errors, in real time."""
    with tempfile.TemporaryDirectory(prefix="halon-bench-") as folder:
        repository = repositories.new(Path(folder) / "repository")
        production = Production(Path(folder) / "host", repository)
        old, new = production.revision("old"), production.revision("new", errors=0.5)
        try:
            production.start(old)
            return _measured(production, old, new)
        finally:
            production.end()


def _measured(production: Production, old: str, new: str) -> list[Row]:
    timing = Timing.scaled(1.0)
    made = plans.made(
        revision=new, stable_revision=old, last_good_revision=None, stable_carries_incident=False
    )
    rollout = Rollout(
        id="bench", incident=1, stage_run=1, service="checkout", state=RolloutState.PLANNED,
        revision=new, stable_revision=old, last_good_revision=None,
        patch_digest=made.patch_digest, plan=made.model_dump(mode="json"),
        plan_hash=plan.plan_hash(made), phase=0, phase_started_at=None, deadline=None,
        safe_version=SafeVersion.STABLE, latched=False, fence=1, created_at=datetime.now(UTC),
    )  # fmt: skip
    log = production.folder / "access.log"
    monitor = AccessLog(log, bucket=timing.bucket, silence=timedelta(seconds=3))
    gates = gate.Gates(max_latency_ratio=None, new_errors=False)
    driver = Driver(rollout, Processes(production.folder), monitor, timing, gates)
    with Load(production, clients=2, pause=0.15).running() as load:
        driver.run(180)
        load.at_least(20)
    monitor.close()
    done = [at for at, step in driver.steps if step.do is Do.TAKEN_BACK]
    shifted = [at for at, step in driver.steps if step.do is Do.SHIFT]
    seconds = (done[0] - shifted[0]).total_seconds()
    lost = sum(count for status, count in load.statuses.items() if status not in ("200", "500"))
    asked = sum(load.statuses.values())
    rate = 60 * asked / (driver.steps[-1][0] - driver.steps[0][0]).total_seconds()
    return [
        row(f"50 % errors at 10 % of {rate:.0f}/min: traffic moved, s (anchor: first whole minute)",
            "< 30 s", seconds, FASTEST_RULE),
        row("requests lost to shifting (anchor: requests asked)", "0", lost, asked),
    ]  # fmt: skip


def simulate(chance: random.Random, per_minute: float, share: float) -> list[list[Bucket]]:
    """Return the canary's buckets of one healthy rollout, a list per phase."""
    start, found = datetime(2026, 3, 1, tzinfo=UTC), []
    for percent, count in PHASES:
        expected = per_minute / 60 * BUCKET * percent / 100
        phase = []
        for _ in range(count):
            requests = int(expected) + (chance.random() < expected % 1)
            errors = sum(chance.random() < share for _ in range(requests))
            phase.append(Bucket(Version.CANARY, start, BUCKET, requests, errors))
            start += timedelta(seconds=BUCKET)
        found.append(phase)
    return found


def gate_fails(phases: Sequence[Sequence[Bucket]]) -> bool:
    """Return whether the gate fails at any look of a rollout."""
    gates = gate.Gates(max_error_rate=LIMIT, max_latency_ratio=None, new_errors=False)
    seen: list[Bucket] = []
    for phase in phases:
        seen += phase
        look = gate.Look(since=phase[0].start)
        if gate.judge(seen, gates, 1560, look).result is Result.FAIL:
            return True
    return False


def minute_fails(phases: Sequence[Sequence[Bucket]]) -> bool:
    """Return whether any whole minute of a rollout is over the limit."""
    for phase in phases:
        for first in range(0, len(phase), 12):
            minute = phase[first : first + 12]
            requests = sum(bucket.requests or 0 for bucket in minute)
            if requests and sum(bucket.errors or 0 for bucket in minute) > LIMIT * requests:
                return True
    return False


def healthy_canary(seed: int = 1) -> list[Row]:
    """Count how often healthy canaries (1 % errors) are taken back, by the gate and by the rule."""
    found = []
    for per_minute in (30, 300, 1000):
        chance = random.Random(f"{seed} {per_minute}")
        ours = naive = 0
        rollouts = ROLLOUTS if per_minute < 1000 else ROLLOUTS // 3
        for _ in range(rollouts):
            phases = simulate(chance, per_minute, 0.01)
            ours += gate_fails(phases)
            naive += minute_fails(phases)
        what = f"healthy canary taken back at {per_minute}/min, share (anchor: any minute over 5 %)"
        found.append(row(what, "<= 0.01", ours / rollouts, naive / rollouts))
    return found


def rows() -> list[Row]:
    """Return all rows; takes about two minutes."""
    return [*broken_canary(), *healthy_canary()]


def main() -> None:
    """Print the rows."""
    for one in rows():
        print(f"{one['what']}: {one['value']:.4g} (aim {one['aim']}, anchor {one['anchor']:.4g})")


if __name__ == "__main__":
    main()
