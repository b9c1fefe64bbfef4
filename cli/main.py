"""The `halon` command line: reads the arguments and hands over to the packages.

Called by people, the Makefile and scripts. It never holds a rule of its own.
"""

from importlib import metadata
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False)


def print_version(wanted: bool) -> None:
    """Print the installed version and stop."""
    if wanted:
        typer.echo(f"halon {metadata.version('halon')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True)
    ] = False,
) -> None:
    """Halon: from the alarm to a fixed service and its review."""
