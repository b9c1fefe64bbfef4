"""`halon hotfix`: contain a failure in a working tree, with no server, database or network.

Registered by cli/main.py. `halon hotfix FILE` works one tracker, `--watch DIR` every one that
appears, and `verify`, `drop` and `ship` go on with one. Exit 0: a report was produced, whatever it
says; 3: it could not be worked, with one sentence on stderr.
"""

import importlib
import json
import os
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from agents import case as cases
from agents import sandbox
from agents.builtin import clues, engine
from agents.builtin.clues import Front
from agents.engine import Engine
from agents.hotfix import answers, protocol, tracker, tree
from agents.hotfix.answers import Result
from agents.hotfix.protocol import Protocol
from agents.hotfix.tree import WorkTree
from cli import hotfix_setup
from incidents import errors
from incidents.models import MACHINE
from incidents.policy import OPERATOR
from incidents.settings import Settings
from workers import hotfix as shipping
from workers import inbox, keeper, office

CANNOT_RUN = 3
ACTIONS = ("verify", "drop", "ship")


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("hotfix", rich_help_panel="Without a server")(hotfix)


def hotfix(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[verify|drop|ship] FILE",
            help="A HOTFIX-*.md file in a git working tree, with the traceback or what is known; "
            "`verify` replays its fix again, `drop` takes it out, `ship` hands it to deploy.",
        ),
    ] = None,
    watch: Annotated[
        Path | None,
        typer.Option(help="Work every HOTFIX-*.md that appears in this folder."),
    ] = None,
    inboxes: Annotated[
        bool,
        typer.Option("--inbox", help="Watch the inboxes of halon.toml, and tell of them in chat."),
    ] = False,
    test: Annotated[
        str | None,
        typer.Option(help="The test command, where halon.toml has none for this tree."),
    ] = None,
    reproduce: Annotated[
        str | None, typer.Option(help="The command that shows the failure; exit 0 means healthy.")
    ] = None,
    with_: Annotated[
        list[Path] | None,
        typer.Option("--with", help="A further folder that the command reads; never changed."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")
    ] = False,
    seconds: Annotated[
        float, typer.Option(min=1, help="How long one hotfix may take.")
    ] = protocol.SECONDS,
    sandbox_name: Annotated[
        str,
        typer.Option(
            "--sandbox",
            envvar="HALON_SANDBOX",
            help="Where the repository's code runs: auto, bubblewrap, namespaces or none.",
        ),
    ] = "auto",
    engine_name: Annotated[
        Literal["builtin", "claude"],
        typer.Option("--engine", help="Who thinks; claude needs ANTHROPIC_API_KEY and a network."),
    ] = "builtin",
    dollars: Annotated[
        float, typer.Option("--dollars", min=0, help="The most that a model may cost.")
    ] = 1.55,
) -> None:
    """Contain a failure at once: a proved fix, uncommitted, and how to check and undo it."""
    if engine_name != "builtin" and (inboxes or watch is not None):
        raise typer.BadParameter("a watch asks no model; name one file", param_hint="--engine")
    if inboxes:
        keeper.die_with_parent()
    folders = hotfix_setup.inboxes() if inboxes else []
    action, file = ("watch", Path()) if inboxes else _asked(words or [], watch)
    try:
        options = hotfix_setup.commands(test, reproduce)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error

    def setup(here: WorkTree, front: Front) -> cases.Case:
        made = hotfix_setup.case(here, front, *options)
        more = tuple(folder.resolve() for folder in with_ or ())
        return replace(made, read_only=(*made.read_only, *more))

    try:
        with tempfile.TemporaryDirectory(prefix="halon-") as folder:
            thinks = _engine(engine_name, sandbox_name, dollars, Path(folder))
            made = Protocol(thinks, setup, seconds)
            if action == "watch":
                _watch(made, folders or [file], tell=inboxes)
                return
            result = _done(made, action, file)
    except errors.HalonError as error:
        typer.echo(" ".join(error.message.split()), err=True)
        raise typer.Exit(CANNOT_RUN) from error
    _say(result, as_json=as_json)


