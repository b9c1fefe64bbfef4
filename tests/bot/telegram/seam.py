"""The real client over the server's memory, without a socket: python-telegram-bot's own seam."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

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
