"""The platform `web` as the poster sees it, and its rows."""

import asyncio

import pytest

from bot.port import Button, File, Message, PostRef, ThreadRef, Tone
from bot.web import port
from incidents import errors
from incidents.models import Platform
from incidents.posts import Posts
from tests.incidents.builders import START, World

WHOLE = Message(
    headline="News",
    lines=("one", "two"),
    markdown="# all",
    diff="-a\n+b",
    files=(File("a.md", "text/markdown", "A", b"\x00\xff"),),
    buttons=(Button("Grow to 50 %", "approve", "a1", Tone.PASSING),),
    reactions=("✅", "❌"),
    tone=Tone.WAITING,
    author="web:ann",
    at=START,
    approval="a1",
)


def thread_of(world: World) -> tuple[port.WebPort, ThreadRef]:
    web = port.WebPort(Posts(world.store))
    return web, ThreadRef(Platform.WEB, world.open().id)


def test_a_message_comes_back_as_it_was_said_with_its_files_apart(world: World) -> None:
    web, thread = thread_of(world)
    ref = asyncio.run(web.post(thread, WHOLE, "k"))
    (row,) = web.posts.since(1)
    _, stored = web.posts.file(int(ref.id), 0)

    again = port.from_json(row.message)
    assert b"" == again.files[0].content
    assert WHOLE == Message(
        **{**vars(again), "files": (File("a.md", "text/markdown", "A", b"\x00\xff"),)}
    )
    assert b"\x00\xff" == port.file_from_json(stored).content


def test_the_same_key_is_the_same_message_and_is_found_again(world: World) -> None:
    web, thread = thread_of(world)
    first = asyncio.run(web.post(thread, WHOLE, "k"))
    second = asyncio.run(web.post(thread, Message("Another"), "k"))

    assert first == second == asyncio.run(web.find(thread, "k"))
    assert asyncio.run(web.find(thread, "other")) is None


def test_only_an_edit_that_says_something_else_is_news(world: World) -> None:
    web, thread = thread_of(world)
    ref = asyncio.run(web.post(thread, WHOLE, "k"))
    asyncio.run(web.edit(ref, WHOLE))
    same = web.posts.version(1)
    asyncio.run(web.edit(ref, Message("Other news")))

    assert (1, 2) == (same, web.posts.version(1))


def test_the_versions_of_an_incident_have_no_gap_and_no_twin(world: World) -> None:
    web, thread = thread_of(world)
    asyncio.run(web.open_thread(world.incidents.get(1), "INC-1", Message("Card")))
    refs = [asyncio.run(web.post(thread, Message(f"{n}"), f"k{n}")) for n in range(2)]
    asyncio.run(web.edit(refs[0], Message("new")))

    assert [(2, True), (5, False), (4, False)] == [
        (row.version, row.pinned) for row in web.posts.since(1)
    ]


def test_what_does_not_exist_is_said_to(world: World) -> None:
    web, _ = thread_of(world)
    nowhere = ThreadRef(Platform.WEB, "INC-9")

    with pytest.raises(errors.NotFound):
        asyncio.run(web.post(nowhere, WHOLE, "k"))
    with pytest.raises(errors.NotFound):
        asyncio.run(web.edit(PostRef(nowhere, "99"), WHOLE))
    with pytest.raises(errors.NotFound):
        asyncio.run(web.post(ThreadRef(Platform.WEB, "C0FFEE"), WHOLE, "k"))
