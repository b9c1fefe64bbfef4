"""The queue between Telegram and the handlers: what comes in is on the disk before it is confirmed.

Given to python-telegram-bot as its `update_queue`. Its poller confirms what was put, and a webhook
answers after it: so `put` returns when the journal has the update, and lets nothing through twice.
"""

import asyncio
from collections.abc import Sequence

import telegram
from telegram import error

from bot.journal import Journal, event
from bot.telegram.meaning import meaning
from incidents import errors
from incidents.inbox import InboxItem
from incidents.models import Platform


class Received(asyncio.Queue[object]):
    """Updates that are journaled and wait to be acted on."""

    def __init__(self, journal: Journal, bot_id: int = 0) -> None:
        super().__init__()
        self._journal = journal
        self.bot_id = bot_id  # update ids count per bot
        self._items: dict[int, InboxItem] = {}

    async def put(self, item: object) -> None:
        """Journal an update and queue it; one that came before is dropped.

        Raises `telegram.error.NetworkError` where it cannot be stored: it is fetched again.
        """
        if not isinstance(item, telegram.Update):
            await super().put(item)
            return
        seen = event(
            Platform.TELEGRAM,
            f"{self.bot_id}/{item.update_id}",
            f"{self.bot_id} {meaning(item)}",
            {"update": item.to_dict()},
        )
        try:
            stored = await self._journal.take(seen)
        except Exception as broken:
            raise error.NetworkError(f"an update cannot be stored: {broken}") from broken
        if stored is not None:
            self._items[item.update_id] = stored
            await super().put(item)

    def later(self, update: telegram.Update, seconds: float) -> None:
        """Queue an update once more; it is in the journal and stays undone until then."""
        asyncio.get_running_loop().call_later(seconds, self.put_nowait, update)

    def left(self, bot: telegram.Bot) -> Sequence[telegram.Update]:
        """Return the updates that an earlier life has confirmed and not acted on; blocking."""
        found = []
        for item in self._journal.left(Platform.TELEGRAM):
            update = telegram.Update.de_json(item.body["update"], bot)
            self._items[update.update_id] = item
            found.append(update)
        return found

    async def done(self, update: telegram.Update) -> None:
        """Note that an update was acted on."""
        item = self._items.pop(update.update_id, None)
        if item is not None:
            try:
                await self._journal.done(item)
            except errors.HalonError:
                self._items[update.update_id] = item
                raise
