"""Lines in which work waits: one thread does it in the order it came, and often several at once.

Used by the war room and the chat platforms for what people say, and by `bot.journal` for what came
in. Writers of one database wait better here than there, and those that wait together are stored
together, so that fifty at once cost a few writes to the disk more than one.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from bot.commands import Wish
from bot.said import Said

T = TypeVar("T")
A = TypeVar("A")

TOGETHER = 16  # the first of them is answered when the last is done


class Batches(Generic[T, A]):
    """Takes work from the loop and hands what waits to `work` in one piece, in a thread."""

    def __init__(
        self, work: Callable[[Sequence[T]], Sequence[A]], name: str, together: int = TOGETHER
    ) -> None:
        self._work, self._together = work, together
        self._waiting: deque[tuple[T, Future[A]]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def take(self, one: T) -> A:
        """Return the answer to a piece of work, after everything that came before it."""
        turn: Future[A] = Future()
        self._waiting.append((one, turn))
        self._thread.submit(self._next)
        return await asyncio.wrap_future(turn)

    def _next(self) -> None:
        """Do what waits; often an earlier call has taken this one's piece along."""
        first = [self._waiting.popleft() for _ in range(min(self._together, len(self._waiting)))]
        batch = [(one, turn) for one, turn in first if turn.set_running_or_notify_cancel()]
        if not batch:
            return
        try:
            told = self._work([one for one, _ in batch])
        except BaseException as error:
            for _, turn in batch:  # nobody waits for an answer that will not come
                turn.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, turn), answer in zip(batch, told, strict=True):
            turn.set_result(answer)


class Line:
    """Carries out what people want, in the order in which they said it."""

    def __init__(self, carry_out: Callable[[Sequence[Wish]], list[Future[Said]]]) -> None:
        self._batches = Batches(carry_out, "says")

    async def take(self, wish: Wish) -> Said:
        """Return the answer to a wish, after everything that came before it."""
        answer = await self._batches.take(wish)
        # Somebody else may wait for the same answer: who goes away does not call it off.
        return await asyncio.shield(asyncio.wrap_future(answer))
