"""A whole rollout over a real HAProxy: its weights, its counters, the gates, and the way back."""

from collections.abc import Iterator

import pytest

from incidents.models import RolloutState
from rollout import gate
from rollout.canary import Do, Timing
from rollout.deployers import haproxy as deployers
from rollout.monitors import haproxy as monitors
from tests.rollout import plans
from tests.rollout.deployers.site import Site
from tests.rollout.driver import Driver
from tests.rollout.production import Load

SCALE = 5.0  # buckets of one second: HAProxy's counters have to be read twice in each


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site.begin(tmp_path_factory.mktemp("site"))
    yield made
    made.end()


def driver(site: Site) -> Driver:
    timing = Timing.scaled(SCALE)
    keys = deployers.Settings.model_validate({**site.team.hooks(), **site.keys})
    deployer = deployers.HAProxy("checkout", keys, site.folder / "halon")
    counted = monitors.Settings(
        socket=site.keys["socket"], canary=("app/canary",), stable=("app/stable",)
    )
    monitor = monitors.HAProxy(counted, bucket=timing.bucket)
    gates = gate.Gates(hotfix=True, new_errors=False)
    return Driver(
        plans.rollout(plans.made(last_good_revision=None)), deployer, monitor, timing, gates
    )


@pytest.mark.service
@pytest.mark.slow
def test_a_sick_canary_at_10_percent_is_taken_back_and_shifting_loses_nothing(site: Site) -> None:
    site.behave(plans.NEW, errors=0.5)
    site.start()
    run = driver(site)
    with Load(site, clients=6, pause=0.015).running() as load:
        load.at_least(50)
        done = run.run(60)
        load.at_least(20)
    assert (RolloutState.TAKEN_BACK, True) == (done.state, done.latched)
    (shifted,) = [at for at, step in run.steps if step.do is Do.SHIFT]
    ((failed, step),) = [(at, step) for at, step in run.steps if step.do is Do.TAKE_BACK]
    assert "error_rate" in step.reason
    assert (failed - shifted).total_seconds() < 30
    assert {"200", "500"} == set(load.statuses)  # the canary's own errors, and none of shifting
    seen = run.deployer.observe()
    assert (0, plans.OLD, None) == (seen.weight, seen.stable_revision, seen.canary_revision)
