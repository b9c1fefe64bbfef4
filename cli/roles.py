"""`halon test`, `halon plan` and `halon review`: one role alone, from files, with no server.

Registered by cli/verbs.py. The contract is that of `halon diagnose`: with --json stdout carries one
object and nothing else; exit 0: a report was produced, whatever it says; 3: it could not run.
"""

import json
import os
import shlex
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from agents import case as cases
from agents import git, given, sandbox
from agents.builtin import engine
from agents.builtin import review as reviewing
from agents.engine import Budget, Role
from cli import asked
from cli.asked import AsJson, Good, Repo, Revision, Seconds, Which
from cli.settings import read
from incidents import errors, report_text, reports
from incidents.models import Severity
from incidents.settings import Settings
from rollout import plan as plans
from rollout.deployers import port
from workers import office
from workers import review as stage

CANNOT_RUN = 3
MOST_BYTES = 16 * 1024 * 1024
Patch = Annotated[
    Path,
    typer.Option(
        "--patch", help="A diff, or what `halon fix --json` printed; - reads standard input."
    ),
]
# What is assumed where no deployer is asked: one that knows weights, as all but hooks of old do.
ASSUMED = port.Abilities(weights=True, drop_free=True, sticky=False, reads_back=True)


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    panel = "Without a server"
    app.command("test", rich_help_panel=panel)(try_patch)
    app.command(rich_help_panel=panel)(plan)
    app.command(rich_help_panel=panel)(review)


@asked.of_a_case
def try_patch(
    case: cases.Case,
    patch: Patch,
    as_json: AsJson = False,
    severity: Annotated[Severity, typer.Option(help="How deep it is tested.")] = Severity.P1,
    seconds: Seconds = 600.0,
    sandbox_name: Which = "auto",
) -> None:
    """Test a patch in five ways, and say whether it may go to production."""

    def work() -> reports.Report:
        with git.Repository(case.repository) as repository:
            fix, found = given.from_file(_text(patch), repository, case.revision)
        known = replace(case, severity=severity, patch=fix, diagnosis=found or case.diagnosis)
        with tempfile.TemporaryDirectory(prefix="halon-") as folder:
            builtin = engine.Builtin(sandbox.choose(sandbox_name), Path(folder))
            return builtin.run(Role.HOTFIX_TESTER, known, Budget(seconds))

    _answer(work, as_json=as_json)


def plan(
    repo: Repo,
    patch: Patch,
    as_json: AsJson = False,
    revision: Revision = "HEAD",
    good: Good = None,
    service: Annotated[str, typer.Option(help="What is deployed, by name.")] = "service",
    severity: Annotated[Severity, typer.Option(help="Sets how long each step bakes.")] = (
        Severity.P1
    ),
    requests: Annotated[
        float | None, typer.Option(help="Requests per minute: how long a verdict will take.")
    ] = None,
) -> None:
    """Plan the rollout of a patch: its steps, what is watched, the safe version; nothing moves."""

    def work() -> reports.Report:
        with git.Repository(repo) as repository:
            fix, _ = given.from_file(_text(patch), repository, revision)
            base = repository.resolve(fix.base)
            subject = plans.Subject(
                service=service,
                driver="none: nothing was asked",
                severity=severity,
                patch=fix,
                revision=repository.commit(repository.apply(base, fix.diff), [base], fix.title),
                stable_revision=base,
                last_good_revision=repository.resolve(good) if good else None,
            )
        made = plans.build_plan(
            subject,
            abilities=ASSUMED,
            gates=plans.default_gates(fingerprints=True, hotfix=True),
            requests_per_minute=requests,
            rollback_command=shlex.join(["git", "apply", "-R", f"halon-{fix.digest[:12]}.patch"]),
        )
        return made.model_copy(update={"gaps": (*made.gaps, *_lacking(good, requests))})

    _answer(work, as_json=as_json)


def _lacking(good: str | None, requests: float | None) -> list[str]:
    found = ["No deployer was asked: that it knows weights and loses no request is assumed."]
    if good is None:
        found.append("No good revision was named (--good), so there is none to flee to.")
    if requests is None:
        found.append("How much traffic there is was not said (--requests).")
    return found


def review(
    incident: Annotated[str, typer.Argument(help="The stored incident, such as INC-4.")],
    as_json: AsJson = False,
) -> None:
    """Write the blameless review of a stored incident anew; nothing is filed or posted."""

    def work() -> reports.Report:
        with office.opened(read(Settings), f"shell:{os.getpid()}") as desk:
            return reviewing.write(stage.case_of(desk, desk.incidents.find(incident)))

    _answer(work, as_json=as_json)


def _text(path: Path) -> str:
    try:
        if str(path) == "-":
            raw = sys.stdin.buffer.read(MOST_BYTES)
        else:
            with path.open("rb") as file:
                raw = file.read(MOST_BYTES)
    except OSError as error:
        said = f"{str(path)!r} cannot be read: {error.strerror}"
        raise typer.BadParameter(said, param_hint="--patch") from error
    if not raw.strip():
        raise typer.BadParameter(f"{str(path)!r} is empty", param_hint="--patch")
    return raw.decode("utf-8", "surrogateescape")


def _answer(work: Callable[[], reports.Report], *, as_json: bool) -> None:
    try:
        report = work()
    except errors.HalonError as error:
        typer.echo(" ".join(error.message.split()), err=True)
        raise typer.Exit(CANNOT_RUN) from error
    if as_json:
        typer.echo(json.dumps(report.model_dump(mode="json"), ensure_ascii=False))
    else:
        typer.echo(report_text.markdown(report))
