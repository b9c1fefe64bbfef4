"""A bot that lives in Telegram over a store of its own; the server behind it is `BotApi`.

Used by the tests of this folder. The client is the real one over its own request seam; updates go
through the real queue and the real `Application`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import telegram

from bot.app import compose
from bot.port import Message as Said
from bot.port import Opened
from bot.telegram.app import Account, Clocks, Webhook
from bot.telegram.application import Line
from incidents.deliveries import Deliveries
from incidents.models import ApprovalState, Incident, Person, Platform
from incidents.policy import Access
from incidents.sendings import Sendings
from incidents.settings import People, Service
from tests.bot.office import KEY, Office
from tests.bot.telegram.botapi import BOT, GROUP, TOKEN, BotApi, Message, Params
from tests.bot.telegram.people import Someone
from tests.bot.telegram.seam import Seam

T = TypeVar("T")
ADA, RITA, SAM = 7, 8, 9  # approver, responder, and somebody who is neither
CARD = Said("INC-1 · P0 · checkout failing", ("Open.",))
SOON = Clocks(lease=3, retry=0.01, longest_retry=0.05, poll=0.2, silent=5)


def services() -> tuple[Service, ...]:
    """A service whose people are in Telegram, and one of nobody."""
    return (
        Service(
            name="checkout",
            repository="/srv/checkout",
            responders=People(telegram=(str(RITA),)),
            approvers=People(telegram=(str(ADA),), web=("ada",)),
        ),
        Service(name="search", repository="/srv/search"),
    )


class Desk:
    """One Telegram, and the people in front of it."""

    def __init__(
        self,
        office: Office,
        api: BotApi | None = None,
        identities: dict[Person, Person] | None = None,
        webhook: Webhook | None = None,
    ) -> None:
        self.office, self.api = office, api or BotApi()
        self.seam, self.polls = Seam(self.api), Seam(self.api)
        line = Line(TOKEN, request=self.seam, polling=self.polls, conflict_seconds=0.05)
        account = Account(line, GROUP, webhook, per_minute=100_000)
        access = Access({one.name: one for one in services()}, True, identities or {})
        self.bot = compose(
            office.store, access, KEY, ("127.0.0.1",), None, account, telegram_clocks=SOON
        )
        assert self.bot.telegram is not None
        assert self.bot.telegram_poster is not None
        self.telegram, self.poster = self.bot.telegram, self.bot.telegram_poster
        self.poster.pace = replace(self.poster.pace, first_wait=timedelta(milliseconds=1))
        self.deliveries, self.sendings = Deliveries(office.store), Sendings(office.store)
        self.ada, self.rita, self.sam = (Someone(self.api, one) for one in (ADA, RITA, SAM))
        self.runner = asyncio.Runner()

    @property
    def port(self) -> Any:
        """The port of the poster."""
        return self.telegram.port

    def run(self, act: Callable[[], Awaitable[T]]) -> T:
        """Do something while the client is in the group; what came in before is acted on first."""

        async def inside() -> T:
            client = self.telegram.client
            await client.app.initialize()
            self.telegram.received.bot_id = self.telegram.bot.id
            await client.app.start()
            try:
                return await act()
            finally:
                await self.telegram.received.join()
                await client.app.stop()
                await self.telegram.acts.idle()
                await client.app.shutdown()

        return self.runner.run(inside())

    def hear(self, *updates: Params) -> None:
        """Let updates come in, one after the other, as Telegram sends them."""

        async def come() -> None:
            for update in updates:
                made = telegram.Update.de_json(update, self.telegram.bot)
                await self.telegram.received.put(made)
                await self.telegram.received.join()

        self.run(come)

    def post_all(self) -> None:
        """Let the poster write all that is due."""

        async def turns() -> None:
            await self.telegram.group.refresh(self.telegram.bot)
            while await self.poster.turn() or self.deliveries.waiting("telegram:"):
                self.office.clock.move(1)  # the database's; ours is waited for
                await asyncio.sleep(0.01)

        self.run(turns)

    def open_thread(self, incident: Incident) -> Opened:
        """Open the thread of an incident, and remember it as the poster does."""

        async def opening() -> Opened:
            opened: Opened = await self.port.open_thread(incident, str(GROUP), CARD)
            return opened

        opened = self.run(opening)
        self.remember(incident, opened)
        return opened

    def remember(self, incident: Incident, opened: Opened) -> None:
        """Write a thread down as the poster does."""
        place, card = opened.thread.place, opened.card.id
        self.deliveries.opened(incident.number, self.telegram.conversation, place, card)

    def texts(self, thread: int | None = None) -> list[str]:
        """What the bot said in a topic, or in the group itself."""
        return [one.text for one in self.messages(thread)]

    def messages(self, thread: int | None = None) -> list[Message]:
        """The bot's messages in a topic, or in the group itself."""
        found = self.api.group.messages.values()
        mine = (one for one in found if one.sender == BOT and one.kind != "service")
        return [one for one in mine if one.thread == thread]

    def last(self) -> str:
        """What the bot said last."""
        found = [one for one in self.api.group.messages.values() if one.sender == BOT]
        return found[-1].text

    def find(self, beginning: str) -> Message:
        """The newest message of the bot whose words begin so, after its sign."""
        found = self.api.group.messages.values()
        return next(
            one for one in reversed(found) if one.text.lstrip("🔴🟢🟡 ").startswith(beginning)
        )

    def ask(self, incident: Incident) -> tuple[str, Message]:
        """Ask whether the canary may start; return the approval and the message that asks."""
        asked = self.office.ask(incident)
        self.post_all()
        return asked, self.find("Start the canary at 10 %?")

    def state(self, approval: str) -> ApprovalState:
        """How a question stands."""
        return self.office.asking.get(approval).state


def someone(number: int) -> Person:
    """A person of Telegram's."""
    return Person(Platform.TELEGRAM, str(number))
