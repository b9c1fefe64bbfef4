"""`halon incident show --sent-to-model`: prints every request that left for a model, as it left.

Called by cli/desk.py. A conversation repeats itself with every turn, so a text is printed where it
left first, and afterwards only counted.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from agents.untrusted import visible
from incidents.models import Incident
from incidents.sent import SentRequest

INDENT = "  "


def show(incident: Incident, requests: Sequence[SentRequest], *, as_json: bool) -> None:
    """Print the requests of an incident, as one JSON object or for a reader."""
    if as_json:
        typer.echo(json.dumps({"incident": incident.id, "sent": [_row(one) for one in requests]}))
        return
    if not requests:
        typer.echo(f"Nothing of {incident.id} left for a model.")
    for number, request in enumerate(requests, 1):
        known = sum(not part.first for part in request.parts)
        typer.echo(
            f"Request {number} of {len(requests)} · {request.at:%Y-%m-%d %H:%M:%S} UTC · "
            f"{request.stage.value}, run {request.stage_run}"
            + (f" · {known} seen before" if known else "")
        )
        for part in request.parts:
            if part.first:
                typer.echo("\n".join(_lines(part.where, part.content, INDENT)))


def _row(request: SentRequest) -> dict[str, Any]:
    return {
        "at": request.at.isoformat(),
        "stage": request.stage.value,
        "run": request.stage_run,
        "body": [
            {"where": part.where, "sha256": part.digest, "content": part.content}
            for part in request.parts
        ],
    }


def _lines(name: str, value: Any, indent: str) -> Iterator[str]:
    """Yield a JSON value as an outline, texts with their own line ends, nothing hidden in them."""
    if value is None:
        yield f"{indent}{name}: (none, or purged)"
    elif isinstance(value, dict | list) and value:
        yield f"{indent}{name}:"
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in pairs:
            yield from _lines(str(key), item, indent + INDENT)
    elif isinstance(value, str) and "\n" in value:
        yield f"{indent}{name}:"
        yield from (f"{indent}{INDENT}| {line}" for line in visible(value).split("\n"))
    else:
        said = visible(value) if isinstance(value, str) else json.dumps(value)
        yield f"{indent}{name}: {said}"
