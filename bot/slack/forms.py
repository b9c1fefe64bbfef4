"""The form in which a newcomer opens an incident: three fields, and the line that they make.

Pure. Called by `bot.slack.acts`. What is sent goes through the parser like any typed line.
"""

from collections.abc import Sequence

from bot.parsing import TITLE_LIMIT
from bot.slack.place import action_id
from bot.slack.whispers import FORM
from incidents.models import Json, Severity

HURTS = {
    Severity.P0: "P0 · critical outage",
    Severity.P1: "P1 · major, many users",
    Severity.P2: "P2 · moderate",
    Severity.P3: "P3 · low",
}
MOST_SERVICES = 100  # what Slack takes in one list


def opening(services: Sequence[str], channel: str) -> Json:
    """Return the form; `channel` is where the answer goes."""
    blocks = [
        _input("title", "What fails?", {"type": "plain_text_input", "max_length": TITLE_LIMIT}),
        _input("severity", "How bad is it?", _select(dict(HURTS), Severity.P2)),
    ]
    if len(services) > 1:
        named = {name: name for name in services[:MOST_SERVICES]}
        blocks.append(_input("service", "Which service?", _select(named, None)))
    return {
        "type": "modal",
        "callback_id": action_id(FORM),
        "private_metadata": channel,
        "title": {"type": "plain_text", "text": "Open an incident"},
        "submit": {"type": "plain_text", "text": "Open"},
        "close": {"type": "plain_text", "text": "Not now"},
        "blocks": blocks,
    }


def line(fields: Sequence[tuple[str, str]]) -> str:
    """Return the line that a sent form stands for."""
    told = dict(fields)
    service = f"service:{told['service']}" if told.get("service") else ""
    words = ("/incident open", told.get("severity", ""), service, told.get("title", ""))
    return " ".join(word for word in words if word)


def _input(name: str, label: str, element: Json) -> Json:
    return {
        "type": "input",
        "block_id": name,
        "label": {"type": "plain_text", "text": label},
        "element": {"action_id": name, **element},
    }


def _select(named: dict[str, str] | dict[Severity, str], first: str | None) -> Json:
    options = [
        {"text": {"type": "plain_text", "text": shown[:75]}, "value": str(value)}
        for value, shown in named.items()
    ]
    chosen = [one for one in options if one["value"] == first]
    initial = {"initial_option": chosen[0]} if chosen else {}
    return {"type": "static_select", "options": options, **initial}
