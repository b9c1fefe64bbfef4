"""What the outbound half asks of Slack: one function per method, with our own errors.

Called by `bot.slack.port` alone. Never sends anything twice: the client's own retries are off. What
may be done twice is tried again at once, so that one failure in a row of calls costs no new start.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from slack_sdk.web.async_client import AsyncWebClient

from bot.port import File
from bot.slack.failures import SOON, Gone, Refused, translated
from incidents import errors
from incidents.models import Json

EVENT = "halon_message"  # the type of our messages' metadata
T = TypeVar("T")
TRIES = 3  # of a call that may be made twice
PAUSE = timedelta(seconds=0.5)  # before the next of them, where Slack names no time
LONGEST_PAUSE = timedelta(seconds=3)  # what takes longer is waited for by the sender
PAGE = 200
MOST_PAGES = 50
FINE = {  # what Slack calls an error although all is as it shall be
    "pins.add": ("already_pinned",),
    "pins.remove": ("no_pin", "not_pinned"),
    "reactions.add": ("already_reacted",),
    "conversations.invite": ("already_in_channel", "cant_invite_self"),
    "conversations.join": ("method_not_supported_for_channel_type",),
}


@dataclass(frozen=True)
class Calls:
    """Calls of the Web API that say something."""

    client: AsyncWebClient
    pause: timedelta = PAUSE

    async def post(self, channel: str, thread: str | None, **said: Any) -> Json:
        """Post a message; raises `Gone` when the thread is not there any more."""
        async with translated("chat.postMessage"):
            answer = await self.client.chat_postMessage(
                channel=channel,
                thread_ts=thread,
                unfurl_links=False,
                unfurl_media=False,
                **said,
            )
        made = _table(answer.get("message")) | {"ts": str(answer["ts"])}
        if thread is not None and made.get("thread_ts") != thread:
            # Slack puts a reply whose head is gone into the channel, and says nothing of it.
            async with translated("chat.delete"):
                await self.client.chat_delete(channel=channel, ts=made["ts"])
            raise Gone("The message at the head of the thread was deleted.", "thread_not_found")
        return made

    async def update(self, channel: str, ts: str, **said: Any) -> None:
        """Replace what a message says."""
        await self._firmly(
            "chat.update", lambda: self.client.chat_update(channel=channel, ts=ts, **said)
        )

    async def messages(
        self, channel: str, thread: str | None, oldest: str = "0"
    ) -> AsyncIterator[Json]:
        """Go through the messages of a thread, or of a channel, with their metadata."""
        cursor = None
        for _ in range(MOST_PAGES):
            found = await self._page(channel, thread, oldest, cursor)
            for one in found.get("messages") or ():
                yield _table(one)
            cursor = _table(found.get("response_metadata")).get("next_cursor")
            if not cursor:
                return

    async def _page(self, channel: str, thread: str | None, oldest: str, cursor: Any) -> Any:
        more: Json = {"limit": PAGE, "oldest": oldest, "include_all_metadata": True}
        more |= {"channel": channel, "cursor": cursor}
        if thread is None:
            return await self._firmly(
                "conversations.history", lambda: self.client.conversations_history(**more)
            )
        return await self._firmly(
            "conversations.replies", lambda: self.client.conversations_replies(ts=thread, **more)
        )

    async def keys(
        self, channel: str, thread: str | None, oldest: str = "0"
    ) -> AsyncIterator[tuple[str, str]]:
        """Go through the keys of our own messages, each with its timestamp."""
        async for one in self.messages(channel, thread, oldest):
            about = _table(one.get("metadata"))
            if about.get("event_type") == EVENT:
                yield str(_table(about.get("event_payload")).get("key")), str(one["ts"])

    async def find(
        self, channel: str, thread: str | None, key: str, oldest: str = "0"
    ) -> str | None:
        """Return the message that carries a key."""
        async for found, ts in self.keys(channel, thread, oldest):
            if found == key:
                return ts
        return None

    async def create(self, name: str, private: bool) -> str:
        """Make a channel; raises `Refused` with `name_taken`."""
        async with translated("conversations.create"):
            made = await self.client.conversations_create(name=name, is_private=private)
        return str(_table(made["channel"])["id"])

    async def own_channel(self, name: str, user: str, since: float) -> str | None:
        """Return a channel of this name that we ourselves have made since, if there is one."""
        cursor = None
        for _ in range(MOST_PAGES):
            asked: Json = {"types": "public_channel,private_channel", "exclude_archived": True}
            asked |= {"limit": PAGE, "cursor": cursor}
            page = partial(self.client.users_conversations, **asked)
            found = await self._firmly("users.conversations", page)
            for one in found.get("channels") or ():
                mine = one.get("creator") in (user, None)
                if one.get("name") == name and mine and float(one.get("created") or 0) >= since:
                    return str(one["id"])
            cursor = _table(found.get("response_metadata")).get("next_cursor")
            if not cursor:
                return None
        return None

    async def join(self, channel: str) -> None:
        """Become a member, without which no file is taken."""
        await self._fine("conversations.join", self.client.conversations_join, channel=channel)

    async def topic(self, channel: str, topic: str) -> None:
        """Set what stands above a channel."""
        await self._firmly(
            "conversations.setTopic",
            lambda: self.client.conversations_setTopic(channel=channel, topic=topic),
        )

    async def invite(self, channel: str, users: Sequence[str]) -> None:
        """Bring people into a channel; who is there already stays."""
        await self._fine(
            "conversations.invite",
            self.client.conversations_invite,
            channel=channel,
            users=list(users),
            force=True,
        )

    async def pin(self, channel: str, ts: str) -> None:
        """Keep a message in reach."""
        await self._fine("pins.add", self.client.pins_add, channel=channel, timestamp=ts)

    async def unpin(self, channel: str, ts: str) -> None:
        """Let a message go."""
        await self._fine("pins.remove", self.client.pins_remove, channel=channel, timestamp=ts)

    async def bookmark(self, channel: str, title: str, link: str) -> None:
        """Put a link above a channel, unless it is there."""

        async def add() -> None:
            there = await self.client.bookmarks_list(channel_id=channel)
            if not any(one.get("link") == link for one in there.get("bookmarks") or ()):
                await self.client.bookmarks_add(
                    channel_id=channel, title=title, type="link", link=link
                )

        await self._firmly("bookmarks.add", add)

    async def react(self, channel: str, ts: str, emoji: str) -> None:
        """Offer a reaction."""
        await self._fine(
            "reactions.add", self.client.reactions_add, channel=channel, timestamp=ts, name=emoji
        )

    async def upload(self, channel: str, thread: str | None, files: Sequence[File]) -> None:
        """Put files into a thread, or into a channel, as one message."""
        async with translated("files.completeUploadExternal"):
            await self.client.files_upload_v2(
                channel=channel,
                thread_ts=thread,
                file_uploads=[
                    {"filename": one.name, "title": one.title, "file": one.content} for one in files
                ],
            )

    async def name(self, user: str) -> str:
        """Return the name under which people know a user."""
        said = await self._firmly("users.info", lambda: self.client.users_info(user=user))
        told = _table(said["user"])
        profile = _table(told.get("profile"))
        shown = profile.get("display_name") or told.get("real_name") or told.get("name")
        return str(shown or user)

    async def me(self) -> str:
        """Return our own user id."""
        said = await self._firmly("auth.test", self.client.auth_test)
        return str(said.get("user_id", ""))

    async def _firmly(self, method: str, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call that may be made twice, and again where Slack fails for a moment."""
        tries = 1
        while True:
            try:
                async with translated(method):
                    return await call()
            except errors.TemporaryFailure as error:
                wait = error.retry_after if error.retry_after != SOON else self.pause
                if tries == TRIES or wait > LONGEST_PAUSE:
                    raise
            tries += 1
            await asyncio.sleep(wait.total_seconds())

    async def _fine(self, method: str, call: Any, **said: Any) -> None:
        try:
            await self._firmly(method, lambda: call(**said))
        except Refused as error:
            if error.reason not in FINE[method]:
                raise


def metadata(key: str) -> Json:
    """Return the metadata by which a message is found again."""
    return {"event_type": EVENT, "event_payload": {"key": key}}


def _table(value: object) -> Json:
    return value if isinstance(value, dict) else {}
