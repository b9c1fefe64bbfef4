"""`halon up`: Halon on this machine, until Ctrl-C."""

import signal
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from cli import folder as folders
from cli.plant import Plant
from cli.settings import read
from incidents.settings import Settings, load_services


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Start here")(up)


def up(
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Where the war room listens; 0: any free port."),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="The file that names the services.")] = None,
) -> None:
    """Start Halon with the services of halon.toml and print the war room's address."""
    settings = read(Settings)
    if file is not None:
        settings = settings.model_copy(update={"file": file})
    services = load_services(settings.file)
    folder = folders.prepare(settings.folder)
    with folders.lock(folder):
        overrides = {} if port is None else {"HALON_WEB_PORT": str(port)}
        plant = Plant(settings, overrides)
        stopping = _on_signals()
        try:
            entrance = plant.start()
            names = ", ".join(service.name for service in services) or "no service yet"
            typer.echo(f"War room: {entrance.address}")
            typer.echo(f"Watching over: {names}. Logs: {folder / 'logs'}. Ctrl-C ends it.")
            plant.watch(lambda: bool(stopping))
        finally:
            plant.stop()


def _on_signals() -> list[int]:
    """Return a list that fills when a person or the system asks to stop."""
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    return seen
