"""Rollout figures: how fast a broken canary loses its traffic, and how often a healthy one does.

Run with `python -m bench.rollout`; also called by the bench as a whole. The first part is a real
host under real load in real time; the second is `bench.simulation`.
"""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench import simulation
from bench.simulation import Row, row
from incidents.models import Rollout, RolloutState, SafeVersion
from rollout import gate, plan
from rollout.canary import Do, Timing
from rollout.deployers.processes import Processes
from rollout.monitors.accesslog import AccessLog
from tests import repositories
from tests.rollout import plans
from tests.rollout.driver import Driver
from tests.rollout.production import Load, Production

FASTEST_RULE = 60.0  # seconds: a rule over whole minutes cannot speak before the first is over


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


def rows() -> list[Row]:
    """Return all rows, and print the tables of the simulation; takes about three minutes."""
    return [*broken_canary(), *simulation.rows()]


def main() -> None:
    """Print the rows."""
    for one in rows():
        print(f"{one['what']}: {one['value']:.4g} (aim {one['aim']}, anchor {one['anchor']:.4g})")


if __name__ == "__main__":
    main()
