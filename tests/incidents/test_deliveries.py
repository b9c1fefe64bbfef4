"""Every entry reaches every conversation once, in order."""

from datetime import timedelta

from incidents.models import MACHINE, EntryKind
from incidents.timeline import Draft
from tests.incidents.builders import RESPONDER, World


def texts(world: World, prefix: str = "web:") -> list[str]:
    return [
        str(due.entry.content.get("text", due.entry.kind.value))
        for due in world.deliveries.due(prefix)
    ]


def test_one_is_due_at_a_time_in_order(world: World) -> None:
    world.open()
    world.incidents.note(1, RESPONDER, "second")
    assert ["opened"] == texts(world)
    (first,) = world.deliveries.due("web:")
    assert world.deliveries.sending(first.delivery.id)
    assert ["opened"] == texts(world)  # the outcome is unknown: it stays first

    world.deliveries.sent(first.delivery.id, "m1")

    assert not world.deliveries.sending(first.delivery.id)
    assert ["second"] == texts(world)


def test_each_incident_and_conversation_has_its_own_order(world: World) -> None:
    world.open("a", conversations=("slack:C1",))
    world.open("b", conversations=("slack:C1",))

    assert [1, 2] == [due.incident.number for due in world.deliveries.due("slack:")]
    assert [] == world.deliveries.due("telegram:")


def test_a_prefix_is_text_and_not_a_pattern(world: World) -> None:
    world.open()

    assert [] == world.deliveries.due("%:")
    assert [] == world.deliveries.due("we_:")


def test_a_failed_one_is_tried_later_and_holds_the_rest(world: World) -> None:
    world.open()
    world.incidents.note(1, RESPONDER, "second")
    (first,) = world.deliveries.due("web:")
    world.deliveries.failed(first.delivery.id, "429", timedelta(seconds=3))

    assert [] == texts(world)
    world.clock.pass_(seconds=3)
    assert ["opened"] == texts(world)
    world.deliveries.failed(first.delivery.id, "too long", None)
    assert ["second"] == texts(world)


def test_a_conversation_that_follows_later_gets_everything(world: World) -> None:
    world.open()
    world.incidents.note(1, RESPONDER, "second")
    for _ in range(2):
        world.deliveries.follow(1, "slack:C1")
    got = []
    while found := world.deliveries.due("slack:"):
        got.append(found[0].entry.sequence)
        world.deliveries.sent(found[0].delivery.id, f"m{found[0].entry.sequence}")

    assert [1, 2] == got


def test_a_thread_leads_back_to_its_incident(world: World) -> None:
    world.open(conversations=("slack:C1",))
    world.deliveries.opened(1, "slack:C1", "171.5")

    assert 1 == world.deliveries.incident_of("slack", "171.5")
    assert world.deliveries.incident_of("telegram", "171.5") is None
    assert "171.5" == world.deliveries.due("slack:")[0].thread


def test_a_message_is_found_by_what_it_shows_and_back(world: World) -> None:
    world.open()
    for text in ("1 of 2", "2 of 2"):
        world.timeline.append(1, Draft(EntryKind.PROGRESS, {"text": text}, "run-1"), MACHINE)
    for external in ("m1", "m2", "m2"):
        world.deliveries.sent(world.deliveries.due("web:")[0].delivery.id, external)
    found = world.deliveries.entry_of("web:INC-1", "m2")

    assert "m2" == world.deliveries.message_of(1, "web:INC-1", EntryKind.PROGRESS, "run-1")
    assert world.deliveries.message_of(1, "web:INC-1", EntryKind.PROGRESS, "run-2") is None
    assert found is not None
    assert "2 of 2" == found.content["text"]
    assert world.deliveries.entry_of("web:INC-1", "m9") is None
