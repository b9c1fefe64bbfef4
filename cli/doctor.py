"""`halon doctor`: looks at everything Halon needs and says how to mend what is wrong, all at once.

Changes nothing that lasts and prints no secret. Exit 0 when what is needed works, 1 when something
is broken. The checks themselves are in cli/machine.py and cli/services.py.
"""

import json
from collections.abc import Iterator
from typing import Annotated

import typer
from pydantic import SecretStr

from bot.settings import BotSettings
from cli import chats, machine, services
from cli.finding import Finding, State, fine, wrong
from cli.settings import read
from incidents import errors
from incidents.settings import Settings, load_services
from incidents.store import Store
from workers.settings import WorkerSettings

MARKS = {State.FINE: "✓", State.WRONG: "✗", State.NOTE: "–"}
BROKEN = 1


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Start here")(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Say what Halon needs, what of it is missing, and how to mend it."""
    found: list[Finding] = []
    for finding in look():
        found.append(finding)
        if not as_json:
            typer.echo(line(finding))
    broken = sum(one.state is State.WRONG for one in found)
    if as_json:
        checks = [
            {"check": f.what, "state": f.state.value, "said": f.said, "mend": f.mend} for f in found
        ]
        typer.echo(json.dumps({"ok": not broken, "checks": checks}, ensure_ascii=False))
    else:
        typer.echo(f"{broken} broken." if broken else "Everything that is needed works.")
    raise typer.Exit(BROKEN if broken else 0)


def line(finding: Finding) -> str:
    """Return a finding as one line; what is to be done follows an arrow."""
    mend = f"  → {finding.mend}" if finding.mend else ""
    said = " ".join(finding.said.split())
    return f"{MARKS[finding.state]} {finding.state.value:<5} {finding.what}: {said}{mend}"


def look() -> Iterator[Finding]:
    """Make every check; one that fails keeps none of the others from being made."""
    yield machine.python()
    yield machine.git()
    try:
        settings = read(Settings)
    except errors.BadSettings as error:
        yield wrong("settings", error.message, "Correct these variables.")
        return
    yield machine.folder(settings)
    yield from machine.redis(settings)
    database = machine.database(settings)
    yield database
    yield from machine.walls(settings)
    yield from _bot(settings)
    yield _clock(settings, database)
    yield from _worker()
    yield from _services(settings)


def _bot(settings: Settings) -> Iterator[Finding]:
    try:
        # The key is made by `halon up`; what is looked at here is where the war room listens.
        bot = read(BotSettings, approval_key=SecretStr("0" * 64))
    except errors.BadSettings as error:
        yield wrong("settings of the bot", error.message, "Correct these variables.")
        return
    yield machine.port(settings, bot.web_host, bot.web_port)
    try:
        found = load_services(settings.file)
    except errors.BadSettings:
        found = ()  # said where the services are looked at
    yield from chats.slack(bot, found)
    yield from chats.telegram(bot, found)


def _clock(settings: Settings, database: Finding) -> Finding:
    if database.state is State.WRONG or settings.database.startswith(machine.SQLITE):
        return machine.clock()  # SQLite's clock is this machine's

    def now() -> float:
        store = Store(settings.database)
        try:
            return store.now().timestamp()
        finally:
            store.close()

    return machine.clock(now)


def _worker() -> Iterator[Finding]:
    try:
        yield machine.engine(read(WorkerSettings))
    except errors.BadSettings as error:
        yield wrong("settings of the workers", error.message, "Correct these variables.")


def _services(settings: Settings) -> Iterator[Finding]:
    what = f"services in {settings.file}"
    try:
        found = load_services(settings.file)
    except errors.BadSettings as error:
        told, _, mend = error.message.partition("; ")
        yield wrong(what, told, mend[:1].upper() + mend[1:] or "Correct each line named.")
        return
    if not found:
        yield wrong(what, "none", "Add a [[service]] with its name and repository.")
        return
    yield fine(what, ", ".join(service.name for service in found))
    for service in found:
        yield from services.look(service, _as_worker(settings))


def _as_worker(settings: Settings) -> Settings:
    """Return what a worker would read, and without it what every process does."""
    try:
        return read(WorkerSettings)
    except errors.BadSettings:  # said before, among the settings
        return settings
