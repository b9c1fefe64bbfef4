"""An event is taken once, under either of its names, and is never lost."""

from incidents.models import Platform
from tests.incidents.builders import World

SLACK = Platform.SLACK


def test_an_event_is_taken_once_by_its_id_and_by_its_meaning(world: World) -> None:
    first = world.inbox.receive(SLACK, "Ev1", "U1 says x in C1", {"text": "x"})

    assert first is not None
    assert world.inbox.receive(SLACK, "Ev1", "other", {}) is None
    assert world.inbox.receive(SLACK, "Ev2", "U1 says x in C1", {}) is None
    assert world.inbox.receive(Platform.TELEGRAM, "Ev1", "U1 elsewhere", {}) is not None


def test_what_was_not_done_is_found_after_a_crash(world: World) -> None:
    first = world.inbox.receive(SLACK, "Ev1", "a", {"text": "x"})
    second = world.inbox.receive(SLACK, "Ev2", "b", {})
    assert first is not None
    assert second is not None
    world.inbox.done(first.id)

    assert [second] == world.inbox.undone()


def test_an_event_is_remembered_for_a_day_and_unfinished_work_for_longer(world: World) -> None:
    for number, done in ((1, True), (2, False)):
        item = world.inbox.receive(SLACK, f"Ev{number}", f"m{number}", {})
        assert item is not None
        if done:
            world.inbox.done(item.id)
    world.clock.pass_(hours=23, minutes=59)
    assert world.inbox.receive(SLACK, "Ev1", "m1", {}) is None
    world.clock.pass_(minutes=1)

    assert world.inbox.receive(SLACK, "Ev1", "m1", {}) is not None
    assert world.inbox.receive(SLACK, "Ev2", "m2", {}) is None
