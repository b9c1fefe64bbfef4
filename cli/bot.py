"""`halon bot`: the process that chats, as a container starts it."""

import os

import typer

from bot import app as bot_app
from bot.settings import BotSettings
from cli.settings import read
from incidents import crash


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Processes")(bot)


def bot() -> None:
    """Serve the war room and post what happens."""
    settings = read(BotSettings)
    crash.arm_from_environment(os.environ)
    bot_app.run(settings)
