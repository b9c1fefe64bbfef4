"""Whole rollouts: real host, real load, real log, the real tick; only the bakes are shorter."""

from datetime import timedelta

import pytest

from incidents.models import RolloutState
from rollout import gate
from rollout.canary import Do, Timing
from rollout.deployers.processes import Processes
from rollout.monitors.accesslog import AccessLog
from tests.rollout import plans
from tests.rollout.driver import Driver
from tests.rollout.production import Load, Production

SCALE = 60.0


def driver(production: Production, good: str, old: str, new: str) -> Driver:
    timing = Timing.scaled(SCALE)
    made = plans.made(revision=new, stable_revision=old, last_good_revision=good)
    rollout = plans.rollout(made)
    monitor = AccessLog(
        production.folder / "access.log", bucket=timing.bucket, silence=timedelta(seconds=3)
    )
    gates = gate.Gates(hotfix=True, new_errors=False)
    return Driver(rollout, Processes(production.folder), monitor, timing, gates)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_fix_goes_from_10_to_100_percent_and_nothing_is_lost(production: Production) -> None:
    good = production.revision("good")
    old, new = production.revision("old", errors=0.45), production.revision("new")
    production.start(old)
    run = driver(production, good, old, new)
    with Load(production, clients=2, pause=0.01).running() as load:
        load.at_least(50)
        done = run.run(180)
    run.monitor.close()
    assert RolloutState.DONE is done.state, done.reason
    assert [Do.PREPARE, Do.ARM, Do.SHIFT, Do.SHIFT, Do.SHIFT, Do.MITIGATED, Do.PROMOTE] == [
        step.do for _, step in run.steps if step.do not in (Do.FINISH, Do.EXTEND)
    ]
    assert {"200", "500"} == set(load.statuses)
    assert new == production.seen()["stable"]["revision"]


@pytest.mark.slow
def test_a_fix_that_fails_in_production_goes_back_to_the_last_good_version(
    production: Production,
) -> None:
    good = production.revision("good")
    old, new = production.revision("old", errors=0.2), production.revision("new", errors=0.6)
    production.start(old)
    run = driver(production, good, old, new)
    with Load(production, clients=2, pause=0.01).running() as load:
        load.at_least(50)
        done = run.run(60)
        load.at_least(20)
    run.monitor.close()
    assert (RolloutState.TAKEN_BACK, True) == (done.state, done.latched)
    assert {"200", "500"} == set(load.statuses)
    assert good == production.seen()["stable"]["revision"]
    (failed,) = [step for _, step in run.steps if step.do is Do.TAKE_BACK]
    assert "error_rate" in failed.reason
