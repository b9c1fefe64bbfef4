"""The bot process: war room and poster in one asyncio loop over one store.

Called by `halon bot`. The only place that chooses platforms. Ends in order on SIGTERM: open
streams are ended, what is being posted is finished or found again by its key at the next start.
"""

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from starlette.types import ASGIApp

from bot import recovery, road
from bot.commands import Commands
from bot.gathering import Gathering
from bot.hearing import Hearing
from bot.journal import Journal
from bot.poster import Poster
from bot.settings import BotSettings
from bot.slack import crew, place
from bot.slack.app import EVENTS_PATH, Account, Slack
from bot.slack.calls import Calls
from bot.slack.port import PACE, SlackPort
from bot.telegram import account as telegram_accounts
from bot.telegram.app import Account as TelegramAccount
from bot.telegram.app import Clocks, Telegram
from bot.telegram.app import Store as TelegramStore
from bot.web import app as web_app
from bot.web import room, server
from bot.web.port import WebPort
from incidents import walls
from incidents.approvals import Approvals
from incidents.deliveries import Deliveries
from incidents.effects import Effects
from incidents.inbox import Inbox
from incidents.knowledge import ActionItems, Costs
from incidents.people import Identities, Tokens, Voices
from incidents.policy import Access
from incidents.posts import Posts
from incidents.quotes import Quotes
from incidents.rollouts import Rollouts
from incidents.sendings import Sendings
from incidents.service import Incidents
from incidents.settings import load_services, personal
from incidents.stages import Stages
from incidents.store import Store
from incidents.timeline import Timeline
from incidents.timers import CONTROLLER, Leases

log = logging.getLogger(__name__)

ADDRESS_FILE = "web.json"  # {"url": …}: where the war room really listens, for the supervisor
EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - names nothing, so no page is asked for under it


@dataclass(frozen=True)
class Bot:
    """What runs in the loop, put together."""

    room: room.Room
    commands: Commands
    poster: Poster
    inbox: Inbox
    slack: Slack | None = None
    telegram: Telegram | None = None
    slack_poster: Poster | None = None
    telegram_poster: Poster | None = None


def run(settings: BotSettings) -> None:
    """Serve until SIGTERM or SIGINT; raises `errors.PermanentFailure` when it cannot start."""
    key = settings.key
    services = {one.name: one for one in load_services(settings.file)}
    with contextlib.closing(Store(settings.database)) as store:
        store.migrate()
        account = slack_account(settings)
        telegram = telegram_accounts.of(settings)
        chat = account is not None or telegram is not None
        access = Access(services, chat_configured=chat, identities=Voices(Identities(store)))
        bot = compose(store, access, key, hosts(settings), account, telegram, settings.web_url)
        found = replace(bot.room, sandbox=lambda: walls.read(settings.folder))
        bot = replace(bot, room=found)
        with (
            contextlib.closing(server.bind(settings.web_host, settings.web_port)) as bound,
            _announced(settings.folder, bound),
        ):
            asyncio.run(serve(bot, bound))


def hosts(settings: BotSettings) -> tuple[str, ...]:
    """Return the names under which the war room may be asked for, its own first."""
    own = () if settings.web_host in EVERYWHERE else (settings.web_host,)
    more = (name.strip() for name in settings.web_hosts.split(","))
    return tuple(dict.fromkeys((*own, *room.LOOPBACK, *(name for name in more if name))))


def slack_account(settings: BotSettings) -> Account | None:
    """Return what lets us into Slack; raises `errors.BadSettings` where only half is set."""
    if not settings.slack_configured or settings.slack_bot_token is None:
        return None
    socket_mode = settings.slack_mode == "socket"
    secret = settings.slack_app_token if socket_mode else settings.slack_signing_secret
    shown = secret.get_secret_value() if secret else None
    return Account(
        bot_token=settings.slack_bot_token.get_secret_value(),
        base_url=f"{settings.slack_api_base_url.rstrip('/')}/",
        app_token=shown if socket_mode else None,
        signing_secret=None if socket_mode else shown,
        channel=settings.slack_channel,
    )


