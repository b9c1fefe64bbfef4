"""One person's acts in their order, and those on one message too; nobody waits for another.

Used by `bot.slack.acts`. An act that has to wait for Slack may step aside: the same person's next
acts go on, all but those on the same message.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

log = logging.getLogger(__name__)

_End = asyncio.Future[None]
StepAside = Callable[[], None]
Work = Callable[[StepAside], Coroutine[Any, Any, None]]


class Lanes:
    """What was begun and is not done, in lanes."""

    def __init__(self) -> None:
        self._ends: dict[str, _End] = {}  # lane → the end of its last act
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, person: str, message: str, work: Work) -> None:
        """Begin an act after those before it in its two lanes; `work` may call what it is given."""
        here = f"{person} {message}"
        before = self._ends.get(person), self._ends.get(here)
        loop = asyncio.get_running_loop()
        mine: dict[str, _End] = {lane: loop.create_future() for lane in (person, here)}
        self._ends |= mine
        task = loop.create_task(_in_turn(*before, work, partial(_end, mine[person])))
        self._tasks.add(task)
        task.add_done_callback(partial(self._left, mine))

    async def idle(self) -> None:
        """Wait until everything that was begun is done."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    async def close(self) -> None:
        """Stop everything where it is."""
        running = list(self._tasks)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _left(self, mine: dict[str, _End], task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        for lane, end in mine.items():
            _end(end)
            if self._ends.get(lane) is end:
                del self._ends[lane]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("an event of Slack could not be acted on", exc_info=error)


async def _in_turn(
    persons: _End | None, messages: _End | None, work: Work, aside: StepAside
) -> None:
    if persons is not None:
        await asyncio.wait([persons])
    if messages is not None and not messages.done():
        aside()  # only who acts on this message has to wait for it
        await asyncio.wait([messages])
    await work(aside)


def _end(one: _End) -> None:
    if not one.done():
        one.set_result(None)
