"""Puts the real client together: requests, queue and handlers of one bot.

Called by `bot.telegram.app`, and by tests with requests of their own. Handlers run one after
the other, in the order in which updates came, and answer without waiting for Telegram.
"""

import logging
import warnings
from dataclasses import dataclass
from typing import Any

import telegram
from telegram.ext import (
    Application,
    CallbackContext,
    CallbackQueryHandler,
    ChatMemberHandler,
    MessageHandler,
    MessageReactionHandler,
    TypeHandler,
    filters,
)
from telegram.request import BaseRequest, HTTPXRequest
from telegram.warnings import PTBDeprecationWarning

from bot.telegram.acts import Acts, NotYet
from bot.telegram.polling import Polling
from bot.telegram.receiving import Received

log = logging.getLogger(__name__)

ALLOWED = ("message", "edited_message", "callback_query", "message_reaction", "my_chat_member")
SECONDS = 15.0
POOL = 8
API, FILES = "https://api.telegram.org/bot", "https://api.telegram.org/file/bot"

App = Application[Any, Any, Any, Any, Any, Any]


@dataclass(frozen=True)
class Line:
    """How the client reaches Telegram."""

    token: str
    api: str = API
    files: str = FILES
    request: BaseRequest | None = None  # for calls; None: over HTTP
    polling: BaseRequest | None = None  # for getUpdates
    conflict_seconds: float | None = None


@dataclass(frozen=True)
class Client:
    """The real client and what watches it."""

    app: App
    received: Received
    polling: Polling


def build(line: Line, received: Received) -> Client:
    """Return a client; it makes no call yet."""
    # It warns of a coming type whenever Telegram asks to wait, and nobody here can mend that.
    warnings.filterwarnings("ignore", ".*retry_after", PTBDeprecationWarning)
    calls = reach(line)
    inner = line.polling or _http()
    polling = (
        Polling(inner) if line.conflict_seconds is None else Polling(inner, line.conflict_seconds)
    )
    app = (
        Application.builder()
        .token(line.token)
        .base_url(line.api)
        .base_file_url(line.files)
        .request(calls)
        .get_updates_request(polling)
        .update_queue(received)
        .job_queue(None)
        .build()
    )
    return Client(app, received, polling)


def reach(line: Line) -> BaseRequest:
    """Return what calls are made with."""
    return line.request or _http()


def _http() -> HTTPXRequest:
    return HTTPXRequest(
        connection_pool_size=POOL,
        read_timeout=SECONDS,
        write_timeout=SECONDS,
        connect_timeout=SECONDS,
        pool_timeout=SECONDS,
        httpx_kwargs={"trust_env": False},
    )


def listen(client: Client, acts: Acts) -> None:
    """Let the client's updates be acted on, and journaled as done unless that failed."""
    failed: set[int] = set()

    async def typed(update: telegram.Update, context: object) -> None:
        await acts.typed(update)

    async def edited(update: telegram.Update, context: object) -> None:
        await acts.edited(update)

    async def pressed(update: telegram.Update, context: object) -> None:
        await acts.pressed(update)

    async def reacted(update: telegram.Update, context: object) -> None:
        await acts.reacted(update)

    async def member(update: telegram.Update, context: object) -> None:
        await acts.member(update)

    async def broke(update: object, context: CallbackContext[Any, Any, Any, Any]) -> None:
        if isinstance(update, telegram.Update):
            failed.add(update.update_id)
            if isinstance(context.error, NotYet):
                client.received.later(update, acts.between_looks)
                return
        log.error("an update of Telegram could not be acted on", exc_info=context.error)

    async def done(update: telegram.Update, context: object) -> None:
        if update.update_id in failed:
            failed.discard(update.update_id)
            return  # it is acted on later, or at the next start
        await client.received.done(update)

    reaction = MessageReactionHandler.MESSAGE_REACTION_UPDATED
    client.app.add_handlers(
        [
            MessageHandler(filters.UpdateType.MESSAGE, typed),
            MessageHandler(filters.UpdateType.EDITED_MESSAGE, edited),
            CallbackQueryHandler(pressed),
            MessageReactionHandler(reacted, message_reaction_types=reaction),
            ChatMemberHandler(member, ChatMemberHandler.MY_CHAT_MEMBER),
        ]
    )
    client.app.add_handler(TypeHandler(telegram.Update, done), group=1)
    client.app.add_error_handler(broke)
