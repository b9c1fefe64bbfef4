"""Telegram's server as far as Halon uses it: it keeps what is sent, and refuses what it refuses.

No part of Halon. Behind it is either the request seam of the real client (`seam.py`) or a loopback
port (`server.py`). Limits, refusals and their words are those of the Bot API's documentation.
"""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from telegram.constants import ReactionEmoji

from tests.bot.telegram import marks

TOKEN = "4242:loopback-token"
BOT = {"id": 4242, "is_bot": True, "first_name": "Halon", "username": "halon_test_bot"}
GROUP = -1001234
Params = dict[str, Any]
STANDARD = {one.value for one in ReactionEmoji}
RIGHTS = (
    "can_be_edited",
    "is_anonymous",
    "can_manage_chat",
    "can_delete_messages",
    "can_manage_video_chats",
    "can_restrict_members",
    "can_promote_members",
    "can_change_info",
    "can_invite_users",
    "can_post_stories",
    "can_edit_stories",
    "can_delete_stories",
)


class Refused(Exception):
    """An answer that is not ok."""

    def __init__(self, status: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.status, self.description, self.parameters = status, description, parameters


def bad(description: str) -> Refused:
    """What Telegram answers to most mistakes."""
    return Refused(400, f"Bad Request: {description}")


@dataclass
class Message:
    """One message as the server keeps it."""

    id: int
    chat: int
    sender: dict[str, Any]
    kind: str  # text, photo, document, service
    html: str
    text: str
    keys: list[list[dict[str, Any]]]
    thread: int | None = None
    reply_to: int | None = None
    file: tuple[str, bytes] | None = None
    edits: int = 0
    service: Params = field(default_factory=dict)

    @property
    def buttons(self) -> list[str]:
        """The labels of its buttons."""
        return [key["text"] for row in self.keys for key in row]


@dataclass
class Topic:
    """A forum topic."""

    id: int
    name: str
    colour: int | None = None
    closed: bool = False


@dataclass
class Chat:
    """A group, and what the bot may do there."""

    id: int
    forum: bool = True
    status: str = "administrator"
    may_topics: bool = True
    may_pin: bool = True
    kind: str = "supergroup"
    moved_to: int | None = None
    topics: dict[int, Topic] = field(default_factory=dict)
    messages: dict[int, Message] = field(default_factory=dict)
    pinned: list[int] = field(default_factory=list)
    next_id: int = 100


class BotApi:
    """The server's memory and its methods; every call is recorded with how it was answered."""

    def __init__(self) -> None:
        self.chats: dict[int, Chat] = {GROUP: Chat(GROUP)}
        self.calls: list[tuple[str, Params, int]] = []
        self.answers: list[tuple[str, str, bool]] = []  # callback query id, text, alert
        self.open_queries: set[str] = set()
        self.reactions: dict[tuple[int, int], list[str]] = {}
        self.webhook: Params = {}
        self.updates: list[Params] = []
        self.next_update = 1000
        self.per_minute: int | None = None
        self.before: Callable[[str, Params], None] = lambda method, params: None
        self.changed = threading.Condition()
        self._sent_at: list[float] = []
        self._poll = 0

    @property
    def group(self) -> Chat:
        """The group of the tests."""
        return self.chats[GROUP]

    # --- as the server is called

    def call(self, token: str, method: str, params: Params) -> tuple[int, Params]:
        """Answer one call: the HTTP status and the JSON body."""
        with self.changed:
            try:
                if token != TOKEN:
                    raise Refused(401, "Unauthorized")
                self.before(method, params)
                act = getattr(self, f"do_{method}", None)
                if act is None:
                    raise Refused(404, "Not Found")
                status, body = 200, {"ok": True, "result": act(params)}
            except Refused as refused:
                status = refused.status
                body = {"ok": False, "error_code": status, "description": refused.description}
                if refused.parameters:
                    body["parameters"] = refused.parameters
            self.calls.append((method, params, status))
            self.changed.notify_all()
            return status, body

    def made(self, method: str) -> list[Params]:
        """The parameters of every accepted call of a method."""
        return [params for name, params, status in self.calls if name == method and status == 200]

    # --- who and where

    def do_getMe(self, params: Params) -> Params:  # noqa: N802
        return BOT | {"can_join_groups": True, "can_read_all_group_messages": False}

    def do_getChat(self, params: Params) -> Params:  # noqa: N802
        chat = self._chat(params)
        gifts = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription")
        return {
            "id": chat.id,
            "type": chat.kind,
            "title": "On call",
            "is_forum": chat.forum,
            "accent_color_id": 0,
            "max_reaction_count": 11,
            "accepted_gift_types": dict.fromkeys((*gifts, "gifts_from_channels"), False),
        }

    def do_getChatMember(self, params: Params) -> Params:  # noqa: N802
        chat = self._chat(params, inside=False)
        if int(params["user_id"]) != BOT["id"]:
            return {"status": "member", "user": person(int(params["user_id"]))}
        if chat.status == "kicked":
            return {"status": "kicked", "user": BOT, "until_date": 0}
        if chat.status != "administrator":
            return {"status": chat.status, "user": BOT}
        mine = {"can_manage_topics": chat.may_topics, "can_pin_messages": chat.may_pin}
        never = dict.fromkeys(RIGHTS, False)
        return {"status": "administrator", "user": BOT} | never | mine

    # --- messages

    def do_sendMessage(self, params: Params) -> Params:  # noqa: N802
        chat = self._counted(params)
        html, text = self._text(params, "text", 4096, "message is too long")
        if not text.strip():
            raise bad("message text is empty")
        return self._put(chat, "text", html, text, params)

    def do_sendPhoto(self, params: Params) -> Params:  # noqa: N802
        return self._media(params, "photo")

    def do_sendDocument(self, params: Params) -> Params:  # noqa: N802
        return self._media(params, "document")

    def do_editMessageText(self, params: Params) -> Params:  # noqa: N802
        message = self._mine(params)
        if message.kind != "text":
            raise bad("there is no text in the message to edit")
        html, text = self._text(params, "text", 4096, "message is too long")
        return self._edited(message, "text", html, text, message.file, params)

    def do_editMessageCaption(self, params: Params) -> Params:  # noqa: N802
        message = self._mine(params)
        if message.kind == "text":
            raise bad("there is no caption in the message to edit")
        html, text = self._text(params, "caption", 1024, "message caption is too long")
        return self._edited(message, message.kind, html, text, message.file, params)

    def do_editMessageMedia(self, params: Params) -> Params:  # noqa: N802
        message, media = self._mine(params), _parsed(params["media"])
        html, text = self._text(media, "caption", 1024, "message caption is too long")
        name = str(media["media"]).removeprefix("attach://")
        return self._edited(message, media["type"], html, text, params[name], params)

    def do_pinChatMessage(self, params: Params) -> bool:  # noqa: N802
        chat = self._chat(params)
        if chat.status != "administrator" or not chat.may_pin:
            raise bad("not enough rights to manage pinned messages in the chat")
        number = int(params["message_id"])
        if number not in chat.messages:
            raise bad("message to pin not found")
        if number not in chat.pinned:
            chat.pinned.append(number)
        return True

    def do_unpinChatMessage(self, params: Params) -> bool:  # noqa: N802
        chat = self._chat(params)
        chat.pinned = [one for one in chat.pinned if one != int(params["message_id"])]
        return True

    def do_setMessageReaction(self, params: Params) -> bool:  # noqa: N802
        chat = self._chat(params)
        found = [one["emoji"] for one in _parsed(params.get("reaction", "[]"))]
        if not set(found) <= STANDARD:
            raise bad("REACTION_INVALID")
        if int(params["message_id"]) not in chat.messages:
            raise bad("message to react not found")
        self.reactions[chat.id, int(params["message_id"])] = found
        return True

    def do_answerCallbackQuery(self, params: Params) -> bool:  # noqa: N802
        query, text = params["callback_query_id"], params.get("text", "")
        if query not in self.open_queries:
            raise bad("query is too old and response timeout expired or query ID is invalid")
        if len(text) > 200:
            raise bad("MESSAGE_TOO_LONG")
        self.open_queries.discard(query)
        self.answers.append((query, text, str(params.get("show_alert")).lower() == "true"))
        return True

    # --- topics

    def do_createForumTopic(self, params: Params) -> Params:  # noqa: N802
        chat = self._counted(params)
        if not chat.forum:
            raise bad("the chat is not a forum")
        if chat.status != "administrator" or not chat.may_topics:
            raise bad("not enough rights to create a topic")
        if not 1 <= len(params["name"]) <= 128:
            raise bad("TOPIC_TITLE_EMPTY")
        made = self.add_topic(chat, params["name"], BOT)
        made.colour = int(params.get("icon_color", 0x6FB9F0))
        return {"message_thread_id": made.id, "name": made.name, "icon_color": made.colour}

    def do_editForumTopic(self, params: Params) -> bool:  # noqa: N802
        topic = self._topic(params)
        if topic.name == params.get("name", topic.name):
            raise bad("TOPIC_NOT_MODIFIED")
        topic.name = params["name"]
        return True

    def do_closeForumTopic(self, params: Params) -> bool:  # noqa: N802
        return self._close(params, closed=True)

    def do_reopenForumTopic(self, params: Params) -> bool:  # noqa: N802
        return self._close(params, closed=False)

    # --- updates

    def do_getUpdates(self, params: Params) -> list[Params]:  # noqa: N802
        if self.webhook.get("url"):
            raise Refused(409, "Conflict: can't use getUpdates method while webhook is active")
        self._poll += 1
        mine, offset = self._poll, int(params.get("offset", 0))
        self.updates = [one for one in self.updates if one["update_id"] >= offset]
        self.changed.notify_all()  # an older poll of the same token ends
        until = time.monotonic() + float(params.get("timeout", 0))
        while not self.updates and (left := until - time.monotonic()) > 0:
            self.changed.wait(left)
            if self._poll != mine:
                raise Refused(
                    409,
                    "Conflict: terminated by other getUpdates request; make sure that only one "
                    "bot instance is running",
                )
        wanted = set(_parsed(params.get("allowed_updates", "[]")))
        return [one for one in self.updates if not wanted or wanted & set(one)][:100]

    def do_setWebhook(self, params: Params) -> bool:  # noqa: N802
        self.webhook = params
        return True

    def do_deleteWebhook(self, params: Params) -> bool:  # noqa: N802
        self.webhook = {}
        return True

    # --- what people do is put here by `people.py`

    def push(self, **update: Any) -> Params:
        """Queue an update, and return it as Telegram sends it."""
        with self.changed:
            made = {"update_id": self.next_update, **update}
            self.next_update += 1
            self.updates.append(made)
            self.changed.notify_all()
            return made

    def add_topic(self, chat: Chat, name: str, sender: Params) -> Topic:
        """Make a topic; its id is that of the message that tells of it."""
        made = Topic(chat.next_id, name)
        told = {"forum_topic_created": {"name": name, "icon_color": 0x6FB9F0}}
        chat.messages[made.id] = Message(
            made.id, chat.id, sender, "service", "", "", [], made.id, service=told
        )
        chat.next_id += 1
        chat.topics[made.id] = made
        return made

    def delete_topic(self, chat: Chat, topic: int) -> None:
        """Delete a topic with everything in it, as a person does."""
        del chat.topics[topic]
        chat.messages = {at: one for at, one in chat.messages.items() if one.thread != topic}

    def shown(self, message: Message) -> Params:
        """A message as Telegram sends it."""
        made: Params = {
            "message_id": message.id,
            "date": int(time.time()),
            "chat": chat_of(self.chats[message.chat]),
            "from": message.sender,
        }
        if message.thread is not None:
            made |= {"message_thread_id": message.thread, "is_topic_message": True}
        if message.kind == "text":
            made["text"] = message.text
        elif message.kind != "service":
            made["caption"] = message.text
        return made | message.service

    # --- inside

    def _chat(self, params: Params, inside: bool = True) -> Chat:
        chat = self.chats.get(int(params["chat_id"]))
        if chat is None:
            raise bad("chat not found")
        if chat.moved_to is not None:
            raise Refused(
                400,
                "Bad Request: group chat was upgraded to a supergroup chat",
                migrate_to_chat_id=chat.moved_to,
            )
        if inside and chat.status in ("left", "kicked"):
            raise Refused(403, "Forbidden: bot was kicked from the supergroup chat")
        return chat

    def _counted(self, params: Params) -> Chat:
        """A call that counts against the limit of a group."""
        chat, now = self._chat(params), time.monotonic()
        self._sent_at = [at for at in self._sent_at if now - at < 60]
        if self.per_minute is not None and len(self._sent_at) >= self.per_minute:
            wait = int(60 - (now - self._sent_at[0])) + 1
            raise Refused(429, f"Too Many Requests: retry after {wait}", retry_after=wait)
        self._sent_at.append(now)
        return chat

    def _text(self, params: Params, name: str, most: int, refusal: str) -> tuple[str, str]:
        html = str(params.get(name, ""))
        text = html
        if params.get("parse_mode") == "HTML":
            try:
                text = marks.read(html)
            except marks.MarksRefused as refused:
                raise bad(f"can't parse entities: {refused}") from None
        if marks.units(text) > most:
            raise bad(refusal)
        return html, text

    def _media(self, params: Params, kind: str) -> Params:
        chat = self._counted(params)
        html, text = self._text(params, "caption", 1024, "message caption is too long")
        return self._put(chat, kind, html, text, params, params[kind])

    def _put(
        self,
        chat: Chat,
        kind: str,
        html: str,
        text: str,
        params: Params,
        file: tuple[str, bytes] | None = None,
    ) -> Params:
        thread = int(params["message_thread_id"]) if "message_thread_id" in params else None
        if thread is not None:
            if thread not in chat.topics:
                raise bad("message thread not found")
            if chat.topics[thread].closed and not chat.may_topics:
                raise bad("TOPIC_CLOSED")
        reply = _parsed(params.get("reply_parameters", "{}")).get("message_id")
        if reply is not None and reply not in chat.messages:
            raise bad("message to be replied not found")
        message = Message(
            chat.next_id, chat.id, BOT, kind, html, text, _keys(params), thread, reply, file
        )
        chat.messages[message.id] = message
        chat.next_id += 1
        return self.shown(message)

    def _mine(self, params: Params) -> Message:
        message = self._chat(params).messages.get(int(params["message_id"]))
        if message is None:
            raise bad("message to edit not found")
        if message.sender["id"] != BOT["id"] or message.kind == "service":
            raise bad("message can't be edited")
        return message

    def _edited(
        self,
        message: Message,
        kind: str,
        html: str,
        text: str,
        file: tuple[str, bytes] | None,
        params: Params,
    ) -> Params:
        keys = _keys(params)
        now = (message.kind, message.html, message.keys, message.file)
        if now == (kind, html, keys, file):
            raise bad(
                "message is not modified: specified new message content and reply markup are "
                "exactly the same as a current content and reply markup of the message"
            )
        message.kind, message.html, message.text = kind, html, text
        message.keys, message.file = keys, file
        message.edits += 1
        return self.shown(message)

    def _topic(self, params: Params) -> Topic:
        chat = self._chat(params)
        if chat.status != "administrator" or not chat.may_topics:
            raise bad("not enough rights to manage topics")
        topic = chat.topics.get(int(params["message_thread_id"]))
        if topic is None:
            raise bad("TOPIC_ID_INVALID")
        return topic

    def _close(self, params: Params, *, closed: bool) -> bool:
        topic = self._topic(params)
        if topic.closed is closed:
            raise bad("TOPIC_NOT_MODIFIED")
        topic.closed = closed
        return True


def person(number: int, name: str = "", **more: Any) -> Params:
    """A user as Telegram sends one."""
    return {"id": number, "is_bot": False, "first_name": name or f"user{number}"} | more


def chat_of(chat: Chat) -> Params:
    """A chat as Telegram sends it with a message."""
    return {"id": chat.id, "type": chat.kind, "title": "On call", "is_forum": chat.forum}


def _parsed(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _keys(params: Params) -> list[list[dict[str, Any]]]:
    keys: list[list[dict[str, Any]]] = _parsed(params.get("reply_markup", "{}")).get(
        "inline_keyboard", []
    )
    for row in keys:
        for key in row:
            if len(key.get("callback_data", "x").encode()) > 64 or not key["text"]:
                raise bad("BUTTON_DATA_INVALID")
    return keys
