"""`halon diagnose` and `halon fix`: a role from the shell, with no server.

Registered by cli/main.py. With --json stdout carries one object and nothing else; exit 0: a report
was produced, whatever it says; 3: it could not run, with one sentence on stderr.
"""

import functools
import json
import os
import sys
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import typer
from pydantic import BaseModel
from rich.console import Console

from agents import case as cases
from agents import sandbox
from agents.builtin.engine import Builtin
from agents.claude import Claude, Place
from agents.engine import Budget, Role
from agents.prices import Prices
from agents.purse import Pocket
from cli.settings import read
from incidents import errors, report_text, reports
from incidents.redaction import Redactor
from workers import engines
from workers.settings import WorkerSettings

CANNOT_RUN = 3
MAX_TRACE_BYTES = 4 * 1024 * 1024
TAGS = "deploy*"

Repo = Annotated[
    Path, typer.Option("--repo", help="The service's git repository; it is only read.")
]
Log = Annotated[
    list[Path] | None,
    typer.Option("--log", help="A log file, plain or compressed; may be repeated."),
]
TraceFile = Annotated[
    Path | None, typer.Option("--trace", help="A file with a stack trace; - reads standard input.")
]
Test = Annotated[
    str | None,
    typer.Option(
        "--test",
        help='The command that shows the failure, such as "pytest -q"; exit 0 means healthy. '
        "It is run in the sandbox, without a shell and without a network.",
    ),
]
Good = Annotated[
    str | None,
    typer.Option("--good", help="A revision that was good, before the broken one."),
]
With = Annotated[
    list[Path] | None,
    typer.Option("--with", help="A further folder that the command reads; never a suspect."),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")
]
Revision = Annotated[str, typer.Option("--revision", help="The broken revision.")]
Seconds = Annotated[float, typer.Option("--seconds", min=1, help="How long it may take.")]
Which = Annotated[
    str,
    typer.Option(
        "--sandbox",
        envvar="HALON_SANDBOX",
        help="Where the repository's code runs: auto, bubblewrap, namespaces or none.",
    ),
]

Who = Annotated[
    Literal["auto", "builtin", "claude"],
    typer.Option(
        "--engine",
        envvar="HALON_ENGINE",
        help="Who thinks: auto takes claude where ANTHROPIC_API_KEY is set.",
    ),
]
Dollars = Annotated[float, typer.Option("--dollars", min=0, help="The most that a model may cost.")]


def register(app: typer.Typer) -> None:
    """Add the two verbs to the command line."""
    panel = "Without a server"
    app.command("diagnose", rich_help_panel=panel)(diagnose)
    app.command("fix", rich_help_panel=panel)(fix)


def diagnose(
    repo: Repo,
    log: Log = None,
    trace: TraceFile = None,
    test: Test = None,
    good: Good = None,
    with_: With = None,
    as_json: AsJson = False,
    revision: Revision = "HEAD",
    seconds: Seconds = 600.0,
    sandbox_name: Which = "auto",
    engine_name: Who = "auto",
    dollars: Dollars = 1.55,
) -> None:
    """Find the commit that broke it, prove it by replaying, or say that no commit did."""
    case = case_of(repo, log, trace, test, good, with_, revision)

    def work(thinking: Thinking) -> list[reports.Report]:
        return [thinking.run(Role.BUG_DIAGNOSTICIAN, case, Budget(seconds))]

    chosen = functools.partial(_thinking, engine_name, sandbox_name, dollars)
    _answer(work, chosen, as_json=as_json, doing="diagnosing")


def fix(
    repo: Repo,
    log: Log = None,
    trace: TraceFile = None,
    test: Test = None,
    good: Good = None,
    with_: With = None,
    as_json: AsJson = False,
    revision: Revision = "HEAD",
    seconds: Seconds = 900.0,
    sandbox_name: Which = "auto",
    engine_name: Who = "auto",
    dollars: Dollars = 1.55,
) -> None:
    """Diagnose, write the smallest safe patch and test it; the working tree is not touched."""
    case = case_of(repo, log, trace, test, good, with_, revision)
    _answer(
        lambda thinking: list(thinking.fix(case, Budget(seconds))),
        functools.partial(_thinking, engine_name, sandbox_name, dollars),
        as_json=as_json,
        doing="diagnosing, mending and testing",
    )


