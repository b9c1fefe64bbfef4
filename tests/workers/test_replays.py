"""A rollout approved with replayed requests: they bring the verdict, and the thread says so."""

from typing import Any

import pytest

from incidents.models import EntryKind, RolloutState, Version
from incidents.reports import DeploymentPlan
from rollout import offers
from tests.rollout.asked import serving
from tests.workers.desks import Place
from tests.workers.rollings import Rolling, rolling


def phase_of(made: Rolling) -> dict[str, object]:
    """What the thread was last told of a phase."""
    told = made.desk.timeline.entries(made.incident.number)
    return [entry.content for entry in told if entry.kind is EntryKind.PHASE][-1]


def test_without_users_replayed_requests_bring_the_verdict_and_stop_with_it(place: Place) -> None:
    with serving() as new, serving() as old:
        keys = {"canary": new.address, "stable": old.address, "requests": ["GET /products"]}
        replay = {**keys, "per_minute": 600, "apart": True}
        with rolling(place, replay=replay, chosen=offers.REPLAYED) as made:
            made.host.per_second = 0.0
            made.bake()
            made.until(RolloutState.AWAITING, seconds=30)
            told, why = phase_of(made), made.rollout.reason
            stored = made.desk.rollouts.buckets(made.id)
            made.traffic.close()
            asked = len(new.requests)

    assert "on replayed requests" in why
    assert ("PASS", True) == (told["gate"]["result"], told["gate"]["replayed"])  # type: ignore[index]
    assert 60 < told["replayed"]["canary"]["requests"] <= asked  # type: ignore[index]
    users = [bucket.requests or 0 for bucket in stored if bucket.version is Version.CANARY]
    assert 0 == sum(users)  # never counted as users'
    assert {("GET", "/products")} == {*new.requests}
    assert asked <= len(new.requests) <= asked + 1


@pytest.mark.parametrize("table", [None, {"requests": ["GET /"]}])
def test_what_cannot_be_replayed_is_told_once(
    place: Place, table: dict[str, object] | None
) -> None:
    more: dict[str, Any] = {} if table is None else {"replay": table}
    with rolling(place, chosen=offers.REPLAYED, **more) as made:
        assert offers.REPLAYED == DeploymentPlan.model_validate(made.rollout.plan).chosen
        made.bake()
        made.tick()
        made.tick()
        said = made.desk.timeline.entries(made.incident.number)
        troubles = [entry for entry in said if entry.kind is EntryKind.TROUBLE]

    assert 1 == len(troubles)
    assert "[service.replay]" in str(troubles[0].content)
