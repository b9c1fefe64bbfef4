"""`halon host`: the small production of one machine, for a service without another deployer."""

from pathlib import Path
from typing import Annotated

import typer

from rollout import host as hosting


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Processes")(host)


def host(
    folder: Annotated[Path, typer.Argument(help="Its folder, with host.json in it.")],
) -> None:
    """Host a service on this machine: one port, exact weights, nothing lost."""
    hosting.serve(folder)
