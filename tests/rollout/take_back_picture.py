"""The chart of docs/canary.md: a sick canary behind a real HAProxy, taken back in real time.

`python -m tests.rollout.take_back_picture FILE.png` makes it, to be looked at. HAProxy's counters
decide; the picture is drawn from the log of the load, which misses nothing while traffic moves.
"""

import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot import chart
from bot.chart import Mark, MarkKind, Phase
from incidents.models import Bucket, Version
from rollout.canary import Do
from rollout.monitors import lines
from rollout.monitors.accesslog import AccessLog
from tests.rollout import plans
from tests.rollout.deployers.site import Site
from tests.rollout.driver import Driver
from tests.rollout.production import Load
from tests.rollout.test_whole_haproxy import driver

AROUND = 1500  # requests before and after, a good ten seconds of each


def rolled(folder: Path, log: Path) -> tuple[Driver, dict[str, int]]:
    """Run the whole rollout; return it and what the clients were answered."""
    site = Site.begin(folder)
    try:
        site.behave(plans.NEW, errors=0.5)
        site.start()
        run = driver(site)
        with Load(site, clients=6, pause=0.03, log=log).running() as load:
            load.at_least(AROUND)
            run.run(120)
            load.at_least(AROUND)
        return run, dict(load.statuses)
    finally:
        site.end()


def counted(log: Path, since: datetime) -> list[Bucket]:
    """Return the counts of the whole log."""
    groups = lines.Groups((plans.NEW,), (plans.OLD,))
    reading = lines.Reading(groups, "version", None)
    monitor = AccessLog(
        log,
        bucket=timedelta(seconds=1),
        silence=timedelta(seconds=30),
        parse=lambda raw: lines.FORMATS["json"](raw, reading),
        errors=None,
    )
    now = datetime.now(UTC)
    found = [monitor.buckets(version, since, now) for version in Version]
    monitor.close()
    return [bucket for version in found for bucket in version if bucket.requests]


def main(file: Path) -> None:
    """Roll out, take back, draw."""
    begun = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="c", dir="/tmp") as folder:
        log = Path(folder) / "access.log"
        run, answered = rolled(Path(folder) / "s", log)
        buckets = counted(log, begun - timedelta(seconds=1))
    (shifted,) = [at for at, step in run.steps if step.do is Do.SHIFT]
    (back,) = [at for at, step in run.steps if step.do is Do.TAKE_BACK]
    phases, marks = (Phase(10, shifted, back),), (Mark(MarkKind.TAKEN_BACK, back),)
    drawn = chart.scene(buckets, None, phases, marks, chart.WIDE)
    file.write_bytes(chart.to_png(drawn))
    sys.stdout.write(f"{drawn.says}\nanswers: {answered}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
