"""`halon manifest slack`: the app manifest, made from what the code uses.

Prints JSON on stdout and nothing else, so that it can be piped or pasted.
"""

import json
from typing import Annotated

import typer

from bot.slack import manifest

manifest_app = typer.Typer(no_args_is_help=True, help="What a chat must know of Halon.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(manifest_app, name="manifest", rich_help_panel="Start here")


@manifest_app.callback()
def _chats() -> None:
    """Keep the name of the chat a word of its own, also while there is one."""


@manifest_app.command("slack")
def slack(
    url: Annotated[
        str | None,
        typer.Option(help="Public address of the war room, for HTTP instead of Socket Mode."),
    ] = None,
) -> None:
    """Print the manifest for a new Slack app: “From a manifest” on api.slack.com/apps."""
    typer.echo(json.dumps(manifest.manifest(url), indent=2))
