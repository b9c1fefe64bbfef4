"""Updates that Telegram sends by itself: one path of the war room's server, guarded by a secret.

Made by `bot.telegram.app` where the mode is `webhook`. Answers after the update is journaled,
so that Telegram sends again what could not be stored.
"""

import asyncio
import hmac
import json
import logging

import telegram
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from telegram import error

log = logging.getLogger(__name__)

PATH = "/telegram"
HEADER = "X-Telegram-Bot-Api-Secret-Token"
MOST_BYTES = 1_000_000


class Door:
    """Takes requests of Telegram's; anything else learns nothing."""

    def __init__(self, bot: telegram.Bot, received: "asyncio.Queue[object]", secret: str) -> None:
        self._bot, self._received, self._secret = bot, received, secret.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answer = Response(status_code=await self._taken(Request(scope, receive)))
        await answer(scope, receive, send)

    async def _taken(self, request: Request) -> int:
        said = request.headers.get(HEADER, "").encode("utf-8", "replace")
        if request.method != "POST" or not hmac.compare_digest(said, self._secret):
            return 403
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > MOST_BYTES:
                return 413
        try:
            update = telegram.Update.de_json(json.loads(body), self._bot)
        except (ValueError, TypeError, KeyError, AttributeError):
            log.warning("what came to the webhook is no update")
            return 400
        try:
            await self._received.put(update)
        except error.TelegramError:
            return 503
        return 200
