"""The contract of a chat platform, and the values that pass through it.

The poster renders timeline entries into `Message` values and hands them to a port; each platform
(`bot/web`, later `bot/slack`, `bot/telegram`) draws them within its own limits and escapes every
leaf for itself. Nothing here knows a platform.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from incidents.models import Incident, Platform


class Tone(StrEnum):
    """The four states that have a colour; each is also shown by a word or a shape."""

    NEUTRAL = "neutral"
    FAILING = "failing"
    PASSING = "passing"
    WAITING = "waiting"  # something is asked of a person


@dataclass(frozen=True)
class ThreadRef:
    """The place of one incident on one platform."""

    platform: Platform
    place: str


@dataclass(frozen=True)
class PostRef:
    """One message in a thread, by the platform's own id."""

    thread: ThreadRef
    id: str


@dataclass(frozen=True)
class Opened:
    """A thread with its card, and what the platform did not let us do, a sentence each."""

    thread: ThreadRef
    card: PostRef
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Button:
    """A verb to press. `ref` holds an id only, so that a forged button names nothing else."""

    label: str
    command: str
    ref: str
    tone: Tone = Tone.NEUTRAL


@dataclass(frozen=True)
class File:
    """A whole report, diff or picture beside its message."""

    name: str
    media: str
    title: str
    content: bytes


@dataclass(frozen=True)
class Message:
    """What one timeline entry says: the news first, then at most three lines of why."""

    headline: str
    lines: tuple[str, ...] = ()
    markdown: str | None = None
    diff: str | None = None
    files: tuple[File, ...] = ()
    buttons: tuple[Button, ...] = ()
    reactions: tuple[str, ...] = ()
    tone: Tone = Tone.NEUTRAL
    author: str = "Halon"
    at: datetime | None = None
    approval: str | None = None  # the approval that a reaction on this message answers
    calls: tuple[str, ...] = ()  # who must act, as "slack:U1": mentioned once, never by an edit
    announced: bool = False  # the state has changed: shown beyond the thread where there is a way
    live: bool = False  # edited again soon: a platform that cannot replace files waits with them


class ChatPort(Protocol):
    """What the poster needs of a platform.

    Every call may raise `errors.TemporaryFailure` (surely not done; again later),
    `errors.OutcomeUnknown` (perhaps done: the poster looks before it says it again) and
    `errors.PermanentFailure` (this message can never be shown).
    """

    @property
    def platform(self) -> Platform:
        """Which platform this is."""
        ...

    def shares(self, place: str) -> str:
        """Return what one limit of writing counts, such as the channel of a thread."""
        ...

    async def open_thread(self, incident: Incident, where: str, card: Message) -> Opened:
        """Make the place of an incident with its card on top, kept in reach; or find it again.

        `where` is the conversation's own name for its place, such as a channel.
        """
        ...

    async def post(self, thread: ThreadRef, message: Message, key: str) -> PostRef:
        """Send a message once; `key` makes it findable."""
        ...

    async def edit(self, post: PostRef, message: Message) -> None:
        """Replace what a message says; raises `errors.NotFound` when it is gone."""
        ...

    async def find(self, thread: ThreadRef, key: str) -> PostRef | None:
        """Look for a message by its key, after a send whose outcome is unknown."""
        ...

    async def end_thread(self, opened: Opened) -> None:
        """Put the thread of what has ended out of reach; doing it twice changes nothing."""
        ...

    async def resume_thread(self, opened: Opened) -> None:
        """Bring the thread of what was opened again back into reach."""
        ...
