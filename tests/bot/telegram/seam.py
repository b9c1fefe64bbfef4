"""The real client over the server's memory, without a socket: python-telegram-bot's own seam."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
from telegram.error import NetworkError
from telegram.request import BaseRequest, RequestData

from tests.bot.telegram.botapi import BotApi, Params


class Seam(BaseRequest):
    """Answers from a `BotApi`; `fate` may raise before or after a call, as a network does."""

    def __init__(self, api: BotApi) -> None:
        self._api = api
        self.fate: Callable[[str, str], None] = lambda when, method: None

    @property
    def read_timeout(self) -> float | None:
        return 5.0

    async def initialize(self) -> None:
        return

    async def shutdown(self) -> None:
        return

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        *_: Any,
        **__: Any,
    ) -> tuple[int, bytes]:
        before, name = url.rsplit("/", 1)
        token = before.rsplit("/bot", 1)[1]
        self.fate("before", name)
        status, body = await asyncio.to_thread(
            self._api.call, token, name, parameters(request_data)
        )
        self.fate("after", name)
        return status, json.dumps(body).encode()


def parameters(data: RequestData | None) -> Params:
    """The parameters of a call, files among them."""
    if data is None:
        return {}
    found: Params = dict(data.json_parameters)
    for name, (file, content, _) in (data.multipart_data or {}).items():
        found[name] = (file, content)
    return found


def lost(method: str, when: str = "after", times: int = 1) -> Callable[[str, str], None]:
    """Let the answer to a method be lost, or the call itself."""
    left = [times]

    def fate(now: str, name: str) -> None:
        if (now, name) == (when, method) and left[0]:
            left[0] -= 1
            try:
                raise httpx.ReadError("connection reset")
            except httpx.ReadError as error:
                raise NetworkError("connection reset") from error

    return fate
