"""Telegram as a whole: one life of the client, led by whoever holds the token's lease.

Made and run by `bot.app`. One process polls a token and posts with it, the others wait for its
lease; the updater is started once and never restarted on errors. Nothing here ends the bot: what is
wrong is said by `trouble`, which the health page and `halon doctor` show.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import telegram
from telegram.constants import ReactionEmoji

from bot.hearing import Hearing
from bot.journal import Journal
from bot.line import Line as Says
from bot.outbox import Pace, Tap
from bot.telegram import application, limits
from bot.telegram.acts import Acts
from bot.telegram.application import ALLOWED
from bot.telegram.calls import Moved, called
from bot.telegram.drawing import Look
from bot.telegram.group import Group
from bot.telegram.outward import Outward
from bot.telegram.port import TelegramPort
from bot.telegram.receiving import Received
from bot.telegram.replies import Replies
from bot.telegram.webhook import PATH, Door
from incidents import errors
from incidents.models import Platform
from incidents.sendings import Sendings
from incidents.timers import Leases

log = logging.getLogger(__name__)

BURST = 3
LAST_WORDS_SECONDS = 2.0  # for answers that are on their way when we end


@dataclass(frozen=True)
class Webhook:
    """Where Telegram reaches us, and the secret by which we know it."""

    url: str
    secret: str


@dataclass(frozen=True)
class Account:
    """What lets us into Telegram, and how we behave there."""

    line: application.Line
    group: int
    webhook: Webhook | None = None
    yes: str = "👍"
    no: str = "👎"
    per_minute: int = limits.PER_GROUP

    @property
    def conversation(self) -> str:
        """The conversation that every incident is told in."""
        return f"{Platform.TELEGRAM}:{self.group}"


@dataclass(frozen=True)
class Clocks:
    """Seconds; tests make them short."""

    lease: float = 15.0
    retry: float = 5.0
    longest_retry: float = 30.0
    poll: float = 20.0  # how long one getUpdates waits
    silent: float = 90.0  # without an answer to getUpdates something is wrong


@dataclass(frozen=True)
class Store:
    """The store's faces that Telegram needs."""

    sendings: Sendings
    leases: Leases
    owner: str  # of this process, for the lease
    again: Callable[[int], Sequence[int]] = lambda number: ()


