"""What an update of Telegram's means: who did what where, the same however often it is sent.

Pure. `meaning` is the second key under which the journal stores an update; `line` is what of a
message is meant for Halon.
"""

import re
from collections.abc import Sequence

import telegram
from telegram import ReactionTypeEmoji

COMMANDS = ("incident", "hotfix")
HELP = ("start", "help")
_SLASH = re.compile(r"^/([a-zA-Z0-9_]{1,32})(?:@(\w+))?(?=\s|$)\s*", re.ASCII)


def meaning(update: telegram.Update) -> str:
    """Return who did what where."""
    if (changed := update.message_reaction) is not None:
        who = changed.user or changed.actor_chat
        was, is_ = "".join(emoji(changed.old_reaction)), "".join(emoji(changed.new_reaction))
        where = f"{changed.chat.id}/{changed.message_id}"
        at = int(changed.date.timestamp())
        # Somebody may put a reaction on, off and on again within a second.
        return f"reaction {where} {who.id if who else 0} {at} {was}>{is_} {update.update_id}"
    if (pressed := update.callback_query) is not None:
        return f"pressed {pressed.id}"
    if (edited := update.edited_message) is not None:
        at = int(edited.edit_date.timestamp()) if edited.edit_date else 0
        return f"edited {edited.chat.id}/{edited.message_id} {at}"
    if (message := update.message) is not None:
        return f"message {message.chat.id}/{message.message_id}"
    return f"update {update.update_id}"


def emoji(reactions: Sequence[telegram.ReactionType]) -> tuple[str, ...]:
    """Return the emoji of reactions; those that are pictures of somebody's are none."""
    return tuple(one.emoji for one in reactions if isinstance(one, ReactionTypeEmoji))


def line(message: telegram.Message, username: str) -> str | None:
    """Return the line that a message says to us, None where people talk to each other.

    A command, an @mention of ours, or a reply to a message of ours that begins with neither.
    """
    text = (message.text or "").strip()
    if match := _SLASH.match(text):
        name, to, rest = match[1].lower(), match[2], text[match.end() :]
        if to is not None and to.lower() != username.lower():
            return None  # for another bot
        if name in HELP:
            return "/incident help"
        return f"/{name} {rest}".rstrip() if name in COMMANDS else None
    mention = f"@{username}"
    if username and text.lower().startswith(mention.lower()):
        return f"/incident {text[len(mention) :].strip()}".rstrip()
    replied = message.reply_to_message
    ours = replied is not None and replied.from_user is not None and replied.from_user.is_bot
    same = ours and replied is not None and replied.from_user is not None
    if same and replied.from_user.username == username and replied.forum_topic_created is None:  # type: ignore[union-attr]
        return text or None
    return None
