"""The `halon` command: everything that can be typed in a shell.

The verbs are in cli/verbs.py. Errors of Halon become one sentence on stderr and exit 3; wrong usage
is exit 2, as in every tool.
"""

import importlib.metadata
import sys
from typing import Annotated

import typer

from cli.verbs import Verbs
from incidents import errors

COULD_NOT_RUN = 3

app = typer.Typer(
    name="halon",
    cls=Verbs,
    help="From a typed line to a fixed service and its review: /incident P0 checkout failing",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"halon {importlib.metadata.version('halon')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Diagnose, mend, roll out and review incidents, from the shell or a chat."""


def run() -> None:
    """Run the command line; the entry point of the installed program."""
    try:
        app()
    except errors.HalonError as error:
        typer.echo(f"halon: {error.message}", err=True)
        sys.exit(COULD_NOT_RUN)
