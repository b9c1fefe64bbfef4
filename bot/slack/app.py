"""Slack's way in: Bolt checks and dispatches, the journal stores, then it is acknowledged.

Made by `bot.app` from the settings. The order is the point: nothing is acknowledged that is not on
the disk, nothing is acted on before it was acknowledged, and no call of Slack's API stands between.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from slack_bolt.adapter.starlette.async_handler import to_async_bolt_request, to_starlette_response
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bot import journal
from bot.hearing import Hearing
from bot.journal import Journal
from bot.line import Line
from bot.slack import inbound, manifest, registry
from bot.slack.acts import Acts
from bot.slack.asking import SECONDS, Asking
from bot.slack.connection import Pace, Socket
from bot.slack.crew import Crew
from bot.slack.me import Me
from bot.slack.people import People
from bot.slack.place import ACTION
from incidents import errors
from incidents.effects import Effects
from incidents.models import Json, Platform

log = logging.getLogger(__name__)

EVENTS_PATH = manifest.PATH
OURS = re.compile(f"^{re.escape(ACTION)}")
MOST_BYTES = 1_000_000  # Slack's requests are a few kilobytes
LONGEST_WAIT = timedelta(seconds=30)


@dataclass(frozen=True)
class Account:
    """Where Slack is and what lets us in; either an app token or a signing secret."""

    bot_token: str
    base_url: str
    app_token: str | None = None
    signing_secret: str | None = None
    channel: str | None = None  # in which incidents are told

    def client(self) -> AsyncWebClient:
        """Return a client whose own retries are off: a post that is sent again is said twice."""
        client = AsyncWebClient(self.bot_token, base_url=self.base_url, timeout=SECONDS)
        client.retry_handlers.clear()
        return client


@dataclass
class Slack:
    """The inbound half of Slack, in the bot's loop."""

    account: Account
    hearing: Hearing
    journal: Journal
    effects: Effects
    pace: Pace = field(default_factory=Pace)

    def __post_init__(self) -> None:
        """Put the parts together; nothing is asked of Slack yet."""
        self.me = Me()
        self.asking = Asking(self.account.client())
        self.people = People(self.asking, lambda: self.me.team)
        line = Line(self.hearing.commands.carry_out)
        self.acts = Acts(
            self.hearing, self.journal, line, self.people, self.asking, self.me,
            self.account.channel,
        )  # fmt: skip
        self.crew = Crew(
            self.asking,
            self.hearing.commands.incidents,
            self.hearing.deliveries,
            self.effects,
            self.hearing.commands.access,
        )
        self.bolt = _bolt(self.account, self.me, self.take)
        token = self.account.app_token
        self.socket = (
            None if token is None else Socket(self.bolt, token, self.account.base_url, self.pace)
        )

    async def take(self, body: Json) -> None:
        """Store what came in and begin to act on it; what was seen before is left alone."""
        one = inbound.read(body)
        if one is None:
            return
        seen = journal.event(Platform.SLACK, one.event_id, one.meaning, one.stored)
        item = await self.journal.take(seen)
        if item is not None:
            self.acts.start(item)

    async def run(self, stop: asyncio.Event) -> None:
        """Take up what a crash left, then listen until told to stop."""
        for item in await asyncio.to_thread(self.journal.left, Platform.SLACK):
            self.acts.start(item)
        knowing = asyncio.create_task(self._know_ourselves(stop), name="slack: who are we")
        listening = asyncio.create_task(self._listen(stop), name="slack: socket")
        calling = asyncio.create_task(self.crew.run(stop), name="slack: crew")
        try:
            await asyncio.gather(knowing, listening, calling)
        finally:
            for task in (knowing, listening, calling):
                task.cancel()
            await self.acts.close()

    def trouble(self) -> str | None:
        """Return what keeps Slack from being heard, None when nothing does."""
        if self.socket is not None and (why := self.socket.trouble) is not None:
            return why
        return self.me.trouble

    async def door(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request of Slack (ASGI); Bolt checks its signature and its time."""
        request = Request(scope, receive)
        if request.method != "POST":
            answer = Response("Only POST.", 405)
        elif (body := await _body(request)) is None:
            answer = Response("Too large.", 413)
        else:
            answer = to_starlette_response(
                await self.bolt.async_dispatch(to_async_bolt_request(request, body))
            )
        await answer(scope, receive, send)

    async def _listen(self, stop: asyncio.Event) -> None:
        if self.socket is None:
            await stop.wait()
        else:
            await self.socket.run(stop)

    async def _know_ourselves(self, stop: asyncio.Event) -> None:
        wait = timedelta(seconds=1)
        while not stop.is_set():
            try:
                self.me.learn(await self.asking.me())
                return
            except errors.TemporaryFailure as error:
                self.me.trouble = error.message
                wait = max(wait, error.retry_after)
            except errors.PermanentFailure as error:
                self.me.trouble = f"{error.message} `halon doctor` says what to do."
                wait = LONGEST_WAIT
            log.warning("Slack does not say who we are: %s", self.me.trouble)
            await _pause(stop, wait)
            wait = min(wait * 2, LONGEST_WAIT)


def _bolt(account: Account, me: Me, take: Callable[[Json], Awaitable[None]]) -> AsyncApp:
    """Return Bolt's app: our journal before every listener, and listeners that acknowledge."""

    async def authorize(enterprise_id: str | None, team_id: str | None) -> AuthorizeResult:
        # What Bolt would ask of auth.test; asked once, and never between an event and its ack.
        return AuthorizeResult(
            enterprise_id=enterprise_id,
            team_id=team_id,
            bot_token=account.bot_token,
            bot_id=me.bot or None,
            bot_user_id=me.user or None,
        )

    async def store(body: Json, next_: Callable[[], Awaitable[Any]]) -> None:
        await take(body)
        await next_()

    async def acknowledge(ack: Callable[[], Awaitable[Any]]) -> None:
        await ack()

    app = AsyncApp(
        name="halon",
        logger=log,
        client=AsyncWebClient(base_url=account.base_url),
        authorize=authorize,
        signing_secret=account.signing_secret or "",
        request_verification_enabled=account.signing_secret is not None,
    )
    app.use(store)
    for command in registry.COMMANDS:
        app.command(command.name)(acknowledge)
    for event in sorted({name.partition(".")[0] for name in registry.EVENTS}):
        app.event(event)(acknowledge)
    app.action(OURS)(acknowledge)
    app.view(OURS)(acknowledge)
    return app


async def _body(request: Request) -> bytes | None:
    """Return the body as it was sent, None when it is too large to be Slack's."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            return None
    return body


async def _pause(stop: asyncio.Event, wait: timedelta) -> None:
    try:
        await asyncio.wait_for(stop.wait(), wait.total_seconds())
    except TimeoutError:
        return