def _engine(engine_name: str, sandbox_name: str, dollars: float, folder: Path) -> Engine:
    """Return who plays the role; a model's parts are loaded only where one is asked for."""
    if engine_name == "builtin":
        return engine.Builtin(sandbox.choose(sandbox_name), folder)
    chosen: Engine = importlib.import_module("cli.thinking").chosen(
        engine_name, sandbox_name, dollars, folder
    )
    return chosen


def _asked(words: list[str], watch: Path | None) -> tuple[str, Path]:
    if watch is not None:
        if words:
            raise typer.BadParameter("--watch takes a folder and no file")
        if not watch.is_dir():
            raise typer.BadParameter(f"there is no folder {str(watch)!r}", param_hint="--watch")
        return "watch", watch
    if len(words) == 1 and words[0] not in ACTIONS:
        return "work", Path(words[0])
    if len(words) == 2 and words[0] in ACTIONS:
        return words[0], Path(words[1])
    raise typer.BadParameter("name one file: halon hotfix [verify|drop|ship] FILE")


def _watch(made: Protocol, folders: list[Path], *, tell: bool) -> None:
    def ended(path: Path, result: Result) -> None:
        if result.new:
            typer.echo(f"{path.name}: {' '.join(result.sentence.split())}")
        if result.new and tell:
            _tell(result)

    watch = inbox.Watch(folders, made, lambda path: typer.echo(f"{path.name}: working"), ended)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: watch.stop.set())
    sys.stdout.write(f"Watching {', '.join(str(one) for one in folders)} for HOTFIX-*.md\n")
    sys.stdout.flush()
    watch.run()


def _tell(result: Result) -> None:
    """Tell of a result in the chat, where the database answers; the file has it in any case."""
    if result.report is None:
        return
    report = result.report.model_copy(update={"tracker": str(result.path)})
    try:
        here = tree.find(result.path)
        text = tracker.read(result.path).content[: tracker.LARGEST].decode("utf-8", "replace")
        service = hotfix_setup.service_of(here, clues.front(text)[0])
        if service is None:
            return
        with office.opened(Settings(), office.owner_of(os.getpid())) as desk:
            shipping.record(desk, service, report, text, MACHINE)
    except errors.HalonError as error:
        typer.echo(f"not told in chat: {' '.join(error.message.split())}", err=True)


def _ship(file: Path) -> Result:
    """Hand the fix to deploy: this needs Halon's database, and `halon up` to go on from there."""
    report, words, here = answers.report_of(file)
    if report.patch is None or report.dropped:
        raise errors.WrongState("There is no fix to ship: nothing is contained.")
    service = hotfix_setup.service_of(here, clues.front(words)[0])
    if service is None:
        raise errors.NotFound("halon.toml names no service for this tree, so nothing is shipped.")
    settings = Settings()
    with office.opened(settings, office.owner_of(os.getpid())) as desk:
        desk.store.migrate()
        incident = shipping.ship(desk, service, report, words, OPERATOR)
    said = f"shipped as {incident.id}: its canary is planned and asked for in the thread."
    return answers.noted_shipped(file, said)


def _done(made: Protocol, action: str, file: Path) -> Result:
    if action == "verify":
        return made.verify(file)
    if action == "drop":
        return made.drop(file)
    if action == "ship":
        return _ship(file)
    return made.work(file, again=True)


def _say(result: Result, *, as_json: bool) -> None:
    if as_json:
        shown = result.report.model_dump(mode="json") if result.report else {}
        typer.echo(
            json.dumps(
                shown
                | {
                    "file": str(result.path),
                    "state": None if result.state is None else result.state.value,
                    "said": result.sentence,
                },
                ensure_ascii=False,
            )
        )
    elif result.fit:
        typer.echo(result.sentence)
        typer.echo(f"The whole is in {result.path}.")
    if not result.fit:
        where = "" if result.answered else " (the file could not be answered)"
        typer.echo(" ".join(result.sentence.split()) + where, err=True)
        raise typer.Exit(CANNOT_RUN)
