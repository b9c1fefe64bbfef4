"""`halon diagnose` and `halon fix`: a role from the shell, with no server.

Registered by cli/main.py. With --json stdout carries one object and nothing else; exit 0: a report
was produced, whatever it says; 3: it could not run, with one sentence on stderr.
"""

import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import BaseModel
from rich.console import Console

from agents import case as cases
from agents.engine import Budget, Role
from cli import asked, thinking
from cli.asked import AsJson, Seconds, Which
from cli.thinking import Dollars, Thinking
from incidents import errors, report_text, reports

CANNOT_RUN = 3

Who = Annotated[
    Literal["auto", "builtin", "claude"],
    typer.Option(
        "--engine",
        envvar="HALON_ENGINE",
        help="Who thinks: auto takes claude where ANTHROPIC_API_KEY is set.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the two verbs to the command line."""
    panel = "Without a server"
    app.command("diagnose", rich_help_panel=panel)(diagnose)
    app.command("fix", rich_help_panel=panel)(fix)


@asked.of_a_case
def diagnose(
    case: cases.Case,
    as_json: AsJson = False,
    seconds: Seconds = 600.0,
    sandbox_name: Which = "auto",
    engine_name: Who = "auto",
    dollars: Dollars = 1.55,
) -> None:
    """Find the commit that broke it, prove it by replaying, or say that no commit did."""

    def work(thinking: Thinking) -> list[reports.Report]:
        return [thinking.run(Role.BUG_DIAGNOSTICIAN, case, Budget(seconds))]

    chosen = functools.partial(thinking.chosen, engine_name, sandbox_name, dollars)
    _answer(work, chosen, as_json=as_json, doing="diagnosing")


@asked.of_a_case
def fix(
    case: cases.Case,
    as_json: AsJson = False,
    seconds: Seconds = 900.0,
    sandbox_name: Which = "auto",
    engine_name: Who = "auto",
    dollars: Dollars = 1.55,
) -> None:
    """Diagnose, write the smallest safe patch and test it; the working tree is not touched."""
    _answer(
        lambda thinking: list(thinking.fix(case, Budget(seconds))),
        functools.partial(thinking.chosen, engine_name, sandbox_name, dollars),
        as_json=as_json,
        doing="diagnosing, mending and testing",
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
