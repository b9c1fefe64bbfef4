"""Deployer argo through the real kubectl, against an API server that behaves as Argo does."""

import copy
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from incidents import errors
from incidents.reports import DeploymentPlan
from rollout import argo_state
from rollout.deployers import argo
from rollout.deployers.port import Observed
from tests.rollout import plans
from tests.rollout.deployers.cluster import PLACE, STEPS, Cluster

pytestmark = [pytest.mark.service, pytest.mark.timeout(120)]
PLAN = plans.made(last_good_revision=None)
FOREIGN = "f" * 40


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path).begin()
    yield made
    made.end()


def deployer(cluster: Cluster, **keys: Any) -> argo.Argo:
    settings = argo.Settings.model_validate({**cluster.keys(), **keys})
    return argo.Argo("shop", settings, cluster.folder / "halon")


def facts(seen: Observed) -> tuple[int, str | None, str | None, bool]:
    return seen.weight, seen.stable_revision, seen.canary_revision, seen.settled


def test_a_whole_rollout_by_argos_own_steps(cluster: Cluster) -> None:
    made = deployer(cluster)
    assert ["experimental"] == [p.text.split()[3][:-1] for p in made.preflight(PLAN)]
    assert (0, plans.OLD, plans.NEW, True) == facts(made.prepare(PLAN, "1"))
    for percent in (10, 50, 100):
        assert (percent, plans.OLD, plans.NEW, True) == facts(made.set_weight(percent, "1"))
    assert (0, plans.NEW, None, True) == facts(made.promote("1"))
    assert {PLACE, f"{PLACE}/status"} == set(cluster.written)


def test_every_command_may_be_repeated(cluster: Cluster) -> None:
    made = deployer(cluster)
    made.prepare(PLAN, "1")
    assert (10, plans.OLD, plans.NEW, True) == facts(made.set_weight(10, "1"))
    before = list(cluster.written)
    assert (10, plans.OLD, plans.NEW, True) == facts(made.set_weight(10, "2"))
    assert (10, plans.OLD, plans.NEW, True) == facts(made.prepare(PLAN, "2"))
    assert before == cluster.written
    with pytest.raises(errors.StaleFence):
        made.set_weight(50, "1")


def test_taking_back_pins_the_old_revision_again(cluster: Cluster) -> None:
    made = deployer(cluster)
    made.prepare(PLAN, "1")
    made.set_weight(50, "1")
    assert (0, plans.OLD, None, True) == facts(made.take_back(plans.OLD, "1"))
    assert plans.OLD in json.dumps(cluster.rollout["spec"]["template"])
    assert not cluster.rollout["status"]["abort"]


def test_taking_back_to_the_last_good_revision_skips_the_steps(cluster: Cluster) -> None:
    made = deployer(cluster)
    made.prepare(PLAN, "1")
    made.set_weight(10, "1")
    assert (0, plans.GOOD, None, True) == facts(made.take_back(plans.GOOD, "1"))


def test_the_way_back_works_with_nothing_of_halon_alive(cluster: Cluster) -> None:
    made = deployer(cluster)
    made.prepare(PLAN, "1")
    made.set_weight(10, "1")
    argv = made.take_back_argv(plans.OLD, "newest")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    assert (0, plans.OLD, None, True) == facts(made.observe())


def test_who_was_overtaken_reads_again_and_writes_once(cluster: Cluster) -> None:
    made = deployer(cluster)
    made.prepare(PLAN, "1")
    cluster.overtaken = 2
    assert (10, plans.OLD, plans.NEW, True) == facts(made.set_weight(10, "1"))


def test_an_api_server_in_trouble_is_out_of_sight_and_never_zero(cluster: Cluster) -> None:
    made = deployer(cluster)
    made.prepare(PLAN, "1")
    made.set_weight(10, "1")
    cluster.failing = 1
    with pytest.raises(errors.TemporaryFailure, match="leader changed"):
        made.observe()
    assert 10 == made.observe().weight
    cluster.failing = 3
    with pytest.raises(errors.TemporaryFailure):
        made.take_back(plans.OLD, "1")
    cluster.failing = 0
    assert (0, plans.OLD, None, True) == facts(made.take_back(plans.OLD, "1"))


