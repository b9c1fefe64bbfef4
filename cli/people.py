"""`halon people`: which accounts are one person's, so that they are one voice.

An admin's business: whoever may write to Halon's database. A bot that runs hears of it within
seconds.
"""

import getpass
from typing import Annotated

import typer

from cli import desk
from incidents import errors
from incidents.models import Person, Platform
from incidents.people import Identities

people_app = typer.Typer(no_args_is_help=True, help="Which accounts are one person's.")
CHATS = (Platform.SLACK, Platform.TELEGRAM, Platform.WEB, Platform.SHELL)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(people_app, name="people", rich_help_panel="Incidents")


@people_app.command("link")
def link(
    account: Annotated[str, typer.Argument(help="An account, such as telegram:123456789.")],
    voice: Annotated[str, typer.Argument(help="Whose it is, such as slack:U024BE7LH.")],
) -> None:
    """Let an account speak with another's voice: together they have one vote."""
    with desk.opened() as (office, _):
        by = Person(Platform.SHELL, getpass.getuser())
        Identities(office.store).link(_person(account), _person(voice), by)
    typer.echo(f"{account} speaks with the voice of {voice}.")


@people_app.command("unlink")
def unlink(
    account: Annotated[str, typer.Argument(help="An account, such as telegram:123456789.")],
) -> None:
    """Give an account its own voice again."""
    with desk.opened() as (office, _):
        Identities(office.store).unlink(_person(account))
    typer.echo(f"{account} speaks for itself.")


@people_app.command("list")
def listed() -> None:
    """List the accounts that speak with another's voice."""
    with desk.opened() as (office, _):
        for account, voice in sorted(Identities(office.store).all().items(), key=str):
            typer.echo(f"{account} → {voice}")


def _person(text: str) -> Person:
    platform, _, user = text.partition(":")
    if platform not in CHATS or not user:
        raise errors.WrongState(
            f"{text!r} is no account; write it as telegram:123456789 or slack:U024BE7LH."
        )
    return Person(Platform(platform), user)
