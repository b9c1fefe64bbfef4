"""Every method that the code calls has its scopes in the manifest, and no scope is idle."""

import ast
import json
import subprocess
import sys
from pathlib import Path

from slack_sdk.web.async_client import AsyncWebClient

from bot.slack import manifest, registry

FOLDER = Path(manifest.__file__).parent
# What a helper of Slack's client asks for under another name, and what the app token opens.
STANDS_FOR = {
    "files_upload_v2": ("files.getUploadURLExternal", "files.completeUploadExternal"),
    "apps_connections_open": (),
}


def called() -> set[str]:
    """Return the methods of the Web API that the modules of bot/slack name as calls of a client."""
    known = {name for name in vars(AsyncWebClient) if "_" in name and not name.startswith("_")}
    found = {
        node.attr
        for file in FOLDER.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in known
    }
    methods: set[str] = set()
    for name in found:
        methods |= set(STANDS_FOR.get(name, (method(name),)))
    return methods


def method(attribute: str) -> str:
    """Return the Web API's name of a client's function: `users_info` is `users.info`."""
    return attribute.replace("_", ".")


def test_every_method_that_is_called_is_registered_and_no_other() -> None:
    assert called() == set(registry.METHODS)


def test_the_manifest_has_the_scopes_events_and_commands_of_the_registry() -> None:
    made = manifest.manifest()

    assert set(registry.scopes()) == set(made["oauth_config"]["scopes"]["bot"])
    assert sorted(registry.EVENTS) == made["settings"]["event_subscriptions"]["bot_events"]
    assert ["/incident", "/hotfix"] == [
        one["command"] for one in made["features"]["slash_commands"]
    ]
    assert made["settings"]["socket_mode_enabled"]
    assert "request_url" not in json.dumps(made)


def test_over_http_every_address_is_the_door_of_the_war_room() -> None:
    made = manifest.manifest("https://halon.example.com/")

    address = "https://halon.example.com/slack/events"
    assert not made["settings"]["socket_mode_enabled"]
    assert address == made["settings"]["event_subscriptions"]["request_url"]
    assert address == made["settings"]["interactivity"]["request_url"]
    assert {address} == {one["url"] for one in made["features"]["slash_commands"]}


def test_emojis_mean_one_thing_each() -> None:
    kinds = (registry.YES_EMOJI, registry.NO_EMOJI, registry.NOTE_EMOJI, registry.ACTION_EMOJI)

    assert sum(len(kind) for kind in kinds) == len(set().union(*kinds))


def test_the_shell_prints_the_manifest_and_nothing_else() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "manifest", "slack"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert manifest.manifest() == json.loads(done.stdout)