def test_an_unreachable_api_server_is_said(cluster: Cluster) -> None:
    config = cluster.kubeconfig()
    config["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:9"  # discard: nobody listens
    (cluster.folder / "config").write_text(json.dumps(config), encoding="utf-8")
    made = deployer(cluster)
    texts = [p.text for p in made.preflight(PLAN) if p.fatal]
    assert len(texts) == 1
    assert "cannot be seen" in texts[0]
    with pytest.raises(errors.TemporaryFailure, match="kubectl"):
        made.observe()


def test_somebody_elses_revision_is_seen_and_never_written_over(cluster: Cluster) -> None:
    made = deployer(cluster)
    made.prepare(PLAN, "1")
    made.set_weight(10, "1")
    cluster.deploy(FOREIGN)
    assert FOREIGN == made.observe().canary_revision
    with pytest.raises(errors.TemporaryFailure, match="Somebody else"):
        made.set_weight(50, "1")
    with pytest.raises(errors.TemporaryFailure, match="Somebody else"):
        made.take_back(plans.OLD, "1")
    assert FOREIGN in json.dumps(cluster.rollout["spec"]["template"])


def test_a_canary_that_never_becomes_ready_is_not_healthy(cluster: Cluster) -> None:
    cluster.ready = False
    seconds = argo.SECONDS
    made = deployer(cluster)
    made._hooks.seconds.update(prepare=3.0)  # type: ignore[attr-defined]
    with pytest.raises(errors.TemporaryFailure):
        made.prepare(PLAN, "1")
    assert not made.observe().canary_healthy
    assert seconds is argo.SECONDS


def steps(*changed: tuple[int, dict[str, Any]]) -> list[dict[str, Any]]:
    found = copy.deepcopy(STEPS)
    for place, step in changed:
        found[place] = step
    return found


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ({"canary": {"trafficRouting": {"nginx": {}}, "steps": STEPS}}, None),
        ({"blueGreen": {}}, "no canary strategy"),
        ({"canary": {"steps": STEPS}}, "trafficRouting"),
        ({"canary": {"trafficRouting": {}, "steps": []}}, "trafficRouting"),
        ({"steps": steps((4, {"pause": {"duration": "5m"}}))}, "duration"),
        ({"steps": steps((3, {"setWeight": 20}))}, "not at [0, 20, 50, 100]"),
        ({"steps": STEPS[3:]}, "not at [10, 50, 100]"),
        ({"steps": [{"pause": {}}, *STEPS[3:]]}, "setCanaryScale"),
        ({"steps": [*STEPS, {"analysis": {}}]}, "not analysis"),
        ({"steps": STEPS, "analysis": {"templates": []}}, "second judge"),
    ],
)
def test_a_strategy_with_two_masters_is_refused(strategy: dict[str, Any], said: str | None) -> None:
    if "steps" in strategy:
        strategy = {"canary": {"trafficRouting": {"nginx": {}}, **strategy}}
    found = argo_state.problems({"spec": {"strategy": strategy}}, (10, 50, 100))
    assert (said is None) == (found == [])
    assert said is None or said in " ".join(found)


@pytest.mark.parametrize(
    ("keys", "mistake"),
    [
        ({"image": "registry.test/shop:latest"}, "revision"),
        ({"rollout": "--all"}, "rollout"),
        ({"namespace": "a/b"}, "namespace"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    cluster: Cluster, keys: dict[str, str], mistake: str
) -> None:
    with pytest.raises(ValidationError, match=mistake):
        argo.Settings.model_validate({**cluster.keys(), **keys})


def test_an_image_that_is_not_ours_is_its_own_name() -> None:
    target = argo_state.Target("shop", "shop", "registry.test/shop:{revision}")
    assert plans.NEW == target.revision(f"registry.test/shop:{plans.NEW}")
    assert "docker.test/other:1" == target.revision("docker.test/other:1")
    assert target.revision(None) is None


def test_the_plan_of_the_tests_has_the_phases_of_the_steps() -> None:
    assert isinstance(PLAN, DeploymentPlan)
    assert (10, 50, 100) == tuple(phase.percent for phase in PLAN.phases)
