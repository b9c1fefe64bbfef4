"""A lease is renewed as long as its stage works, and never that of somebody else."""

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from incidents.models import Stage
from tests.workers.desks import Ahead, Place, open_incident
from workers.heartbeat import Heartbeat
from workers.office import Office

LEASE = timedelta(seconds=1.5)
PATIENCE = 30.0


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def lease(desk: Office, run: int) -> datetime:
    found = desk.stages.get(run).lease_until
    assert found is not None
    return found


def test_a_lease_is_renewed_until_the_block_ends(place: Place) -> None:
    place.write_services()
    with place.opened() as desk:
        run = desk.stages.queue_stage(open_incident(desk).number, Stage.DIAGNOSE)
        claimed = desk.stages.claim(run.id, "w", LEASE)
        assert claimed is not None
        first = lease(desk, run.id)
        with Heartbeat(desk.stages, run.id, claimed.run.fence, LEASE):
            until(lambda: lease(desk, run.id) > first + LEASE)
        last = lease(desk, run.id)

        assert "w" == desk.stages.get(run.id).owner
        assert last > first + LEASE


def test_a_run_that_somebody_else_took_is_not_renewed(place: Place) -> None:
    place.write_services()
    clock = Ahead()
    with place.opened(clock=clock) as desk:
        run = desk.stages.queue_stage(open_incident(desk).number, Stage.DIAGNOSE)
        claimed = desk.stages.claim(run.id, "w", LEASE)
        assert claimed is not None
        clock.by = timedelta(hours=1)
        taken = desk.stages.claim(run.id, "other", timedelta(hours=1))
        assert taken is not None
        held = lease(desk, run.id)

        with Heartbeat(desk.stages, run.id, claimed.run.fence, timedelta(milliseconds=30)):
            until(lambda: "heartbeat" not in [one.name for one in threading.enumerate()])

        assert (held, "other") == (lease(desk, run.id), desk.stages.get(run.id).owner)
