"""`halon diagnose` and `halon fix`: a role from the shell, with no server.

Registered by cli/main.py. With --json stdout carries one object and nothing else; exit 0: a report
was produced, whatever it says; 3: it could not run, with one sentence on stderr.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.console import Console

from agents import case as cases
from agents import sandbox
from agents.builtin import engine
from agents.engine import Budget, Role
from incidents import errors, report_text, reports

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
) -> None:
    """Find the commit that broke it, prove it by replaying, or say that no commit did."""
    case = _case(repo, log, trace, test, good, with_, revision)

    def work(builtin: engine.Builtin) -> list[reports.Report]:
        return [builtin.run(Role.BUG_DIAGNOSTICIAN, case, Budget(seconds))]

    _answer(work, sandbox_name, as_json=as_json, doing="diagnosing")


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
) -> None:
    """Diagnose, write the smallest safe patch and test it; the working tree is not touched."""
    case = _case(repo, log, trace, test, good, with_, revision)
    _answer(
        lambda builtin: list(builtin.fix(case, Budget(seconds))),
        sandbox_name,
        as_json=as_json,
        doing="diagnosing, mending and testing",
    )


def _case(
    repo: Path,
    log: list[Path] | None,
    trace: Path | None,
    test: str | None,
    good: str | None,
    with_: list[Path] | None,
    revision: str,
) -> cases.Case:
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


def _answer(
    work: Callable[[engine.Builtin], list[reports.Report]],
    sandbox_name: str,
    *,
    as_json: bool,
    doing: str,
) -> None:
    progress = Console(stderr=True)
    try:
        with tempfile.TemporaryDirectory(prefix="halon-") as folder:
            builtin = engine.Builtin(sandbox.choose(sandbox_name), Path(folder))
            if progress.is_terminal:
                with progress.status(f"{doing} …"):
                    found = work(builtin)
            else:
                found = work(builtin)
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
