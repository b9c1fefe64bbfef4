"""What outlives an incident."""

from datetime import timedelta
from decimal import Decimal

import pytest

from incidents import errors
from incidents.knowledge import Spent
from incidents.models import Evidence, EvidenceKind, KnownIncident, Outcome, Stage
from incidents.stages import Ending
from tests.incidents.builders import RESPONDER, START, World


def test_a_bill_counts_even_when_its_run_was_lost(world: World) -> None:
    run = world.stage(world.open(), Stage.TRIAGE)
    world.stages.finish(run.id, run.fence, Ending(Outcome.NO_INCIDENT))
    world.costs.add(run.id, Spent("bug-diagnostician", "claude", 10, 5, Decimal("0.25")))

    assert Decimal("0.25") == world.costs.total(1)
    assert Decimal("0.25") == world.stages.get(run.id).cost


def test_nothing_spent_is_zero(world: World) -> None:
    assert Decimal(0) == world.costs.total(world.open().number)


def test_evidence_is_kept_in_order_once_and_redacted(world: World) -> None:
    world.open()
    facts = [
        Evidence(
            name, EvidenceKind.LOG, "app.log", "12", START, "0" * 64, f"{name} bob@example.com"
        )
        for name in ("E2", "E1")
    ]
    world.ledger.add(1, facts)
    world.ledger.add(1, facts)

    assert ["E2 <email-1>", "E1 <email-1>"] == [fact.excerpt for fact in world.ledger.all(1)]


def test_an_action_item_is_added_once_and_done_once(world: World) -> None:
    incident = world.open()
    due = START + timedelta(days=7)
    items = [
        world.action_items.add(1, "Add a guard", "@payments", due, "pytest", RESPONDER)
        for _ in range(2)
    ]
    world.action_items.add(1, "First of all", "@payments", START, None, RESPONDER)
    assert items[0] == items[1]
    assert ["First of all", "Add a guard"] == [item.text for item in world.action_items.list(1)]
    done = [world.action_items.done(items[0].id, RESPONDER) for _ in range(2)]

    assert world.clock.at == done[1].done_at
    assert ["First of all"] == [i.text for i in world.action_items.list(open_only=True)]
    assert 3 == world.kinds(incident).count("note")
    with pytest.raises(errors.NotFound):
        world.action_items.done(99, RESPONDER)


def test_a_known_incident_is_matched_by_its_fingerprint_newest_first(world: World) -> None:
    world.open("a"), world.open("b")
    old = KnownIncident("f", 1, "t", "c", "revert")
    new = KnownIncident("f", 2, "t", "c", "guard")
    for known in (old, new, old):
        world.known.remember(known)

    assert [new, old] == world.known.match("f")
    assert [] == world.known.match("g")
