"""What Slack sends, read into one small value: the only file that knows the shapes of its events.

Pure. Called by `bot.slack.app` before anything is acknowledged, and on what a crash left behind.
An event has its id and its meaning: who did what where, which stays the same when Slack sends one
act under several ids. What is none of our business reads as None.
"""

import hashlib
import html
import json
import re
from dataclasses import asdict, dataclass
from enum import StrEnum

from bot.slack.place import ACTION
from incidents.models import Json

MENTION = re.compile(r"^\s*<@([A-Z0-9]+)(?:\|[^>]*)?>[\s:,]*")
_PERSON = re.compile(r"<@([A-Z0-9]+)(?:\|([^>]*))?>")
_CHANNEL = re.compile(r"<#([A-Z0-9]+)(?:\|([^>]*))?>")
_GROUP = re.compile(r"<!subteam\^[A-Z0-9]+(?:\|([^>]*))?>")
_ALL = re.compile(r"<!(channel|here|everyone)(?:\|[^>]*)?>")
_LINK = re.compile(r"<((?:https?|mailto|tel):[^|>]+)(?:\|([^>]*))?>")


class Kind(StrEnum):
    """What somebody did."""

    SLASH = "slash"
    MENTION = "mention"
    BUTTON = "button"
    FORM = "form"
    REACTION = "reaction"
    REACTION_GONE = "reaction gone"
    EDITED = "edited"
    DELETED = "deleted"
    HOME = "home"


