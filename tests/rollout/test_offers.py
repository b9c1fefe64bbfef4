"""What is offered where a verdict would not come in time."""

import pytest

from incidents.models import Severity
from incidents.reports import Offer
from rollout import gate, offers, plan
from tests.rollout import plans

PHASES = plan.phases(Severity.P2, plans.ABLE, gate.Gates())
NEEDED = 168  # requests to the canary, at an ordinary one percent of errors


def offered(per_minute: float | None, replay: float | None = None) -> dict[str, Offer]:
    return {one.name: one for one in offers.offers(PHASES, NEEDED, per_minute, replay)}


@pytest.mark.parametrize("per_minute", [None, 0.0, 200.0, 1000.0])
def test_with_enough_or_unknown_traffic_nothing_is_offered(per_minute: float | None) -> None:
    assert {} == offered(per_minute)


def test_a_longer_bake_and_a_larger_first_step() -> None:
    found = offered(100.0)
    assert [offers.LONGER, offers.LARGER] == list(found)
    assert [(10, 21 * 60.0), (50, 600.0), (100, 1800.0)] == [
        (phase.percent, phase.bake_seconds) for phase in found[offers.LONGER].phases
    ]
    assert [50, 100] == [phase.percent for phase in found[offers.LARGER].phases]
    assert "21 minutes instead of 10" in found[offers.LONGER].text


def test_what_would_take_more_than_an_hour_is_not_offered() -> None:
    assert [] == list(offered(5.0))
    assert [offers.LARGER] == [*offered(34.0)][-1:]
    assert offers.LONGER not in offered(30.0)


def test_replayed_requests_are_offered_where_they_come_in_time() -> None:
    found = offered(5.0, replay=60.0)
    assert [offers.REPLAYED] == list(found)
    assert PHASES == found[offers.REPLAYED].phases
    assert "60 GET and HEAD requests per minute" in found[offers.REPLAYED].text
    assert {} == offered(5.0, replay=6.0)
    assert {} == offered(1000.0, replay=60.0)  # users ask enough


def test_a_plan_says_what_it_offers() -> None:
    made = plan.build_plan(
        plans.subject(),
        abilities=plans.ABLE,
        gates=gate.Gates(hotfix=True),
        requests_per_minute=100,
        rollback_command="",
    )
    assert [offers.LONGER, offers.LARGER] == [one.name for one in made.offers]
    assert () == plans.made().offers
