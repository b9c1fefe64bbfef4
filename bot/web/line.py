"""The line in which people's wishes wait: one thread carries them out in the order they came.

Used by `bot.web.app`. Writers of one database wait better here than there, and those that wait
together are stored together, so that fifty at once cost a few writes to the disk more than one.
"""

import asyncio
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

from bot.commands import Wish
from bot.said import Said
from bot.web.room import Speaker

TOGETHER = 16  # the first of them is answered when the last is done

Turn = Future[Future[Said]]  # done when the wish had its turn


class Line:
    """Takes wishes from the loop and answers them there."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker
        self._waiting: deque[tuple[Wish, Turn]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="war-room-says")

    async def take(self, wish: Wish) -> Said:
        """Return the answer to a wish, after everything that came before it."""
        turn: Turn = Future()
        self._waiting.append((wish, turn))
        self._thread.submit(self._next)
        answer = await asyncio.wrap_future(turn)
        # Somebody else may wait for the same answer: who goes away does not call it off.
        return await asyncio.shield(asyncio.wrap_future(answer))

    def _next(self) -> None:
        """Carry out what waits; often an earlier call has taken this one's wish along."""
        first = [self._waiting.popleft() for _ in range(min(TOGETHER, len(self._waiting)))]
        batch = [(wish, turn) for wish, turn in first if turn.set_running_or_notify_cancel()]
        if not batch:
            return
        try:
            told = self._speaker.carry_out([wish for wish, _ in batch])
        except BaseException as error:
            for _, turn in batch:  # nobody waits for an answer that will not come
                turn.set_exception(error)
            raise
        for (_, turn), answer in zip(batch, told, strict=True):
            turn.set_result(answer)
