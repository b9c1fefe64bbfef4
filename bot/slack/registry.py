"""What Halon takes from Slack and asks of it: commands, events, methods, and the scopes they need.

Read by `bot.slack.app` (what it listens to), `halon manifest slack` and `halon doctor`. A Web API
method that is used and not named here fails a test, so that no scope is ever missing or idle.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class SlashCommand:
    """A command as Slack's dialog shows it."""

    name: str
    does: str
    hint: str


COMMANDS = (
    SlashCommand(
        "/incident", "Open an incident, or act on one", "P0 checkout failing | status | help"
    ),
    SlashCommand("/hotfix", "Contain a failure at once", "checkout crashes for guests"),
)

# Events, and the scope without which Slack does not send them. Empty: none is needed.
EVENTS: dict[str, str] = {
    "app_home_opened": "",
    "app_mention": "app_mentions:read",
    "message.channels": "channels:history",  # edits of what was noted
    "message.groups": "groups:history",
    "reaction_added": "reactions:read",
    "reaction_removed": "reactions:read",
}

# Methods of the Web API with their scopes of the bot token.
METHODS: dict[str, tuple[str, ...]] = {
    "auth.test": (),
    "bookmarks.add": ("bookmarks:write",),
    "bookmarks.list": ("bookmarks:read",),
    "chat.delete": ("chat:write",),
    "chat.getPermalink": (),
    "chat.postEphemeral": ("chat:write",),
    "chat.postMessage": ("chat:write",),
    "chat.update": ("chat:write",),
    "conversations.create": ("channels:manage", "groups:write"),
    "conversations.history": ("channels:history", "groups:history"),
    "conversations.info": ("channels:read", "groups:read"),
    "conversations.invite": ("channels:manage", "groups:write"),
    "conversations.join": ("channels:join",),
    "conversations.replies": ("channels:history", "groups:history"),
    "conversations.setTopic": ("channels:manage", "groups:write"),
    "files.completeUploadExternal": ("files:write",),
    "files.getUploadURLExternal": ("files:write",),
    "pins.add": ("pins:write",),
    "pins.remove": ("pins:write",),
    "reactions.add": ("reactions:write",),
    "users.conversations": ("channels:read", "groups:read"),
    "users.info": ("users:read",),
    "views.open": (),
    "views.publish": (),
}

COMMAND_SCOPE = "commands"
APP_SCOPE = "connections:write"  # of the xapp token, for Socket Mode

# An emoji on any message of an incident's thread, and what it makes of that message.
NOTE_EMOJI = ("memo", "pushpin")
ACTION_EMOJI = ("hammer_and_wrench", "wrench")
YES_EMOJI = ("white_check_mark", "heavy_check_mark", "ballot_box_with_check", "+1", "thumbsup")
NO_EMOJI = ("x", "no_entry", "-1", "thumbsdown")


def scopes() -> tuple[str, ...]:
    """Return every scope of the bot token, each once, in order."""
    needed = {scope for scope in EVENTS.values() if scope} | {COMMAND_SCOPE}
    needed |= {scope for scopes in METHODS.values() for scope in scopes}
    return tuple(sorted(needed))
