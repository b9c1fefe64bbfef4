"""Sends and edits single messages of Telegram's, each at most once per key.

Used by `bot.telegram.port`, and by `bot.telegram.replies` for what is said to one person. A send is
written down before it is made; when nobody answered, the message is looked for among those that
came after, by an edit that changes nothing: Telegram has no other way to be asked.
"""

import asyncio
import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import telegram
from telegram import (
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputFile,
    InputMediaDocument,
    InputMediaPhoto,
    LinkPreviewOptions,
    ReplyParameters,
)
from telegram.constants import ParseMode

from bot import texts
from bot.outbox import Rank, Tap
from bot.telegram import limits, runs
from bot.telegram.calls import MarksRefused, Unchanged, called
from bot.telegram.drawing import Kind, Part
from incidents import crash, errors
from incidents.models import Platform
from incidents.sendings import Sendings

NO_PREVIEW = LinkPreviewOptions(is_disabled=True)
REMEMBERED = 2000  # messages of others that cannot be a lost one of ours
NARROW = 18  # a label of so many units fits half of a phone
BEYOND = 10  # ids after the newest known one that a lost message may have

SENT = crash.register("telegram.sent", "Telegram has the message, we have not written its id down")


@dataclass(frozen=True)
class Place:
    """Where messages go: a topic of a group, a chain of replies to a root, or the group itself."""

    chat: int
    topic: int | None = None
    root: int | None = None

    @classmethod
    def read(cls, text: str) -> "Place":
        """Return a place as it is stored; raises `errors.NotFound` for what is none of ours."""
        chat, _, where = text.partition(":")
        try:
            if where.startswith("r"):
                return cls(int(chat), root=int(where[1:]))
            return cls(int(chat), topic=int(where) if where else None)
        except ValueError:
            raise errors.NotFound(f"{text!r} is no place in Telegram.") from None

    def __str__(self) -> str:
        where = f"r{self.root}" if self.root is not None else self.topic
        return f"{self.chat}:{'' if where is None else where}"


@dataclass(frozen=True)
class Sent:
    """A message that is there: its id, how it was sent, and a digest of what it says."""

    id: int
    kind: Kind
    digest: str

    @classmethod
    def read(cls, text: str) -> "Sent":
        """Return it as it is stored."""
        number, kind, digest = text.split("/")
        return cls(int(number), Kind(kind), digest)

    def __str__(self) -> str:
        return f"{self.id}/{self.kind.value}/{self.digest}"