def case_of(
    repo: Path,
    log: list[Path] | None,
    trace: Path | None,
    test: str | None,
    good: str | None,
    with_: list[Path] | None,
    revision: str,
) -> cases.Case:
    """Return the case that the options describe; raises `typer.BadParameter`."""
    for folder in with_ or ():
        if not folder.is_dir():
            raise typer.BadParameter(f"there is no folder {str(folder)!r}", param_hint="--with")
    for file in log or ():
        _must_be_there(file)
    try:
        command = cases.command(test)
    except ValueError as error:
        raise typer.BadParameter(f"{error}: {test!r}", param_hint="--test") from error
    if test is not None and command is None:
        raise typer.BadParameter("the command is empty; leave it out", param_hint="--test")
    return cases.Case(
        repository=repo,
        revision=revision,
        good=good,
        logs=tuple(log or ()),
        traces=(_read(trace),) if trace else (),
        test=command,
        read_only=tuple(folder.resolve() for folder in with_ or ()),
        tags=TAGS,
    )


def _must_be_there(file: Path) -> None:
    try:
        file.stat()
    except OSError as error:
        said = f"{str(file)!r} cannot be read: {error.strerror}"
        raise typer.BadParameter(said, param_hint="--log") from error


def _read(path: Path) -> str:
    try:
        if str(path) == "-":
            raw = sys.stdin.buffer.read(MAX_TRACE_BYTES)
        else:
            # O_NONBLOCK: opening a pipe that nobody writes to must not wait for one who does.
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            os.set_blocking(handle, True)
            with os.fdopen(handle, "rb") as file:
                raw = file.read(MAX_TRACE_BYTES)
    except OSError as error:
        said = f"{str(path)!r} cannot be read: {error.strerror}"
        raise typer.BadParameter(said, param_hint="--trace") from error
    if not raw.strip():
        raise typer.BadParameter(f"{str(path)!r} is empty", param_hint="--trace")
    return raw.decode("utf-8", "replace")


class Thinking(Protocol):
    """What both engines offer to a shell."""

    def run(self, role: Role, case: cases.Case, budget: Budget) -> reports.Report:
        """Play one role."""
        ...

    def fix(self, case: cases.Case, budget: Budget) -> tuple[reports.Report, ...]:
        """Diagnose, mend and test."""
        ...


def _thinking(engine_name: str, sandbox_name: str, dollars: float, folder: Path) -> Thinking:
    """Return the engine that the options and the environment call for."""
    box = sandbox.choose(sandbox_name)
    if engine_name == engines.BUILTIN:
        return Builtin(box, folder)
    settings = read(WorkerSettings).model_copy(update={"engine": engine_name})
    if not engines.wants_claude(settings):
        return Builtin(box, folder)
    prices = Prices(settings.model_prices)
    if engine_name == engines.CLAUDE:  # who asks for it by name wants to know why it cannot
        for model in (settings.model_strong, settings.model_fast):
            prices.check(model)
    key = settings.anthropic_api_key
    return Claude(
        box=box,
        folder=folder,
        models=engines.models(settings),
        prices=prices,
        purse=Pocket(Decimal(str(dollars))),
        place=Place(folder / "transcripts", "shell"),
        redactor=Redactor(secrets=[key.get_secret_value()] if key else []),
        files=settings.agents,
    )


def _answer(
    work: Callable[[Thinking], list[reports.Report]],
    choose: Callable[[Path], Thinking],
    *,
    as_json: bool,
    doing: str,
) -> None:
    progress = Console(stderr=True)
    try:
        with tempfile.TemporaryDirectory(prefix="halon-") as folder:
            thinking = choose(Path(folder))
            if progress.is_terminal:
                with progress.status(f"{doing} …"):
                    found = work(thinking)
            else:
                found = work(thinking)
    except errors.HalonError as error:
        typer.echo(" ".join(error.message.split()), err=True)
        raise typer.Exit(CANNOT_RUN) from error
    if as_json:
        typer.echo(json.dumps(_object(found), ensure_ascii=False))
    else:
        typer.echo("\n".join(report_text.markdown(report) for report in found))


def _object(found: list[reports.Report]) -> dict[str, Any]:
    """Return the contract's object: the diagnosis, and beside it what a fix adds."""
    shown: dict[str, Any] = {}
    for report in found:
        body = _plain(report)
        if isinstance(report, reports.Diagnosis):
            shown |= body
        elif isinstance(report, reports.TestReport):
            shown["tests"] = body
        elif isinstance(report, reports.Patch):
            shown["patch"] = body | {"kind": report.remedy.value}
        else:
            shown["patch"] = None
            shown["no_patch"] = body
    return shown


def _plain(report: BaseModel) -> dict[str, Any]:
    return report.model_dump(mode="json")
