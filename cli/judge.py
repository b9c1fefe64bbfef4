"""`halon judge FILE`: the gate on stored counts, the same function that judges a live canary."""

import json
from pathlib import Path
from typing import Annotated

import typer

from rollout import judge as judging


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Without a server")(judge)


def judge(
    file: Annotated[Path, typer.Argument(help="JSON with gates and buckets.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Say PASS, FAIL or INCONCLUSIVE about counts of a canary and its stable version."""
    answer = judging.judge_file(file)
    if as_json:
        typer.echo(json.dumps(answer))
        return
    typer.echo(f"{answer['result']} ({answer['reason']})")
    if answer["missing_requests"] is not None:
        typer.echo(f"{answer['missing_requests']} more requests needed")
    for line in answer["gates"]:
        typer.echo(f"  {line['name']:<14} {line['result']:<13} {line['detail']}")