@dataclass
class Outward:
    """Sends into one chat after the other."""

    bot: telegram.Bot
    sendings: Sendings
    tap: Tap = field(default_factory=lambda: Tap(0, 1))  # every single message counts
    _newest: dict[int, int] = field(default_factory=dict)
    _theirs: OrderedDict[tuple[int, int], None] = field(default_factory=OrderedDict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _riddle: Callable[[], Awaitable[None]] | None = None

    def saw(self, chat: int, message: int) -> None:
        """Note that somebody else's message is there: it is none that we lost."""
        self._newest[chat] = max(self._newest.get(chat, 0), message)
        self._theirs[chat, message] = None
        while len(self._theirs) > REMEMBERED:
            self._theirs.popitem(last=False)

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Let nothing else be sent meanwhile, and nothing before a lost message is cleared up.

        Of two lost messages nobody could tell which is which.
        """
        async with self._lock:
            if self._riddle is not None:
                await self._riddle()
                self._riddle = None
            yield

    def lost(self, riddle: Callable[[], Awaitable[None]]) -> None:
        """Note what has to be cleared up before anything else is sent."""
        self._riddle = riddle

    async def once(self, place: Place, part: Part, key: str) -> Sent:
        """Send a part unless it was sent under this key; raises as `calls.called`."""
        whole = key_in(place.chat, key)
        async with self.alone():
            after = await self.entered(place.chat)
            begun = await asyncio.to_thread(self.sendings.begin, whole, after)
            if begun.reference is not None:
                return Sent.read(begun.reference)
            found = None if begun.fresh else await self._sought(place.chat, part, begun.after)
            if found is None:
                found = await self._send(place, part, whole, begun.after)
            crash.point(SENT, part.kind)
            return await self._known(place.chat, part, whole, found)

    async def _known(self, chat: int, part: Part, key: str, number: int) -> Sent:
        self._newest[chat] = max(self._newest.get(chat, 0), number)
        sent = Sent(number, part.kind, digest(part))
        await asyncio.to_thread(self.sendings.done, key, str(sent))
        return sent

    async def edit(self, chat: int, sent: Sent, part: Part, *, look: bool = False) -> Sent:
        """Make a message say something else; raises `errors.NotFound` when it is gone.

        What says it already is left alone, unless we are to `look` whether it is there.
        """
        fresh = Sent(sent.id, part.kind, digest(part))
        if fresh == sent and not look:
            return sent
        if sent.kind is Kind.PHOTO and part.kind is Kind.TEXT:
            part = Part(Kind.PHOTO, runs.shortened(part.said, limits.CAPTION), None, part.keys)
            fresh = Sent(sent.id, Kind.PHOTO, fresh.digest)
        with contextlib.suppress(Unchanged):
            await self._marked(part, lambda text, mode: self._edit(chat, sent, part, text, mode))
        return fresh

    async def _send(self, place: Place, part: Part, key: str, after: int) -> int:
        """Send a part when the group's limit lets it; what surely was not sent is forgotten."""
        await self._take_turn()
        try:
            made = await self._marked(part, lambda text, mode: self._new(place, part, text, mode))
        except errors.OutcomeUnknown:
            self.lost(lambda: self._clear_up(place.chat, part, key, after))
            raise
        except errors.HalonError:
            await asyncio.to_thread(self.sendings.drop, key)
            raise
        return made.message_id

    async def _take_turn(self) -> None:
        clock = asyncio.get_running_loop().time
        while not self.tap.allows(clock(), Rank.NEWS):
            await asyncio.sleep(self.tap.every / 10)
        self.tap.take(clock())

    async def _clear_up(self, chat: int, part: Part, key: str, after: int) -> None:
        """Find out what became of a send without an answer."""
        found = await self._sought(chat, part, after)
        if found is None:
            await asyncio.to_thread(self.sendings.drop, key)
        else:
            await self._known(chat, part, key, found)

    async def _marked(
        self, part: Part, call: Callable[[str, str | None], Awaitable[telegram.Message | bool]]
    ) -> telegram.Message:
        """Make a call with marks, and without them if Telegram does not take them."""
        try:
            made = await called(call(runs.html_of(part.said), ParseMode.HTML))
        except MarksRefused:
            made = await called(call(runs.plain(part.said), None))
        assert isinstance(made, telegram.Message)  # noqa: S101 - a bool is for inline messages only
        return made

    async def _new(self, place: Place, part: Part, text: str, mode: str | None) -> telegram.Message:
        where = {
            "chat_id": place.chat,
            "message_thread_id": place.topic,
            "reply_parameters": _reply(place),
            "parse_mode": mode,
            "reply_markup": _keyboard(part),
        }
        if part.kind is Kind.TEXT or part.file is None:
            return await self.bot.send_message(
                text=text,
                link_preview_options=NO_PREVIEW,
                **where,  # type: ignore[arg-type]
            )
        file = InputFile(part.file.content, part.file.name)
        if part.kind is Kind.PHOTO:
            return await self.bot.send_photo(photo=file, caption=text, **where)  # type: ignore[arg-type]
        return await self.bot.send_document(document=file, caption=text, **where)  # type: ignore[arg-type]

    async def _edit(
        self, chat: int, sent: Sent, part: Part, text: str, mode: str | None
    ) -> telegram.Message | bool:
        where = {"chat_id": chat, "message_id": sent.id, "reply_markup": _keyboard(part)}
        if part.file is not None:
            kind = InputMediaPhoto if part.kind is Kind.PHOTO else InputMediaDocument
            media = kind(part.file.content, caption=text, parse_mode=mode, filename=part.file.name)
            return await self.bot.edit_message_media(media=media, **where)  # type: ignore[arg-type]
        if part.kind is Kind.TEXT:
            return await self.bot.edit_message_text(
                text=text,
                parse_mode=mode,
                link_preview_options=NO_PREVIEW,
                **where,  # type: ignore[arg-type]
            )
        return await self.bot.edit_message_caption(caption=text, parse_mode=mode, **where)  # type: ignore[arg-type]

    # --- what may have been sent

    async def _sought(self, chat: int, part: Part, after: int) -> int | None:
        """Return the id of a message of ours that nobody knows of and that says this."""
        asked = Part(part.kind, part.said, None, part.keys)
        for number in await self.unknown(chat, after):
            if await self._is_ours(chat, number, asked):
                return number
        return None

    async def unknown(self, chat: int, after: int) -> list[int]:
        """Return the ids after a message that nobody is known to have: one of them may be lost."""
        if not after:
            return []  # nothing of this chat was ever seen: there is no place to look
        known = await asyncio.to_thread(self.sendings.of, key_in(chat, ""))
        ours = {Sent.read(one).id for one in known.values()}
        last = max(self._newest.get(chat, 0), after) + BEYOND
        numbers = range(after + 1, last + 1)
        return [one for one in numbers if one not in ours and (chat, one) not in self._theirs]

    async def _is_ours(self, chat: int, number: int, part: Part) -> bool:
        """Tell by an edit that changes nothing: of all others Telegram says that it cannot."""
        there = Sent(number, part.kind, "")
        try:
            await self._marked(part, lambda text, mode: self._edit(chat, there, part, text, mode))
        except Unchanged:
            return True
        except errors.TemporaryFailure:
            raise
        except errors.HalonError:
            return False
        return True

    async def entered(self, chat: int) -> int:
        """Return the newest message that is known in a chat; where there is none, make one.

        Without an id before it nobody could look for a message whose answer was lost: in a group
        that was never seen a greeting gives one, and that may come twice.
        """
        if not await self.newest(chat):
            said = texts.text("telegram_hello")
            await self._take_turn()
            made = await called(self.bot.send_message(chat, said, disable_notification=True))
            self._newest[chat] = max(self._newest.get(chat, 0), made.message_id)
        return self._newest[chat]

    async def newest(self, chat: int) -> int:
        """Return the newest message that is known in a chat, 0 where there is none."""
        if chat not in self._newest:
            known = await asyncio.to_thread(self.sendings.of, key_in(chat, ""))
            self._newest[chat] = max((Sent.read(one).id for one in known.values()), default=0)
        return self._newest[chat]


def key_in(chat: int, key: str) -> str:
    """Return the key of a message in a chat."""
    return f"{Platform.TELEGRAM}:{chat}/{key}"


def digest(part: Part) -> str:
    """Return a short hash of what a part says, to leave alone what says it already."""
    content = b"" if part.file is None else part.file.content
    said = f"{runs.html_of(part.said)}\0{part.keys}".encode()
    return hashlib.sha256(said + b"\0" + content).hexdigest()[:16]


def _reply(place: Place) -> ReplyParameters | None:
    # A root that was deleted must be told, not replaced by a message without a thread.
    return None if place.root is None else ReplyParameters(place.root)


def _keyboard(part: Part) -> InlineKeyboardMarkup | None:
    """Return the buttons below a message: short ones in pairs, so that a thumb reaches them."""
    rows: list[list[InlineKeyboardButton]] = []
    short = 0
    for label, pressed in part.keys:
        short = short + 1 if limits.units(label) <= NARROW else 0
        if short and short % 2 == 0:
            rows[-1].append(_button(label, pressed))
        else:
            rows.append([_button(label, pressed)])
    return InlineKeyboardMarkup(rows) if rows else None


def _button(label: str, pressed: str) -> InlineKeyboardButton:
    if pressed.startswith("https://"):
        return InlineKeyboardButton(label, url=pressed)
    return InlineKeyboardButton(label, callback_data=pressed)
