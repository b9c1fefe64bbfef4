"""The app manifest: what a Slack app must be allowed and told, made from the registry.

Pure. Printed by `halon manifest slack`; whoever pastes it into Slack has exactly the scopes, events
and commands that the code uses, no more.
"""

from bot.slack import registry
from incidents.models import Json

PATH = "/slack/events"


def manifest(url: str | None = None) -> Json:
    """Return the manifest for Socket Mode, or for HTTP with the public address of the war room."""
    request_url = {"request_url": f"{url.rstrip('/')}{PATH}"} if url else {}
    command_url = {"url": request_url["request_url"]} if url else {}
    return {
        "display_information": {
            "name": "Halon",
            "description": "Takes an incident from one typed line to a fix and its review",
            "background_color": "#1d2a33",
        },
        "features": {
            "app_home": {
                "home_tab_enabled": True,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": True,
            },
            "bot_user": {"display_name": "halon", "always_online": True},
            "slash_commands": [
                {
                    "command": one.name,
                    "description": one.does,
                    "usage_hint": one.hint,
                    "should_escape": True,  # people arrive as ids, not as names anyone can take
                    **command_url,
                }
                for one in registry.COMMANDS
            ],
        },
        "oauth_config": {"scopes": {"bot": list(registry.scopes())}},
        "settings": {
            "event_subscriptions": {**request_url, "bot_events": sorted(registry.EVENTS)},
            "interactivity": {"is_enabled": True, **request_url},
            "org_deploy_enabled": False,
            "socket_mode_enabled": url is None,
            "token_rotation_enabled": False,
        },
    }
