"""The order in which people's acts are carried out."""

import asyncio
from collections.abc import Awaitable, Callable

from bot.slack.lanes import Lanes, StepAside, Work


def act(told: list[str], name: str, until: asyncio.Event, *, aside: bool = False) -> Work:
    """Return an act that is done when an event has come."""

    async def work(step_aside: StepAside) -> None:
        if aside:
            step_aside()
        await until.wait()
        told.append(name)

    return work


def run(play: Callable[[Lanes, list[str], asyncio.Event, asyncio.Event], Awaitable[None]]) -> str:
    """Return the names of the acts in the order in which they were done."""
    told: list[str] = []

    async def inside() -> None:
        lanes, now, later = Lanes(), asyncio.Event(), asyncio.Event()
        now.set()
        await play(lanes, told, now, later)
        later.set()
        await lanes.idle()

    asyncio.run(inside())
    return "".join(told)


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_one_persons_acts_are_done_in_their_order_and_nobody_waits_for_another() -> None:
    async def play(lanes: Lanes, told: list[str], now: asyncio.Event, later: asyncio.Event) -> None:
        lanes.begin("ada", "1", act(told, "a", later))
        lanes.begin("ada", "2", act(told, "b", now))
        lanes.begin("rita", "1", act(told, "c", now))
        await turns()

    assert "cab" == run(play)


def test_who_steps_aside_lets_all_pass_but_what_is_about_the_same_message() -> None:
    async def play(lanes: Lanes, told: list[str], now: asyncio.Event, later: asyncio.Event) -> None:
        lanes.begin("ada", "1", act(told, "a", later, aside=True))
        lanes.begin("ada", "1", act(told, "b", now, aside=True))
        lanes.begin("ada", "2", act(told, "c", now))
        await turns()

    assert "cab" == run(play)


def test_what_was_stopped_leaves_its_lane() -> None:
    async def inside() -> list[str]:
        told: list[str] = []
        lanes, never, now = Lanes(), asyncio.Event(), asyncio.Event()
        now.set()
        lanes.begin("ada", "1", act(told, "a", never))
        await lanes.close()
        lanes.begin("ada", "1", act(told, "b", now))
        await lanes.idle()
        return told

    assert ["b"] == asyncio.run(inside())
