"""The request by which updates are fetched: it knows when Telegram last answered, and waits where
two pollers fight over one token.

Given to python-telegram-bot for `getUpdates`. The poller tries again by itself for ever, so it is
never restarted; a conflict that lasts is waited out for longer than the server keeps an old poll.
"""

import asyncio
import logging
import time
from http import HTTPStatus
from typing import Any

from telegram.request import BaseRequest

log = logging.getLogger(__name__)

CONFLICT_SECONDS = 35.0
OFTEN = 2  # conflicts in a row that make a lasting one: a single one is the end of an old poll


class Polling(BaseRequest):
    """Wraps the real request."""

    def __init__(self, inner: BaseRequest, conflict_seconds: float = CONFLICT_SECONDS) -> None:
        self._inner, self._pause = inner, conflict_seconds
        self.answered: float | None = None  # time.monotonic() of the last successful answer
        self.conflicts = 0  # in a row

    @property
    def read_timeout(self) -> float | None:
        """That of the real request."""
        return self._inner.read_timeout

    async def initialize(self) -> None:
        """Open connections."""
        await self._inner.initialize()

    async def shutdown(self) -> None:
        """Close them."""
        await self._inner.shutdown()

    async def do_request(self, *args: Any, **kwargs: Any) -> tuple[int, bytes]:
        """Make one request."""
        status, body = await self._inner.do_request(*args, **kwargs)
        if status == HTTPStatus.OK:
            self.answered, self.conflicts = time.monotonic(), 0
        elif status == HTTPStatus.CONFLICT:
            self.conflicts += 1
            if self.conflicts >= OFTEN:
                log.error("somebody else fetches the updates of this token; end the other bot")
                await asyncio.sleep(self._pause)
        return status, body

    def age(self) -> float | None:
        """Return the seconds since Telegram last answered, None where it never did."""
        return None if self.answered is None else time.monotonic() - self.answered
