"""Follows the timeline into the conversations of one platform, as quickly as it may be written to.

Run by `bot.app`, one poster per platform, so that a platform that is down disturbs no other. Finds
out which conversations want something, and starts their senders where the platform's limits allow
it: the most pressing first. Never sleeps while it holds anything: what must wait is looked at
again.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from bot.gathering import Gathering
from bot.outbox import Pace, Tap
from bot.port import ChatPort
from bot.sender import Sender, Work
from incidents.deliveries import Conversation, Deliveries

log = logging.getLogger(__name__)

LAST_WORDS_SECONDS = 5.0  # for what is being sent when the process is told to end


@dataclass
class Poster:
    """Posts into the conversations of one platform."""

    port: ChatPort
    deliveries: Deliveries
    gathering: Gathering
    pace: Pace = field(default_factory=Pace)
    clock: Callable[[], float] = time.monotonic
    follows: str = ""  # the conversation that every live incident gets here, such as "slack:C1"
    beat: float | None = None  # time.monotonic() of the last turn that went through
    _senders: dict[tuple[int, str], Sender] = field(default_factory=dict)
    _taps: dict[str, Tap] = field(default_factory=dict)
    _begun: bool = False
    _stopping: bool = False

    async def run(self, stop: asyncio.Event) -> None:
        """Post until told to stop; a failing turn is logged and tried again."""
        while not stop.is_set():
            started: list[asyncio.Task[None]] = []
            try:
                await self._look()
                started = await self._start()
                self.beat = time.monotonic()
            except Exception:
                log.exception("a turn of the %s poster failed", self.port.platform)
            await self._rest(stop, bool(started))
        await self._end()

    async def turn(self) -> bool:
        """Look once and finish all that may be written now; True if there was something."""
        await self._look()
        started = await self._start()
        await asyncio.gather(*started)
        return bool(started)

    async def _rest(self, stop: asyncio.Event, busy: bool) -> None:
        """Wait for the next look, or until a sender is free again."""
        running = [one.task for one in self._senders.values() if one.task is not None]
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait(
            {stopped, *(running if busy else ())},
            timeout=self.pace.look.total_seconds(),
            return_when=asyncio.FIRST_COMPLETED,
        )
        stopped.cancel()

    async def _end(self) -> None:
        """Let what is being sent come to its end; what hangs is found again by its key."""
        self._stopping = True
        running = [one.task for one in self._senders.values() if one.task is not None]
        if not running:
            return
        _, hanging = await asyncio.wait(running, timeout=LAST_WORDS_SECONDS)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    # --- who wants something

    async def _look(self) -> None:
        prefix = f"{self.port.platform}:"
        if self.follows:
            await asyncio.to_thread(self.deliveries.follow_live, self.follows)
        if not self._begun:
            for one in await asyncio.to_thread(self.deliveries.live, prefix):
                self._sender(one)
            self._begun = True
        waiting = await asyncio.to_thread(self.deliveries.waiting, prefix)
        for one in waiting:
            self._sender(one).wants = True
        for key in [key for key, sender in self._senders.items() if sender.idle]:
            del self._senders[key]

    def _sender(self, one: Conversation) -> Sender:
        key = (one.incident, one.name)
        if key not in self._senders:
            self._senders[key] = Sender(
                self.port, self.deliveries, self.gathering, self.pace, self.clock, one
            )
        return self._senders[key]

    # --- who may go

    async def _start(self) -> list[asyncio.Task[None]]:
        """Start the most pressing of what may be written, as far as the limits go."""
        now = self.clock()
        ready = [one for one in self._senders.values() if one.may(now) and self._tap(one).open(now)]
        works = await asyncio.gather(*(one.next(now) for one in ready))
        wanted = [(work, one) for work, one in zip(works, ready, strict=True) if work is not None]
        started = []
        for work, sender in sorted(wanted, key=lambda one: one[0].rank):
            tap = self._tap(sender)
            if tap.allows(now, work.rank):
                tap.take(now)
                started.append(self._task(sender, self._serve(sender, work, tap)))
        return started

    def _tap(self, sender: Sender) -> Tap:
        name = self.port.shares(sender.place)
        if name not in self._taps:
            self._taps[name] = Tap(self.pace.every.total_seconds(), self.pace.burst)
        return self._taps[name]

    async def _serve(self, sender: Sender, work: Work | None, tap: Tap) -> None:
        """Write one thing, or all that a conversation has where nothing limits it."""
        while work is not None:
            await sender.perform(work)
            go_on = tap.free and not self._stopping
            work = await sender.next(self.clock()) if go_on else None

    def _task(self, sender: Sender, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)

        def done(ended: asyncio.Task[None]) -> None:
            sender.task = None
            if not ended.cancelled() and (error := ended.exception()) is not None:
                log.error("a sender of %s broke off", self.port.platform, exc_info=error)

        sender.task = task
        task.add_done_callback(done)
        return task