def compose(
    store: Store,
    access: Access,
    key: bytes,
    names: tuple[str, ...],
    account: Account | None = None,
    telegram_account: TelegramAccount | None = None,
    web_url: str | None = None,
    telegram_clocks: Clocks | None = None,
) -> Bot:
    """Return the bot's parts over a store; with accounts they also live in Slack and Telegram."""
    store.private = personal(access.services.values())
    incidents, timeline, stages = Incidents(store), Timeline(store), Stages(store)
    approvals, rollouts = Approvals(store, access, key), Rollouts(store)
    inbox, posts, leases = Inbox(store), Posts(store), Leases(store)

    def current() -> Access:
        if isinstance(access.identities, Voices):  # an admin may have linked accounts meanwhile
            access.identities.refresh()
        return access

    told_in: tuple[str, ...] = ()
    if account is not None and account.channel:
        told_in += (place.conversation(account.channel),)
    if telegram_account is not None:
        told_in += (telegram_account.conversation,)
    commands = road.commands(store, access, key, current, told_in)
    slack = None
    if account is not None:
        slack = Slack(
            account,
            Hearing(commands, Deliveries(store), Quotes(store)),
            Journal(inbox),
            Effects(store),
        )
    telegram = None
    if telegram_account is not None:
        telegram = Telegram(
            telegram_account,
            Hearing(commands, Deliveries(store), Quotes(store)),
            Journal(inbox),
            _telegram_store(store, leases, approvals, telegram_account.conversation),
            telegram_clocks or Clocks(),
        )
    gathering = Gathering(incidents, timeline, stages, approvals, rollouts, current, store.now)
    poster = Poster(WebPort(posts), Deliveries(store), gathering)
    beats: dict[str, Callable[[], float | None]] = {
        "poster": lambda: _age(poster),
        "controller": lambda: leases.age(CONTROLLER),
    }
    slack_poster = None
    if account is not None:
        port = SlackPort(
            Calls(account.client()), lambda one: crew.concerned(one, current()), web_url
        )
        follows = place.conversation(account.channel) if account.channel else ""
        slack_poster = Poster(port, Deliveries(store), gathering, PACE, follows=follows)
        beats["poster of slack"] = partial(_age, slack_poster)
    troubles: dict[str, Callable[[], str | None]] = {}
    doors: dict[str, ASGIApp] = {}
    if slack is not None:
        troubles["slack"] = slack.trouble
        doors |= {EVENTS_PATH: slack.door} if slack.socket is None else {}
    if telegram is not None:
        troubles["telegram"], beats["telegram"] = telegram.trouble, telegram.age
        doors |= telegram.doors
    shown = room.Room(
        incidents=incidents,
        timeline=timeline,
        stages=stages,
        approvals=approvals,
        rollouts=rollouts,
        costs=Costs(store),
        action_items=ActionItems(store),
        posts=posts,
        tokens=Tokens(store),
        speaker=commands,
        access=current,
        now=store.now,
        hosts=names,
        beats=beats,
        troubles=troubles,
        doors=doors,
    )
    told = None
    if telegram is not None:
        follows = telegram.conversation
        told = Poster(telegram.port, Deliveries(store), gathering, telegram.pace, follows=follows)
    return Bot(shown, commands, poster, inbox, slack, telegram, slack_poster, told)


def _telegram_store(
    store: Store, leases: Leases, approvals: Approvals, conversation: str
) -> TelegramStore:
    def again(number: int) -> Sequence[int]:
        asked = [f"approval-{one.id}" for one in approvals.pending(number)]
        return Deliveries(store).show_again(number, conversation, asked)

    owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    return TelegramStore(Sendings(store), leases, owner, again)


def _age(poster: Poster) -> float | None:
    return None if poster.beat is None else time.monotonic() - poster.beat


class _Server(server.Server):
    """The loop's signals are ours: uvicorn would raise them again after it has ended."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


async def serve(bot: Bot, bound: socket.socket) -> None:
    """Post and serve until a signal comes or one of the two ends."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, stop.set)
    left = await asyncio.to_thread(recovery.recover, bot.commands, bot.inbox)
    if left:
        log.info("carried out %s acts that an earlier life had received", left)
    web = _Server(web_app.create(bot.room))
    posting = asyncio.create_task(bot.poster.run(stop), name="poster")
    serving = asyncio.create_task(web.serve([bound]), name="web")
    running = {posting, serving, asyncio.create_task(stop.wait(), name="stop")}
    if bot.slack_poster is not None:
        running.add(asyncio.create_task(bot.slack_poster.run(stop), name="poster of slack"))
    if bot.slack is not None:
        running.add(asyncio.create_task(bot.slack.run(stop), name="slack"))
    if bot.telegram is not None and bot.telegram_poster is not None:
        living = bot.telegram.run(stop, bot.telegram_poster.run)
        running.add(asyncio.create_task(living, name="telegram"))
    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    web.should_exit = True
    await asyncio.gather(*running)


@contextlib.contextmanager
def _announced(folder: Path, bound: socket.socket) -> Iterator[None]:
    """Keep the address really bound in the data folder while we listen."""
    host, port = bound.getsockname()[:2]
    shown = "127.0.0.1" if host in EVERYWHERE else f"[{host}]" if ":" in host else host
    place = folder / ADDRESS_FILE
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = place.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps({"url": f"http://{shown}:{port}"}) + "\n", encoding="utf-8")
    fresh.replace(place)  # whoever reads it sees the old address or the new one, never a half
    log.info("the war room listens on http://%s:%s", shown, port)
    try:
        yield
    finally:
        place.unlink(missing_ok=True)
