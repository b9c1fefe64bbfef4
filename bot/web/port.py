"""The platform `web` of the poster: a post is a row of the store, drawn by the pages.

Called by the poster through `bot.port.ChatPort`. The only file that turns a `Message` into the
JSON of a row and back; file contents are kept apart so that a thread is read without them.
"""

import asyncio
import base64
from dataclasses import dataclass
from datetime import datetime

from bot.port import Button, File, Message, Opened, PostRef, ThreadRef, Tone
from incidents import errors
from incidents.models import Incident, Json, Platform
from incidents.posts import Posts


@dataclass(frozen=True)
class WebPort:
    """Posts into the war room."""

    posts: Posts

    @property
    def platform(self) -> Platform:
        """The war room."""
        return Platform.WEB

    def shares(self, place: str) -> str:
        """Return a name: a store of our own has no limits to share."""
        return Platform.WEB

    async def open_thread(self, incident: Incident, where: str, card: Message) -> Opened:
        """Every incident has its page, by its own id, with its card beside the thread."""
        thread = ThreadRef(Platform.WEB, incident.id)
        top = await self.post(thread, card, f"card-{incident.number}")
        await asyncio.to_thread(self.posts.pin, int(top.id))
        return Opened(thread, top)

    async def post(self, thread: ThreadRef, message: Message, key: str) -> PostRef:
        """Store a message once per key."""
        row = await asyncio.to_thread(
            self.posts.put, number(thread), key, to_json(message), files_to_json(message)
        )
        return PostRef(thread, str(row.id))

    async def edit(self, post: PostRef, message: Message) -> None:
        """Replace what a message says."""
        await asyncio.to_thread(
            self.posts.edit, int(post.id), to_json(message), files_to_json(message)
        )

    async def find(self, thread: ThreadRef, key: str) -> PostRef | None:
        """Look for a message by its key."""
        row = await asyncio.to_thread(self.posts.find, number(thread), key)
        return None if row is None else PostRef(thread, str(row.id))

    async def end_thread(self, opened: Opened) -> None:
        """Nothing to do: the page draws its list by status."""

    async def resume_thread(self, opened: Opened) -> None:
        """Nothing to do, as above."""


def number(thread: ThreadRef) -> int:
    """Return the number of the incident whose thread this is; raises `errors.NotFound`."""
    digits = thread.place.removeprefix("INC-")
    if not digits.isdecimal():
        raise errors.NotFound(f"{thread.place!r} is no thread of the war room.")
    return int(digits)


def to_json(message: Message) -> Json:
    """Return a message as JSON, its files by name only."""
    return {
        "headline": message.headline,
        "lines": list(message.lines),
        "markdown": message.markdown,
        "diff": message.diff,
        "files": [
            {"name": file.name, "media": file.media, "title": file.title} for file in message.files
        ],
        "buttons": [
            {
                "label": button.label,
                "command": button.command,
                "ref": button.ref,
                "tone": button.tone.value,
            }
            for button in message.buttons
        ],
        "reactions": list(message.reactions),
        "tone": message.tone.value,
        "author": message.author,
        "at": None if message.at is None else message.at.isoformat(),
        "approval": message.approval,
    }


def from_json(stored: Json) -> Message:
    """Return a stored message; its files come without their contents."""
    return Message(
        headline=stored["headline"],
        lines=tuple(stored["lines"]),
        markdown=stored["markdown"],
        diff=stored["diff"],
        files=tuple(File(**file, content=b"") for file in stored["files"]),
        buttons=tuple(
            Button(button["label"], button["command"], button["ref"], Tone(button["tone"]))
            for button in stored["buttons"]
        ),
        reactions=tuple(stored["reactions"]),
        tone=Tone(stored["tone"]),
        author=stored["author"],
        at=None if stored["at"] is None else datetime.fromisoformat(stored["at"]),
        approval=stored["approval"],
    )


def files_to_json(message: Message) -> list[Json]:
    """Return the files of a message with their contents."""
    return [
        {
            "name": file.name,
            "media": file.media,
            "content": base64.b64encode(file.content).decode("ascii"),
        }
        for file in message.files
    ]


def file_from_json(stored: Json) -> File:
    """Return one stored file with its content."""
    content = base64.b64decode(stored["content"])
    return File(name=stored["name"], media=stored["media"], title="", content=content)
