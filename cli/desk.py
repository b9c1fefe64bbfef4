"""Commands on stored incidents from a shell: say, incident, rollback, changed, token.

`halon say` takes the same lines as every chat and goes the same road. Whoever can read the data
folder and its key is the operator of this machine.
"""

import getpass
import json
import os
import shlex
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from bot import road
from bot.commands import Commands
from bot.settings import BotSettings
from cli import folder as folders
from cli import sent
from cli.settings import read
from incidents import errors, people, report_text
from incidents.models import Change, ChangeKind, Person, Platform
from incidents.policy import OPERATOR, Access
from incidents.reports import DeploymentPlan
from incidents.settings import Settings
from workers import cases, office
from workers.office import Office

incident_app = typer.Typer(no_args_is_help=True, help="Look at stored incidents.")
token_app = typer.Typer(no_args_is_help=True, help="Who may enter the war room.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    panel = "Incidents"
    app.command(rich_help_panel=panel)(say)
    app.command(rich_help_panel=panel)(rollback)
    app.command(rich_help_panel=panel)(changed)
    app.add_typer(incident_app, name="incident", rich_help_panel=panel)
    app.add_typer(token_app, name="token", rich_help_panel=panel)


@contextmanager
def opened() -> Iterator[tuple[Office, Commands]]:
    """Open the data folder's database as the operator of this machine."""
    settings = read(Settings)
    folder = folders.prepare(settings.folder)
    key = bytes.fromhex(folders.approval_key(folder))
    with office.opened(settings, f"shell:{os.getpid()}", key=key) as desk:
        desk.store.migrate()
        # As in the war room: where people answer in a chat, the operator is one of them or nobody.
        chat = read(BotSettings, approval_key=key.hex()).chat_wanted
        access = Access(desk.services, chat, people.Identities(desk.store).all())
        yield desk, road.commands(desk.store, access, key, lambda: access)


def say(
    line: Annotated[str, typer.Argument(help='Such as "/incident P0 checkout failing".')],
    incident: Annotated[str | None, typer.Option(help="The incident, such as INC-4.")] = None,
) -> None:
    """Say a line as in a chat: open, status, approve, hold, rollback, resolve and the rest."""
    with opened() as (_, commands):
        said = commands.say(line, OPERATOR, incident, uuid.uuid4().hex)
    typer.echo(said.text, err=not said.accepted)
    if not said.accepted:
        if said.try_this:
            typer.echo(f"Try: {said.try_this}", err=True)
        raise typer.Exit(1)


@incident_app.command("list")
def list_incidents(
    everything: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
) -> None:
    """List incidents, the most severe first."""
    with opened() as (desk, _):
        for one in desk.incidents.list(live_only=not everything):
            title = report_text.visible(one.title)
            typer.echo(f"{one.id:<8} {one.severity} {one.status.value:<10} {title}")


@incident_app.command()
def show(
    name: Annotated[str, typer.Argument(help="Such as INC-4.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    sent_to_model: Annotated[
        bool, typer.Option("--sent-to-model", help="What left for a model, instead.")
    ] = False,
) -> None:
    """Show an incident's timeline, or what of it left for a model."""
    with opened() as (desk, _):
        found = desk.incidents.find(name)
        if sent_to_model:
            sent.show(found, desk.sent.requests(found.number), as_json=as_json)
            return
        timeline = desk.timeline.entries(found.number)
        spent = desk.costs.by_role(found.number)
        if as_json:
            rows = [
                {
                    "sequence": entry.sequence,
                    "at": entry.at.isoformat(),
                    "kind": entry.kind.value,
                    "actor": str(entry.actor),
                    "content": entry.content,
                    "hash": entry.hash,
                }
                for entry in timeline
            ]
            costs = [asdict(one) | {"dollars": str(one.dollars)} for one in spent]
            shown = {"incident": found.id, "timeline": rows, "costs": costs}
            typer.echo(json.dumps(shown))
            return
        title = report_text.visible(found.title)
        typer.echo(f"{found.id} · {found.severity} · {found.status.value} · {title}")
        for entry in timeline:
            brief = report_text.visible(json.dumps(entry.content, ensure_ascii=False))
            typer.echo(f"{entry.at:%H:%M:%S} {entry.kind.value:<14} {entry.actor} {brief[:160]}")
        for one in spent:
            typer.echo(
                f"cost {one.role:<22} ${one.dollars:.4f} {one.engine}: {one.questions} questions, "
                f"{one.tokens_in} tokens in ({one.cache_read} cached), {one.tokens_out} out"
            )


@incident_app.command()
def patch(name: Annotated[str, typer.Argument(help="Such as INC-4.")]) -> None:
    """Print an incident's newest patch as it is, for `git apply`; a thread may have to mask it."""
    with opened() as (desk, _):
        found = desk.incidents.find(name)
        made = cases.newest_patch(desk, found)
    if made is None:
        raise errors.NotFound(f"{found.id} has no patch.")
    sys.stdout.buffer.write(made.diff.encode("utf-8", "surrogateescape"))


@incident_app.command()
def verify(name: Annotated[str, typer.Argument(help="Such as INC-4.")]) -> None:
    """Check that nothing in an incident's timeline was changed."""
    with opened() as (desk, _):
        found = desk.incidents.find(name)
        broken = desk.timeline.verify(found.number)
        sequence, head = desk.timeline.head(found.number)
    if broken is not None:
        raise errors.PermanentFailure(
            f"The timeline of {found.id} was changed: the chain breaks at entry {broken}."
        )
    typer.echo(f"The timeline of {found.id} holds: {sequence} entries, head {head}.")


def rollback(
    rollout: Annotated[str, typer.Argument(help="The rollout's id, such as R7.")],
) -> None:
    """Take a rollout back with the plan's own command; needs no running Halon."""
    with opened() as (desk, _):
        found = desk.rollouts.get(rollout)
    plan = DeploymentPlan.model_validate(found.plan)
    typer.echo(f"Running: {plan.rollback_command}")
    try:
        done = subprocess.run(shlex.split(plan.rollback_command), check=False)
    except (OSError, ValueError) as error:
        raise errors.PermanentFailure(
            f"The command could not be started ({error}); run it on the controller's machine."
        ) from error
    sys.exit(done.returncode)


def changed(
    service: Annotated[str, typer.Argument(help="The service's name.")],
    what: Annotated[str, typer.Argument(help="What was changed, in a few words.")],
    kind: Annotated[ChangeKind, typer.Option(help="Its kind.")] = ChangeKind.INFRA,
    revision: Annotated[str | None, typer.Option(help="What runs since, for a deploy.")] = None,
    at: Annotated[datetime | None, typer.Option(help="When, if not now (UTC).")] = None,
) -> None:
    """Record a change of a service that Halon cannot see."""
    with opened() as (desk, _):
        desk.service(service)
        when = desk.store.now() if at is None else at.replace(tzinfo=at.tzinfo or UTC)
        person = Person(Platform.SHELL, getpass.getuser())
        desk.incidents.record_change(
            Change(service, kind, when, str(person), after=revision, note=what), person
        )
    typer.echo(f"Recorded: {kind.value} of {service} at {when:%H:%M:%S} UTC: {what}")


@token_app.command("add")
def add_token(name: Annotated[str, typer.Argument(help="Whose it is, such as ana.")]) -> None:
    """Make a token and show it once."""
    with opened() as (desk, _):
        secret = people.Tokens(desk.store).add(name, Person(Platform.WEB, name))
    typer.echo(secret)
    typer.echo(
        f"Give it to {name}; it is not shown again. To let {name} approve, add {name!r} to "
        "approvers.web of the service in halon.toml.",
        err=True,
    )


@token_app.command("list")
def list_tokens() -> None:
    """List the living tokens."""
    with opened() as (desk, _):
        for token in people.Tokens(desk.store).list():
            until = f"until {token.expires_at:%Y-%m-%d %H:%M} UTC" if token.expires_at else ""
            typer.echo(f"{token.name:<20} {token.person} {until}")


@token_app.command("revoke")
def revoke_token(name: Annotated[str, typer.Argument(help="Whose.")]) -> None:
    """End every token and session of a name."""
    with opened() as (desk, _):
        count = people.Tokens(desk.store).revoke(name)
    typer.echo(f"{count} ended.")
