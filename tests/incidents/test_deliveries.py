"""Every entry reaches every conversation once, in order."""

from datetime import timedelta

from incidents.models import MACHINE, EntryKind
from incidents.timeline import Draft
from tests.incidents.builders import RESPONDER, World


def texts(world: World, conversation: str = "web:INC-1") -> list[str]:
    return [
        str(due.entry.content.get("text", due.entry.kind.value))
        for due in world.deliveries.pending(1, conversation)
    ]


def first_of(world: World) -> int:
    return world.deliveries.pending(1, "web:INC-1")[0].delivery.id


def test_what_is_pending_comes_in_the_order_of_the_timeline(world: World) -> None:
    world.open()
    world.incidents.note(1, RESPONDER, "second")
    assert ["opened", "second"] == texts(world)
    first = first_of(world)
    assert world.deliveries.sending(first)
    assert [True, False] == [due.unknown for due in world.deliveries.pending(1, "web:INC-1")]

    world.deliveries.sent([first], "m1")

    assert not world.deliveries.sending(first)
    assert ["second"] == texts(world)


def test_what_was_surely_not_sent_is_not_looked_for(world: World) -> None:
    world.open()
    world.deliveries.sending(first_of(world))
    world.deliveries.put_back(first_of(world), "429")

    assert [False] == [due.unknown for due in world.deliveries.pending(1, "web:INC-1")]


def test_conversations_wait_each_for_itself_the_oldest_first(world: World) -> None:
    world.open("a", conversations=("slack:C1",))
    world.open("b", conversations=("slack:C1",))
    assert [1, 2] == [one.incident for one in world.deliveries.waiting("slack:")]
    assert [] == world.deliveries.waiting("telegram:")

    (opened,) = world.deliveries.pending(1, "slack:C1")
    world.deliveries.sent([opened.delivery.id], "m1")

    assert [2] == [one.incident for one in world.deliveries.waiting("slack:")]
    assert [1, 2] == [one.incident for one in world.deliveries.waiting("web:")]


def test_a_prefix_is_text_and_not_a_pattern(world: World) -> None:
    world.open()

    assert [] == world.deliveries.waiting("%:")
    assert [] == world.deliveries.waiting("we_:")


def test_a_failed_one_is_tried_later_and_holds_the_rest(world: World) -> None:
    world.open()
    world.incidents.note(1, RESPONDER, "second")
    first = first_of(world)
    world.deliveries.failed(first, "429", timedelta(seconds=3))

    assert [] == texts(world)
    world.clock.pass_(seconds=3)
    assert ["opened", "second"] == texts(world)
    world.deliveries.failed(first, "too long", None)
    assert ["second"] == texts(world)


def test_a_conversation_that_follows_later_gets_everything(world: World) -> None:
    world.open()
    world.incidents.note(1, RESPONDER, "second")
    for _ in range(2):
        world.deliveries.follow(1, "slack:C1")

    assert [1, 2] == [due.entry.sequence for due in world.deliveries.pending(1, "slack:C1")]


def test_what_lives_is_followed_once_on_a_platform_and_what_has_ended_is_not(world: World) -> None:
    world.open("a", conversations=("slack:C0",))
    world.open("b")
    world.open("c")
    world.incidents.cancel(3, RESPONDER, "false alarm")

    assert 1 == world.deliveries.follow_live("slack:C1")
    assert 0 == world.deliveries.follow_live("slack:C1")
    assert ["slack:C0", "slack:C1"] == [one.name for one in world.deliveries.live("slack:")]


def test_a_thread_leads_back_to_its_incident(world: World) -> None:
    world.open(conversations=("slack:C1",))
    world.deliveries.opened(1, "slack:C1", "C1:171.5", "C1:171.5")
    (known,) = world.deliveries.waiting("slack:")

    assert 1 == world.deliveries.incident_of("slack", "C1:171.5")
    assert world.deliveries.incident_of("telegram", "C1:171.5") is None
    assert ("C1:171.5", "C1:171.5") == (known.thread, known.card)


def test_a_message_is_found_by_what_it_shows_and_back(world: World) -> None:
    world.open()
    for text in ("1 of 2", "2 of 2"):
        world.timeline.append(1, Draft(EntryKind.PROGRESS, {"text": text}, "run-1"), MACHINE)
    for external in ("m1", "m2", "m2"):
        world.deliveries.sent([first_of(world)], external)
    found = world.deliveries.entry_of("web:INC-1", "m2")

    assert "m2" == world.deliveries.message_of(1, "web:INC-1", EntryKind.PROGRESS, "run-1")
    assert world.deliveries.message_of(1, "web:INC-1", EntryKind.PROGRESS, "run-2") is None
    assert found is not None
    assert "2 of 2" == found.content["text"]
    assert world.deliveries.entry_of("web:INC-1", "m9") is None
