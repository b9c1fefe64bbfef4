"""Carries out what was received and not done when the process ended: the work that a crash left.

Called once by `bot.app`, before anything new is received. Most acts change nothing the second time;
for the others the timeline tells whether the crash came before the act or after it.
"""

import contextlib
from dataclasses import replace
from datetime import datetime

from bot import journal, parsing, words
from bot.commands import Commands
from bot.parsing import Command, Misunderstood
from bot.verbs import Verb
from incidents import errors
from incidents.approvals import Expected
from incidents.inbox import Inbox, InboxItem
from incidents.models import Answer, EntryKind, Json, Person, Platform

# Acts that would count twice, and the entry that shows that one was carried out.
SHOWS = {
    Verb.NOTE: EntryKind.NOTE,
    Verb.SEVERITY: EntryKind.SEVERITY,
    Verb.PUBLISH: EntryKind.PUBLISHED,
    Verb.ESCALATE: EntryKind.NOTE,
    Verb.REOPEN: EntryKind.STATUS,
}


def recover(commands: Commands, inbox: Inbox) -> int:
    """Carry out what was left behind, oldest first; return how many there were."""
    # Events of a chat are acted on by their platform, which knows how to ask who spoke.
    left = [one for one in inbox.undone() if one.body.get("what") != journal.EVENT]
    for item in left:
        # Refused now as it would have been then; nobody waits for the answer any more.
        with contextlib.suppress(errors.HalonError):
            _carry_out(commands, item)
        inbox.done(item.id)
    return len(left)


def _carry_out(commands: Commands, item: InboxItem) -> None:
    body, person = item.body, _person(item.body)
    match body.get("what"):
        case "say":
            services = words.names(commands.access().services)
            parsed = parsing.parse(body["line"], services, body["thread"])
            if not isinstance(parsed, Misunderstood):
                _again(commands, replace(parsed, place=body.get("place")), person, item)
        case "publish":
            command = Command(Verb.PUBLISH, body["incident"], body["text"])
            _again(commands, command, person, item)
        case "vote":
            answer, saw = Answer(body["answer"]), body.get("expected")
            expected = None if saw is None else Expected(**saw)
            commands.approvals.decide(body["approval"], person, answer, expected, item.event_id)
        case "withdraw":
            commands.approvals.withdraw(body["approval"], person, item.event_id)


def _again(commands: Commands, command: Command, person: Person, item: InboxItem) -> None:
    if not _was_done(commands, command, person, item.received_at):
        commands.answer(command, person, item.event_id, item.received_at)


def _was_done(commands: Commands, command: Command, person: Person, since: datetime) -> bool:
    kind = SHOWS.get(command.verb)
    if kind is None or command.incident is None:
        return False
    incident = commands.incidents.find(command.incident)
    return any(
        entry.kind is kind and entry.actor == person and entry.at >= since
        for entry in commands.timeline.entries(incident.number)
    )


def _person(body: Json) -> Person:
    who = body["person"]
    return Person(Platform(who["platform"]), who["user"], who["guest"], who["bot"])