@dataclass
class Telegram:
    """One bot in one group."""

    account: Account
    hearing: Hearing
    journal: Journal
    store: Store
    clocks: Clocks = field(default_factory=Clocks)

    def __post_init__(self) -> None:
        """Put the parts together; no call is made."""
        # Requests are logged with their address, and that has the token in it.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        look = Look(self.account.yes, self.account.no)
        self.group = Group(self.account.group, self.store.sendings)
        self.received = Received(self.journal)
        self.client = application.build(self.account.line, self.received)
        self.bot: telegram.Bot = self.client.app.bot
        every = limits.PER_GROUP_IN.total_seconds() / (self.account.per_minute - BURST)
        self.outward = Outward(self.bot, self.store.sendings, Tap(every, BURST))
        self.port = TelegramPort(self.bot, self.group, self.outward, look, self.store.again)
        self.acts = Acts(
            self.bot,
            self.group,
            self.hearing,
            Says(self.hearing.commands.carry_out),
            self.outward,
            Replies(self.bot, self.outward),
            look,
            self._look_again,
        )
        application.listen(self.client, self.acts)
        self.pace = Pace(
            every=timedelta(seconds=every),
            burst=BURST,
            edits=min(limits.EDITS, 2 * BURST * timedelta(seconds=every)),
        )
        self._wrong: str | None = "Telegram was not reached yet."
        self._stale = asyncio.Event()

    @property
    def conversation(self) -> str:
        """The conversation that every incident is told in."""
        return self.account.conversation

    @property
    def doors(self) -> dict[str, Door]:
        """The paths of the war room's server that belong to Telegram."""
        hook = self.account.webhook
        return {} if hook is None else {PATH: Door(self.bot, self.received, hook.secret)}

    def trouble(self) -> str | None:
        """Return what is wrong, None while Telegram answers."""
        if self._wrong is not None:
            return self._wrong
        if self.account.webhook is not None:
            return None
        if self.client.polling.conflicts > 1:
            return "Another program fetches the updates of this bot's token; end it."
        age = self.client.polling.age()
        if age is not None and age > self.clocks.silent:
            return f"Telegram has not answered getUpdates for {age:.0f} s."
        return None

    def age(self) -> float | None:
        """Return the seconds since the last successful getUpdates."""
        return self.client.polling.age()

    async def run(
        self, stop: asyncio.Event, post: Callable[[asyncio.Event], Awaitable[None]]
    ) -> None:
        """Be in Telegram until told to stop; `post` runs the poster while this process leads."""
        await asyncio.to_thread(self.group.recall)
        while not stop.is_set():
            if not await self._lead():
                self._wrong = None  # another process of ours is there
                await _wait(stop, self.clocks.lease / 3)
                continue
            ended = asyncio.Event()
            keeping = asyncio.create_task(self._keep(stop, ended), name="telegram-lease")
            try:
                await self._live(ended, post)
            finally:
                ended.set()
                await keeping
        await asyncio.to_thread(self.store.leases.release, self._name, self.store.owner)

    # --- the lease

    @property
    def _name(self) -> str:
        token = hashlib.sha256(self.account.line.token.encode()).hexdigest()[:16]
        return f"{Platform.TELEGRAM}-{token}"

    async def _lead(self) -> bool:
        duration = timedelta(seconds=self.clocks.lease)
        lead = self.store.leases.lead
        return await asyncio.to_thread(lead, self._name, self.store.owner, duration) is not None

    async def _keep(self, stop: asyncio.Event, ended: asyncio.Event) -> None:
        """Keep the lease; set `ended` when we are to stop or somebody else has it."""
        while not stop.is_set() and not ended.is_set():
            await _first(stop, ended, self.clocks.lease / 3)
            try:
                if not stop.is_set() and not await self._lead():
                    log.error("another process leads in Telegram now")
                    break
            except errors.HalonError as error:
                log.warning("the lease of Telegram cannot be kept: %s", error.message)
        ended.set()

    # --- one life

    async def _live(
        self, ended: asyncio.Event, post: Callable[[asyncio.Event], Awaitable[None]]
    ) -> None:
        app, updater = self.client.app, self.client.app.updater
        assert updater is not None  # noqa: S101 - it is built with one
        if not await self._until(ended, self._enter):
            return
        await app.start()
        posting = asyncio.ensure_future(post(ended))
        looking = asyncio.create_task(self._keep_looking(ended), name="telegram-rights")
        try:
            for update in await asyncio.to_thread(self.received.left, self.bot):
                await asyncio.Queue.put(self.received, update)
            if await self._until(ended, self._receive):
                self._wrong = None
                await ended.wait()
        finally:
            ended.set()
            if updater.running:
                await updater.stop()
            await app.stop()
            await self.acts.idle(LAST_WORDS_SECONDS)
            await asyncio.gather(posting, looking)
            await app.shutdown()

    async def _enter(self) -> None:
        await called(self.client.app.initialize())
        self.received.bot_id = self.bot.id
        await self._looked()

    async def _looked(self) -> None:
        try:
            await self.group.refresh(self.bot)
        except Moved as moved:
            await self.acts.moved(moved.chat)
            await self.group.refresh(self.bot)

    async def _receive(self) -> None:
        hook, updater = self.account.webhook, self.client.app.updater
        assert updater is not None  # noqa: S101 - it is built with one
        if hook is None:
            await called(
                updater.start_polling(
                    timeout=timedelta(seconds=self.clocks.poll),
                    allowed_updates=ALLOWED,
                    error_callback=_missed,
                )
            )
            return
        await called(
            self.bot.set_webhook(
                hook.url + PATH,
                allowed_updates=ALLOWED,
                secret_token=hook.secret,
                max_connections=1,  # more of them would bring updates out of order
            )
        )

    def _look_again(self) -> None:
        self._stale.set()

    async def _keep_looking(self, ended: asyncio.Event) -> None:
        """Ask what we may do whenever that may have changed."""
        while not ended.is_set():
            await _first(self._stale, ended, None)
            if ended.is_set():
                return
            self._stale.clear()
            await self._until(ended, self._looked)
            self._wrong = None

    async def _until(self, ended: asyncio.Event, step: Callable[[], Awaitable[None]]) -> bool:
        """Try a step until it succeeds; False when it is to end before."""
        wait = self.clocks.retry
        while not ended.is_set():
            try:
                await step()
            except errors.HalonError as error:
                self._wrong = error.message
                log.warning("Telegram: %s", error.message)
                again = wait
                if isinstance(error, errors.TemporaryFailure):
                    again = max(
                        wait, min(error.retry_after.total_seconds(), self.clocks.longest_retry)
                    )
                await _wait(ended, min(again, self.clocks.longest_retry))
                wait = min(2 * wait, self.clocks.longest_retry)
            else:
                return True
        return False


def validated(yes: str, no: str) -> None:
    """Raise `errors.BadSettings` for an emoji that is none of Telegram's standard reactions."""
    known = {one.value for one in ReactionEmoji}
    wrong = [one for one in (yes, no) if one not in known]
    if wrong:
        raise errors.BadSettings(
            f"{' and '.join(wrong)} is none of Telegram's standard reactions, so nobody can answer "
            "by it; take 👍 and 👎 or others of that list."
        )
    if yes == no:
        raise errors.BadSettings(f"Yes and no are both {yes} in Telegram; they must differ.")


def _missed(error: telegram.error.TelegramError) -> None:
    """Say it once a time; the poller tries again by itself, and the health page counts."""
    log.warning("getUpdates: %s", type(error).__name__)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


async def _first(one: asyncio.Event, other: asyncio.Event, seconds: float | None) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in (one, other)]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