@dataclass(frozen=True)
class Inbound:
    """One act of one person; empty where Slack says nothing of it."""

    kind: Kind
    event_id: str
    meaning: str
    user: str
    team: str = ""  # the person's own workspace, where Slack names it
    channel: str = ""
    message: str = ""  # the timestamp of the message that was typed, pressed or reacted to
    thread: str = ""  # the timestamp at the head of its thread
    text: str = ""  # a line, an emoji's name, or what a message says now
    value: str = ""  # what a button carries
    fields: tuple[tuple[str, str], ...] = ()  # of a form
    reply_to: str = ""  # where an answer for this person alone may be sent, for half an hour
    trigger: str = ""  # opens a form, for three seconds

    @property
    def stored(self) -> Json:
        """The act as JSON, as the journal keeps it."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]


def again(stored: Json) -> Inbound:
    """Return an act as the journal kept it."""
    kept = {name: stored[name] for name in Inbound.__dataclass_fields__}
    fields = tuple((name, value) for name, value in kept["fields"])
    return Inbound(**(kept | {"kind": Kind(kept["kind"]), "fields": fields}))


def read(body: Json) -> Inbound | None:
    """Return what a request of Slack says, None where it asks nothing of us."""
    if "command" in body:
        return _slash(body)
    if body.get("type") == "block_actions":
        return _button(body)
    if body.get("type") == "view_submission":
        return _form(body)
    if body.get("type") == "event_callback" and isinstance(body.get("event"), dict):
        return _event(body, body["event"])
    return None


def _slash(body: Json) -> Inbound:
    said = _text(body, "text")
    line = f"{_text(body, 'command')} {plain(said)}".strip()
    trigger = _text(body, "trigger_id") or _digest(body)
    channel, user = _text(body, "channel_id"), _text(body, "user_id")
    return Inbound(
        Kind.SLASH,
        event_id=trigger,
        meaning=f"{channel} {user} typed {trigger} {_digest(line)}",
        user=user,
        channel=channel,
        text=line,
        reply_to=_text(body, "response_url"),
        trigger=trigger,
    )


def _button(body: Json) -> Inbound | None:
    pressed = next((one for one in body.get("actions") or () if isinstance(one, dict)), {})
    name = _text(pressed, "action_id")
    if not name.startswith(ACTION):
        return None
    where = _table(body, "container")
    user, channel = _table(body, "user"), _text(_table(body, "channel"), "id")
    message = _text(where, "message_ts") or _text(where, "view_id")
    at = _text(pressed, "action_ts") or _text(body, "trigger_id")
    return Inbound(
        Kind.BUTTON,
        event_id=f"{name} {at} {_text(user, 'id')}",
        meaning=f"{channel} {message} {name} {_text(user, 'id')} {at}",
        user=_text(user, "id"),
        team=_text(user, "team_id"),
        channel=channel,
        message=message,
        thread=_text(where, "thread_ts"),
        text=name.removeprefix(ACTION),
        value=_text(pressed, "value") or _text(_table(pressed, "selected_option"), "value"),
        reply_to=_text(body, "response_url"),
        trigger=_text(body, "trigger_id"),
    )


def _form(body: Json) -> Inbound | None:
    view, user = _table(body, "view"), _table(body, "user")
    name = _text(view, "callback_id")
    if not name.startswith(ACTION):
        return None
    fields = [
        (block, _text(field, "value") or _text(_table(field, "selected_option"), "value"))
        for block, fields in _table(_table(view, "state"), "values").items()
        for field in fields.values()
    ]
    return Inbound(
        Kind.FORM,
        event_id=_text(view, "id"),
        meaning=f"view {_text(view, 'id')} sent",
        user=_text(user, "id"),
        team=_text(user, "team_id"),
        channel=_text(view, "private_metadata"),
        text=name.removeprefix(ACTION),
        fields=tuple(fields),
    )


def _event(body: Json, event: Json) -> Inbound | None:
    reads = _EVENTS.get(_text(event, "type"))
    if reads is None or _text(event, "bot_id"):
        return None
    return reads(_text(body, "event_id") or _digest(body), event)


def _mention(event_id: str, event: Json) -> Inbound | None:
    named = MENTION.match(_text(event, "text"))
    if named is None:
        return None  # spoken of, not spoken to
    channel, ts, user = (_text(event, name) for name in ("channel", "ts", "user"))
    return Inbound(
        Kind.MENTION,
        event_id=event_id,
        meaning=f"{channel} {ts} said",
        user=user,
        team=_text(event, "user_team") or _text(event, "team"),
        channel=channel,
        message=ts,
        thread=_text(event, "thread_ts"),
        text=f"@halon {plain(_text(event, 'text')[named.end() :])}".strip(),
        value=named[1],
    )


def _reaction(event_id: str, event: Json) -> Inbound | None:
    item = _table(event, "item")
    if item.get("type") != "message":
        return None
    added = event["type"] == "reaction_added"
    kind = Kind.REACTION if added else Kind.REACTION_GONE
    channel, ts, user = _text(item, "channel"), _text(item, "ts"), _text(event, "user")
    emoji = _text(event, "reaction").partition("::")[0]  # whatever the skin
    return Inbound(
        kind,
        event_id=event_id,
        meaning=f"{channel} {ts} {kind} {emoji} {user} {_text(event, 'event_ts')}",
        user=user,
        channel=channel,
        message=ts,
        text=emoji,
    )


def _message(event_id: str, event: Json) -> Inbound | None:
    """Edits and deletions only: what people say to each other is theirs."""
    channel, kind = _text(event, "channel"), _text(event, "subtype")
    now, before = _table(event, "message"), _table(event, "previous_message")
    if (
        kind == "message_changed"
        and not _text(now, "bot_id")
        and now.get("text") != before.get("text")
    ):
        ts, at = _text(now, "ts"), _text(_table(now, "edited"), "ts") or _text(event, "ts")
        meaning = f"{channel} {ts} edited {at}"
        said = plain(_text(now, "text"))
        user = _text(now, "user")
        return Inbound(Kind.EDITED, event_id, meaning, user, channel=channel, message=ts, text=said)
    if kind == "message_deleted" and not _text(before, "bot_id"):
        ts = _text(event, "deleted_ts")
        user = _text(before, "user")
        return Inbound(
            Kind.DELETED, event_id, f"{channel} {ts} gone", user, channel=channel, message=ts
        )
    return None


def _home(event_id: str, event: Json) -> Inbound | None:
    if event.get("tab", "home") != "home":
        return None
    user, at = _text(event, "user"), _text(event, "event_ts")
    return Inbound(Kind.HOME, event_id, f"{user} opened home {at or event_id}", user)


_EVENTS = {
    "app_mention": _mention,
    "reaction_added": _reaction,
    "reaction_removed": _reaction,
    "message": _message,
    "app_home_opened": _home,
}


def plain(text: str) -> str:
    """Return a text as it was typed: people and channels by their names, entities undone."""
    text = _PERSON.sub(lambda found: f"@{found[2] or found[1]}", text)
    text = _CHANNEL.sub(lambda found: f"#{found[2] or found[1]}", text)
    text = _GROUP.sub(lambda found: found[1] or "@group", text)
    text = _ALL.sub(r"@\1", text)
    text = _LINK.sub(lambda found: found[1] if not found[2] else found[2], text)
    return html.unescape(text)


def _text(table: Json, name: str) -> str:
    found = table.get(name)
    return found if isinstance(found, str) else ""


def _table(table: Json, name: str) -> Json:
    found = table.get(name)
    return found if isinstance(found, dict) else {}


def _digest(body: object) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
