"""Deployer `blue_green`: everything in one step, by a hook or by a real HAProxy."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from incidents import errors
from incidents.models import Severity
from rollout import plan
from rollout.deployers.blue_green import BlueGreen, Settings
from tests.rollout import plans
from tests.rollout.deployers.site import Site
from tests.rollout.deployers.team import PLAN, Team
from tests.rollout.production import Load

OLD, NEW = plans.OLD, plans.NEW


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team.begin(tmp_path / "team")


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site.begin(tmp_path_factory.mktemp("site"))
    yield made
    made.end()


def deployer(team: Team, **keys: Any) -> BlueGreen:
    settings = Settings.model_validate(team.hooks(**keys))
    return BlueGreen("checkout", settings, team.folder.parent / "halon")


def test_the_plan_has_one_step_and_says_so(team: Team) -> None:
    able = deployer(team, switch=team.argv()).abilities
    (phase,) = plan.phases(Severity.P0, able, plan.default_gates(fingerprints=False, hotfix=True))
    assert (100, False) == (phase.percent, able.drop_free)


def test_all_or_nothing_by_a_hook(team: Team) -> None:
    # The team's tool knows the act as `set_weight`; the settings call it by its meaning.
    both = deployer(team, switch=team.argv())
    assert [] == both.preflight(PLAN)
    both.prepare(PLAN, "1")
    with pytest.raises(errors.WrongState, match="all or nothing"):
        both.set_weight(10, "1")
    assert 100 == both.set_weight(100, "1").weight
    assert (0, OLD) == (both.take_back(OLD, "1").weight, both.observe().stable_revision)
    both.prepare(PLAN, "1")
    both.set_weight(100, "1")
    assert (NEW, None) == (both.promote("1").stable_revision, both.observe().canary_revision)


@pytest.mark.service
def test_all_or_nothing_by_haproxy_loses_no_request(site: Site) -> None:
    site.start()
    both = deployer(site.team, haproxy=site.keys)
    assert both.abilities.drop_free
    with Load(site, clients=4, pause=0.015).running() as asking:
        asking.at_least(20)
        both.prepare(PLAN, "1")
        assert 100 == both.set_weight(100, "1").weight
        asking.at_least(40)
        assert 0 == both.take_back(OLD, "1").weight
        asking.at_least(40)
    assert {"200"} == set(asking.statuses)
    assert {OLD, NEW} == set(asking.revisions)


@pytest.mark.parametrize("keys", [{}, {"switch": ["x"], "haproxy": {
    "socket": "s", "backend": "b", "stable": ["a"], "canary": ["c"]}}])  # fmt: skip
def test_exactly_one_switch_is_named(team: Team, keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="either `switch`"):
        Settings.model_validate(team.hooks(**keys))
