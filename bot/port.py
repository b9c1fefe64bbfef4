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


class ChatPort(Protocol):
    """What the poster needs of a platform. Every call may raise `errors.TemporaryFailure`."""

    @property
    def platform(self) -> Platform:
        """Which platform this is."""
        ...

    async def open_thread(self, incident: Incident) -> ThreadRef:
        """Make, or find again, the place of an incident."""
        ...

    async def post(self, thread: ThreadRef, message: Message, key: str) -> PostRef:
        """Send a message once; `key` makes a repetition findable."""
        ...

    async def edit(self, post: PostRef, message: Message) -> None:
        """Replace what a message says."""
        ...

    async def find(self, thread: ThreadRef, key: str) -> PostRef | None:
        """Look for a message by its key, after a send whose outcome is unknown."""
        ...

    async def pin(self, post: PostRef) -> None:
        """Keep a message in reach while the thread grows."""
        ...
