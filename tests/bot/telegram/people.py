"""What people do in the group, as updates that Telegram sends of it."""

import time
from dataclasses import dataclass
from itertools import count
from typing import Any

from tests.bot.telegram.botapi import GROUP, BotApi, Message, Params, chat_of, person

_QUERIES = count(1)


@dataclass
class Someone:
    """A person, or something that looks like one, in front of a phone."""

    api: BotApi
    id: int
    name: str = ""
    chat: int = GROUP
    is_bot: bool = False
    in_name_of: Params | None = None  # a chat: an anonymous administrator, a channel

    @property
    def user(self) -> Params:
        """As Telegram sends it."""
        return person(self.id, self.name) | {"is_bot": self.is_bot}

    def say(
        self, text: str, topic: int | None = None, reply_to: Message | None = None, **more: Any
    ) -> Params:
        """Type a message."""
        message = self._typed(text, topic, reply_to)
        return self.api.push(message=self._shown(message, reply_to) | more)

    def edit(self, update: Params, text: str) -> Params:
        """Change what one has typed."""
        changed = update["message"] | {"text": text, "edit_date": int(time.time())}
        changed["entities"] = _entities(text)
        return self.api.push(edited_message=changed)

    def press(self, message: Message, label: str) -> Params:
        """Press a button of a message."""
        keys = [key for row in message.keys for key in row]
        return self.press_data(
            message, next(key["callback_data"] for key in keys if label in key["text"])
        )

    def press_data(self, message: Message, data: str) -> Params:
        """Press a button that may not be there any more."""
        query = str(next(_QUERIES))
        self.api.open_queries.add(query)
        made = {"id": query, "from": self.user, "chat_instance": "1", "data": data}
        return self.api.push(callback_query=made | {"message": self.api.shown(message)})

    def react(self, message: Message, new: str, old: str = "", at: int | None = None) -> Params:
        """Change one's reactions to a message; texts of emoji."""
        made: Params = {
            "chat": chat_of(self.api.chats[message.chat]),
            "message_id": message.id,
            "date": int(time.time()) if at is None else at,
            "old_reaction": [{"type": "emoji", "emoji": one} for one in old],
            "new_reaction": [{"type": "emoji", "emoji": one} for one in new],
        }
        who = {"user": self.user} if self.in_name_of is None else {"actor_chat": self.in_name_of}
        return self.api.push(message_reaction=made | who)

    def _typed(self, text: str, topic: int | None, reply_to: Message | None) -> Message:
        chat = self.api.chats[self.chat]
        reply = None if reply_to is None else reply_to.id
        with self.api.changed:
            number = chat.next_id
            made = Message(number, chat.id, self.user, "text", text, text, [], topic, reply)
            chat.messages[number] = made
            chat.next_id += 1
        return made

    def _shown(self, message: Message, reply_to: Message | None) -> Params:
        made = self.api.shown(message)
        made["entities"] = _entities(message.text)
        if reply_to is not None:
            made["reply_to_message"] = self.api.shown(reply_to)
        if self.in_name_of is not None:
            made["sender_chat"] = self.in_name_of
            made["from"] = person(1087968824, "Group") | {"is_bot": True}
        return made


def _entities(text: str) -> list[Params]:
    if not text.startswith(("/", "@")):
        return []
    kind = "bot_command" if text.startswith("/") else "mention"
    return [{"type": kind, "offset": 0, "length": len(text.split()[0])}]
