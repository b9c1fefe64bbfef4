"""The stream: what is new reaches who looks, and who comes back misses nothing."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from bot.port import Message
from incidents.models import Severity
from incidents.policy import OPERATOR
from tests.bot.web import rooms
from tests.incidents.builders import World

Event = tuple[str, str | None, dict[str, Any]]


@contextmanager
def stream(client: httpx.Client, path: str, **headers: str) -> Iterator[Iterator[Event]]:
    """Open a stream and give its events."""
    with client.stream("GET", path, headers=headers) as answer:
        assert "text/event-stream" in answer.headers["content-type"]
        yield events(answer.iter_lines())


def events(lines: Iterator[str]) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "event" in fields:
            yield fields["event"], fields.get("id"), json.loads(fields["data"])
            fields = {}


def posts(found: Iterator[Event], count: int) -> list[tuple[str | None, str]]:
    """Return the next messages of a stream, with their ids."""
    said = []
    for kind, number, content in found:
        if kind == "post":
            said.append((number, content["html"]))
        if len(said) == count:
            return said
    raise AssertionError(f"the stream ended after {len(said)} messages")


def test_a_message_reaches_who_looks(house: rooms.House) -> None:
    incident = house.open()
    with house.client() as client, stream(client, "/stream/INC-1") as found:
        house.post(incident, Message("The cause is CONFIRMED"), "k")
        ((number, html),) = posts(found, 1)

    assert "1" == number
    assert "The cause is CONFIRMED" in html


def test_an_edit_comes_with_a_newer_number_and_the_same_place(house: rooms.House) -> None:
    incident = house.open()
    ref = house.post(incident, Message("Baking"), "k")
    with house.client() as client, stream(client, "/stream/INC-1?after=1") as found:
        rooms.edit(house, ref, Message("Baked"))
        ((number, html),) = posts(found, 1)

    assert "2" == number
    assert f'id="post-{ref.id}"' in html


def test_who_comes_back_gets_what_was_said_meanwhile_and_nothing_twice(house: rooms.House) -> None:
    incident = house.open()
    for place in range(1, 5):
        house.post(incident, Message(f"News {place}"), f"k{place}")
    headers = {"Last-Event-ID": "2"}
    with house.client() as client, stream(client, "/stream/INC-1", **headers) as found:
        said = posts(found, 2)

    assert ["3", "4"] == [number for number, _ in said]
    assert ["News 3" in said[0][1], "News 4" in said[1][1]] == [True, True]


def test_the_facts_follow_what_happens(house: rooms.House) -> None:
    incident = house.open(severity=Severity.P2)
    with house.client() as client, stream(client, "/stream/INC-1") as found:
        cards = (c["html"] for kind, _, c in found if kind == "part" and c["name"] == "card")
        assert '<span class="severity">P2</span>' in next(cards)
        house.world.incidents.change_severity(incident.number, Severity.P0, OPERATOR)
        assert any('<span class="severity">P0</span>' in html for html in cards)


def test_what_waits_is_loud_for_who_may_answer_and_quiet_for_the_rest(house: rooms.House) -> None:
    house.ask(house.open())
    seen = {}
    for person in (OPERATOR, rooms.STRANGER):
        with house.client(person) as client, stream(client, "/stream/INC-1") as found:
            asks = (c["html"] for kind, _, c in found if kind == "part" and c["name"] == "ask")
            seen[person.user] = next(asks)

    assert "Waits for you" in seen["operator"]
    assert "Start at 10 %" in seen["operator"]
    assert "Waits for an approver" in seen["stranger"]
    assert "<button" not in seen["stranger"]


def test_the_list_is_live_on_the_first_page_too(house: rooms.House) -> None:
    with house.client() as client, stream(client, "/stream") as found:
        house.open()
        lists = (c["html"] for kind, _, c in found if kind == "part" and c["name"] == "list")
        assert any("INC-1" in html for html in lists)


def test_open_streams_do_not_keep_the_server_from_stopping(world: World) -> None:
    with rooms.running(rooms.room_of(world)) as (address, serving):
        headers = {"Authorization": f"Bearer {world.tokens.add('op', OPERATOR)}"}
        with (
            httpx.Client(base_url=address, headers=headers) as client,
            stream(client, "/stream") as found,
        ):
            assert "part" == next(found)[0]
            serving.should_exit = True
            assert all(kind in ("part", "beat") for kind, _, _ in found)  # and then it ends
