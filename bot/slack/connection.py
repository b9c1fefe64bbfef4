"""Socket Mode, watched: a connection that went silent is replaced, and its state is never guessed.

Run by `bot.slack.app` in the bot's loop. The SDK's client reports itself connected long after the
other end is gone, so what counts here is only what was heard: hello, messages, pongs. After many
failures in a row it gives up and lets the supervisor begin with a fresh process.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from slack_bolt.adapter.socket_mode.async_internals import run_async_bolt_app, send_async_response
from slack_bolt.async_app import AsyncApp
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.failures import translated
from incidents import errors

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """Seconds, but for `failures`: how many in a row end the process."""

    ping: float = 5.0
    silent: float = 20.0  # four pings without an answer: nobody is there
    closed: float = 3.0  # Slack asks for a new connection now and then; the client makes it
    connect: float = 15.0
    look: float = 0.5
    first_wait: float = 0.5
    longest_wait: float = 20.0
    failures: int = 30  # about ten minutes


@dataclass
class Socket:
    """One connection at a time, for as long as the bot lives."""

    bolt: AsyncApp
    token: str
    base_url: str
    pace: Pace = field(default_factory=Pace)
    connections: int = 0  # made so far
    _heard: float | None = None  # time.monotonic() of the last sign of life; None: not connected
    _lost: float = field(default_factory=time.monotonic)
    _why: str = "it was not opened yet"

    @property
    def trouble(self) -> str | None:
        """Return what is wrong as a sentence, None while Slack is heard."""
        now = time.monotonic()
        if self._heard is not None and now - self._heard <= self.pace.silent:
            return None
        since = now - (self._lost if self._heard is None else self._heard)
        return f"Nothing is heard from Slack since {since:.0f} s: {self._why}."

    async def run(self, stop: asyncio.Event) -> None:
        """Stay connected until told to stop; raises `errors.PermanentFailure` in the end."""
        failures = 0
        while not stop.is_set():
            wait = min(self.pace.first_wait * 2.0**failures, self.pace.longest_wait)
            try:
                await self._once(stop)
                failures = 0
                continue
            except errors.TemporaryFailure as error:
                failures += 1
                wait = max(wait, error.retry_after.total_seconds())
                self._is_lost(error.message)
            except errors.PermanentFailure as error:
                # A fresh process would have the same token: somebody has to mend it.
                wait = self.pace.longest_wait
                self._is_lost(error.message)
            log.warning("Slack's socket: %s", self._why)
            if failures >= self.pace.failures:
                raise errors.PermanentFailure(
                    f"Slack's socket could not be opened {failures} times in a row ({self._why}); "
                    "starting anew. `halon doctor` says what it finds wrong."
                )
            await _wait(stop, wait)

    async def _once(self, stop: asyncio.Event) -> None:
        """Connect, and return when the connection is gone or we are to stop."""
        web = AsyncWebClient(base_url=self.base_url, timeout=int(self.pace.connect))
        web.retry_handlers.clear()
        async with translated("apps.connections.open"):
            said = await web.apps_connections_open(app_token=self.token)
        hello = asyncio.Event()
        client = SocketModeClient(
            self.token, web_client=web, ping_interval=self.pace.ping, logger=log.getChild("client")
        )
        client.default_auto_reconnect_enabled = False  # the watch below decides
        client.wss_uri = str(said["url"])
        client.message_listeners.append(self._listener(hello))
        client.socket_mode_request_listeners.append(self._dispatch)  # type: ignore[arg-type]
        try:
            await self._within(client.connect())  # type: ignore[no-untyped-call]
            await self._within(hello.wait())
            self.connections += 1
            self._why = "the other end fell silent"
            log.info("connected to Slack")
            await self._watch(client, stop)
        finally:
            self._is_lost(self._why)
            with contextlib.suppress(TimeoutError, OSError):
                await asyncio.wait_for(client.close(), self.pace.closed)  # type: ignore[no-untyped-call]

    async def _within(self, step: Awaitable[Any]) -> None:
        try:
            await asyncio.wait_for(step, self.pace.connect)
        except TimeoutError:
            raise errors.TemporaryFailure(
                "Slack named an address and nobody said hello there",
                retry_after=timedelta(seconds=self.pace.first_wait),
            ) from None

    async def _watch(self, client: SocketModeClient, stop: asyncio.Event) -> None:
        """Return when the connection is closed or silent."""
        pong, closed_since = client.last_ping_pong_time, None
        while not stop.is_set():
            await _wait(stop, self.pace.look)
            now = time.monotonic()
            if client.last_ping_pong_time != pong:
                pong = client.last_ping_pong_time
                self._heard = now
            session = client.current_session
            if session is not None and not session.closed:
                closed_since = None
            elif closed_since is None:
                closed_since = now
            if closed_since is not None and now - closed_since > self.pace.closed:
                self._why = "the connection was closed"
                return
            if self._heard is None or now - self._heard > self.pace.silent:
                return

    def _listener(self, hello: asyncio.Event) -> Callable[..., Awaitable[None]]:
        async def heard(client: Any, message: dict[str, Any], raw: str | None) -> None:
            self._heard = time.monotonic()
            if message.get("type") == "hello":
                hello.set()

        return heard

    async def _dispatch(self, client: SocketModeClient, request: SocketModeRequest) -> None:
        """Hand one envelope to Bolt; it is acknowledged only if what it brings is stored."""
        begun = time.time()
        answer = await run_async_bolt_app(self.bolt, request)
        try:
            await send_async_response(client, request, answer, begun)
        except ConnectionError:
            log.info("an acknowledgement met a closed connection; Slack sends its event again")

    def _is_lost(self, why: str) -> None:
        self._why = why.rstrip(".")
        if self._heard is not None:
            self._heard, self._lost = None, time.monotonic()


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
