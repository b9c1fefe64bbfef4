"""`halon controller`: wakes, watches and moves traffic; the process as a container starts it."""

import os

import typer

from cli.settings import read
from incidents import crash
from workers import controller as controlling
from workers.settings import ControllerSettings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Processes")(controller)


def controller() -> None:
    """Wake work, watch the clocks, move traffic."""
    settings = read(ControllerSettings)
    crash.arm_from_environment(os.environ)
    controlling.run(settings)
