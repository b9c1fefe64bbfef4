"""What could be typed next in the war room: the words of `bot.verbs` in their places.

Pure. Called by `bot.web.app` at every key.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.verbs import USAGE, Verb
from incidents.models import Severity


@dataclass(frozen=True)
class Completion:
    """One row of the input's completion."""

    insert: str
    words: str
    does: str
    example: str


def complete(line: str, services: Sequence[str], thread: str | None = None) -> list[Completion]:
    """Return what could be typed next: verbs at first, then severities and services."""
    if not line.lstrip().startswith("/"):
        return []
    body = line.lstrip()
    if len(body) > 1 and "/hotfix".startswith(body.lower()):
        usage = USAGE[Verb.HOTFIX]
        return [Completion("/hotfix ", usage.words, usage.does, usage.example)]
    if not body.lower().startswith("/incident "):
        return _first_words(thread) if "/incident".startswith(body.lower()) else []
    typed = body[len("/incident ") :]
    head, _, tail = typed.rpartition(" ")
    if head == "":
        return [
            row
            for row in _first_words(thread)
            if row.insert.split()[1].lower().startswith(tail.lower())
        ]
    prefix = f"/incident {head} "
    offers = [f"service:{name}" for name in services]
    if head.lower() == "severity":
        offers = list(Severity)
    return [
        Completion(prefix + offer, "", "", "")
        for offer in offers
        if tail and offer.lower().startswith(tail.lower())
    ]


def _first_words(thread: str | None) -> list[Completion]:
    rows = [
        Completion(
            f"/incident {severity} ",
            "TEXT",
            f"open an incident as {severity}",
            USAGE[Verb.OPEN].example,
        )
        for severity in Severity
    ]
    in_thread = [
        Completion(f"/incident {verb} ", usage.words, usage.does, usage.example)
        for verb, usage in USAGE.items()
        if verb is not Verb.OPEN and (thread is not None or not usage.incident)
    ]
    return in_thread + rows if thread else rows + in_thread
