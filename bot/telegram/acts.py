"""Acts on what came in from Telegram: who it was, what it means, and an answer to that person.

Called by the handlers of `bot.telegram.application` for each journaled update. What is asked for is
carried out by `bot.line` under the update's meaning: once, however often it comes.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import telegram
from telegram.constants import ChatType

from bot import verbs
from bot.commands import READS, Wish
from bot.hearing import Hearing
from bot.line import Line
from bot.said import Said
from bot.telegram import drawing, meaning, people
from bot.telegram.drawing import Look
from bot.telegram.group import Group
from bot.telegram.outward import Outward, Place
from bot.telegram.people import Nobody
from bot.telegram.replies import Replies, refusal
from incidents.models import Answer, Person, Platform, TimelineEntry

TELEGRAM = Platform.TELEGRAM
LOOKS = 10  # for the entry of a message that was posted this very moment
MOST_RETURNS = 2000  # of one update: ten minutes in which a post may be on its way
REMEMBERED = 2000
ANSWERS = {"y": Answer.YES, "n": Answer.NO}


class NotYet(Exception):
    """What an update is about is on its way and not recorded; others go first."""


@dataclass
class Acts:
    """Carries out updates of one group."""

    bot: telegram.Bot
    group: Group
    hearing: Hearing
    line: Line
    outward: Outward
    replies: Replies
    look: Look
    refresh: Callable[[], None] = lambda: None  # ask Telegram again what we may do
    between_looks: float = 0.3  # seconds
    _latest: OrderedDict[tuple[int, int, int], tuple[datetime, int]] = field(
        default_factory=OrderedDict
    )
    _talk: set[asyncio.Task[None]] = field(default_factory=set)
    _returned: Counter[int] = field(default_factory=Counter)

    # --- words

    async def typed(self, update: telegram.Update) -> None:
        """Carry out a message, if it is meant for us."""
        message = update.message
        if message is None or not self._is_here(message.chat):
            await self._elsewhere(update)
            return
        if message.migrate_to_chat_id:
            await self.moved(message.migrate_to_chat_id)
            return
        self.outward.saw(message.chat.id, message.message_id)
        said = meaning.line(message, self.bot.username)
        if said is None:
            return
        key = _key(update)
        who = people.of_message(message)
        if isinstance(who, Nobody):
            self._later(self.replies.tell(message, refusal(who), key))
            return
        if who.bot:
            return  # two bots that answer each other never end
        thread = await self._incident(message)
        wish = await asyncio.to_thread(
            self.hearing.line, said, who, thread, key, self.group.conversation
        )
        answer = await self.line.take(wish)
        if answer.accepted and not _reads(said):
            self._later(self.replies.seen(message))
        else:
            self._later(self.replies.tell(message, answer, key))

    async def edited(self, update: telegram.Update) -> None:
        """Say that an edited command is not read again."""
        message = update.edited_message
        if message is None or not self._is_here(message.chat):
            return
        if meaning.line(message, self.bot.username) is not None:
            self._later(self.replies.tell(message, refusal("edited"), _key(update)))

    async def _elsewhere(self, update: telegram.Update) -> None:
        message = update.message
        if message is not None and message.chat.type == ChatType.PRIVATE:
            told = refusal("elsewhere", message.chat.id)  # there it is the person's own id
            self._later(self.replies.tell(message, told, _key(update)))

    async def _incident(self, message: telegram.Message) -> str | None:
        """Return the incident that a message is about: its topic's, or the one it replies to."""
        chat = message.chat.id
        places = []
        if message.is_topic_message and message.message_thread_id:
            places.append(Place(chat, topic=message.message_thread_id))
        if message.message_thread_id:
            places.append(Place(chat, root=message.message_thread_id))
        replied = message.reply_to_message
        if replied is not None:
            places.append(Place(chat, root=replied.message_id))
        for place in places:
            found = await asyncio.to_thread(self.hearing.incident_at, TELEGRAM, str(place))
            if found is not None:
                return found
        if replied is None:
            return None
        entry = await self._shown(chat, replied.message_id, 0)
        return None if entry is None else f"INC-{entry.incident}"

    # --- buttons and reactions

    async def pressed(self, update: telegram.Update) -> None:
        """Carry out a pressed button; whoever pressed it is who acts."""
        query = update.callback_query
        if query is None:
            return
        if query.message is None or query.message.chat.id != self.group.chat:
            await self.replies.notice(query, refusal("elsewhere", query.from_user.id))
            return
        wish = await self._button(update, query)
        said = refusal("gone") if wish is None else await self.line.take(wish)
        await self.replies.notice(query, said)

    async def _button(self, update: telegram.Update, query: telegram.CallbackQuery) -> Wish | None:
        key = _key(update)
        what, _, reference = (query.data or "").partition(":")
        who = people.of_user(query.from_user)
        assert query.message is not None  # noqa: S101 - the caller has looked
        if what == drawing.SAY:
            return await self._chosen(query.message, reference, who)
        entry = await self._awaited(update, query.message.chat.id, query.message.message_id)
        if what == drawing.COMMAND:
            return await asyncio.to_thread(self.hearing.button, entry, reference, who, key)
        about = None if entry is None else entry.content.get("approval")
        if what not in ANSWERS or about != reference:
            return None
        turn = self.hearing.reaction
        return await asyncio.to_thread(turn, entry, ANSWERS[what], who, key)

    async def _chosen(
        self, message: telegram.MaybeInaccessibleMessage, reference: str, who: Person
    ) -> Wish | None:
        """Return the line that a choice stands for; of several presses the first one counts."""
        if not isinstance(message, telegram.Message) or message.from_user != self.bot.bot:
            return None
        line = drawing.line_at(message.text or "", reference)
        if line is None:
            return None
        thread = await self._incident(message)
        key = f"{TELEGRAM} chosen {message.chat.id}/{message.message_id}"
        here = self.group.conversation
        return await asyncio.to_thread(self.hearing.line, line, who, thread, key, here)

    async def reacted(self, update: telegram.Update) -> None:
        """Take a reaction as an answer, and its removal as a withdrawal."""
        changed = update.message_reaction
        if changed is None or changed.chat.id != self.group.chat or self._is_late(update, changed):
            return
        was = set(meaning.emoji(changed.old_reaction))
        is_ = set(meaning.emoji(changed.new_reaction))
        added, taken = is_ - was, was - is_
        if not {self.look.yes, self.look.no} & (added | taken):
            return
        entry = await self._awaited(update, changed.chat.id, changed.message_id)
        who, key = people.of_reaction(changed), _key(update)
        if entry is None or "approval" not in entry.content:
            return
        if isinstance(who, Nobody):
            self._later(self._tell_below(changed, refusal(who), key))
            return
        if who.bot:
            return
        if self.look.no in added:
            wish = await asyncio.to_thread(self.hearing.reaction, entry, Answer.NO, who, key)
        elif self.look.yes in added:
            wish = await asyncio.to_thread(self.hearing.reaction, entry, Answer.YES, who, key)
        else:
            gone = Answer.YES if self.look.yes in taken else Answer.NO
            wish = await asyncio.to_thread(self.hearing.reaction_gone, entry, gone, who, key)
        if wish is not None:
            await self.line.take(wish)  # a refused vote is said by the timeline

    def _is_late(self, update: telegram.Update, changed: telegram.MessageReactionUpdated) -> bool:
        """Tell whether a newer state of this person's reactions was seen already."""
        who = changed.user or changed.actor_chat
        where = (changed.chat.id, changed.message_id, who.id if who else 0)
        now = (changed.date, update.update_id)
        if self._latest.get(where, now) > now:
            return True
        self._latest[where] = now
        self._latest.move_to_end(where)
        while len(self._latest) > REMEMBERED:
            self._latest.popitem(last=False)
        return False

    async def _shown(self, chat: int, message: int, looks: int = LOOKS) -> TimelineEntry | None:
        """Return what a message of ours shows; one posted this very moment is waited for."""
        name = f"{chat}/{message}"
        found = await asyncio.to_thread(self.hearing.shown, TELEGRAM, name, str(chat))
        newest = await self.outward.newest(chat)
        while found is None and looks and message >= newest:
            looks -= 1
            await asyncio.sleep(self.between_looks)
            found = await asyncio.to_thread(self.hearing.shown, TELEGRAM, name, str(chat))
        return found

    async def _awaited(
        self, update: telegram.Update, chat: int, message: int
    ) -> TimelineEntry | None:
        """Return what a message shows; raises `NotYet` while its own post may be on its way."""
        sends_in, number = self.hearing.deliveries.sends_in, update.update_id
        coming = await asyncio.to_thread(sends_in, TELEGRAM.value, str(chat))
        found = await self._shown(chat, message, 0 if self._returned[number] else LOOKS)
        if found is None and coming and self._returned[number] < MOST_RETURNS:
            self._returned[number] += 1
            raise NotYet
        del self._returned[number]
        return found

    async def _tell_below(
        self, changed: telegram.MessageReactionUpdated, said: Said, key: str
    ) -> None:
        message = telegram.Message(changed.message_id, changed.date, changed.chat)
        message.set_bot(self.bot)
        await self.replies.tell(message, said, key)

    # --- the group

    async def member(self, update: telegram.Update) -> None:
        """Look again at what we may do: somebody has added, removed or promoted the bot."""
        changed = update.my_chat_member
        if changed is not None and changed.chat.id == self.group.chat:
            self.refresh()

    async def moved(self, chat: int) -> None:
        """Go on in the supergroup that the group has become."""
        await asyncio.to_thread(self.group.moved, chat)
        self.refresh()

    def _is_here(self, chat: telegram.Chat) -> bool:
        return chat.id == self.group.chat

    # --- answers wait for Telegram, and nobody for them

    def _later(self, answer: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(answer)
        self._talk.add(task)
        task.add_done_callback(self._talk.discard)

    async def idle(self, longest: float | None = None) -> None:
        """Wait until everybody has their answer, or so many seconds; the rest go without."""
        if self._talk:
            _, hanging = await asyncio.wait(list(self._talk), timeout=longest)
            for one in hanging:
                one.cancel()


def _key(update: telegram.Update) -> str:
    return f"{TELEGRAM} {meaning.meaning(update)}"


def _reads(line: str) -> bool:
    """Return whether a line asks for a text, so that a nod is no answer."""
    words = line.split()
    return len(words) > 1 and verbs.named(words[1]) in READS
