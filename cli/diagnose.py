"""`halon diagnose` and `halon fix`: a role from the shell, with no server.

Registered by cli/main.py. With --json stdout carries one object and nothing else; exit 0: a report
was produced, whatever it says; 3: it could not run, with one sentence on stderr.
"""

import functools
import json
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
from cli import asked
from cli.asked import AsJson, Seconds, Which
from cli.settings import read
from incidents import errors, report_text, reports
from incidents.redaction import Redactor
from workers import vendors
from workers.settings import WorkerSettings

CANNOT_RUN = 3

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

    chosen = functools.partial(_thinking, engine_name, sandbox_name, dollars)
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
        functools.partial(_thinking, engine_name, sandbox_name, dollars),
        as_json=as_json,
        doing="diagnosing, mending and testing",
    )


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
    if engine_name == vendors.BUILTIN:
        return Builtin(box, folder)
    settings = read(WorkerSettings).model_copy(update={"engine": engine_name})
    if not vendors.wants_claude(settings):
        return Builtin(box, folder)
    prices = Prices(settings.model_prices)
    if engine_name == vendors.CLAUDE:  # who asks for it by name wants to know why it cannot
        for model in (settings.model_strong, settings.model_fast):
            prices.check(model)
    key = settings.anthropic_api_key
    return Claude(
        box=box,
        folder=folder,
        models=vendors.models(settings),
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
