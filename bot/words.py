"""Answers to the one who asked: help, the list of incidents, and where one of them stands.

Called by `bot.commands`. The sentences are templates of templates/chat; this file only chooses what
goes into them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from bot import texts, verbs
from bot.verbs import USAGE, Verb
from incidents.models import ActionItem, Approval, Incident, RunState, StageRun
from incidents.settings import Service

LIVE = (RunState.READY, RunState.LEASED, RunState.WAITING)


def names(services: Mapping[str, Service]) -> dict[str, str]:
    """Return every name and alias of a service, in lower case, with the name it stands for."""
    return {
        said.lower(): service.name
        for service in services.values()
        for said in (service.name, *service.aliases)
    }


def help_text(word: str = "") -> str:
    """Return the help of one command, or of all; an unknown word gets all."""
    wanted = word.strip().lower().removeprefix("/incident").strip()
    verb = verbs.named(wanted)
    chosen = list(USAGE) if verb is None else [verb]
    rows = [(_typed(one), USAGE[one].does, USAGE[one].example) for one in chosen]
    return texts.text("help", rows=rows, one=verb is not None)


def _typed(verb: Verb) -> str:
    """Return how a command is typed; opening needs no verb."""
    said = "" if verb is Verb.OPEN else verb.value
    return " ".join(part for part in ("/incident", said, USAGE[verb].words) if part)


def listing(incidents: Sequence[Incident]) -> str:
    """Return the live incidents, one line each."""
    return texts.text("listing", incidents=incidents)


def actions(incident: Incident, items: Sequence[ActionItem]) -> str:
    """Return the action items of an incident, one line each."""
    return texts.text("actions", incident=incident, items=items)


def status(
    incident: Incident, runs: Sequence[StageRun], pending: Sequence[Approval], now: datetime
) -> str:
    """Return what is known, what is done, and what is asked of people."""
    running = [run for run in runs if run.state in LIVE]
    ended = [run for run in runs if run.finished_at is not None]
    return texts.text(
        "status_answer",
        incident=incident,
        running=running[-1] if running else None,
        ended=ended[-1] if ended else None,
        pending=pending,
        now=now,
    )
