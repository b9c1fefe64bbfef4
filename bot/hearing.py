"""What people type, press and react to in a chat, as the wishes of `bot.commands`.

Shared by the chat platforms, each of which says who it was, where, and on which message; that one
is known by the entry that it shows. Blocking reads of the store: call it in a thread.
"""

from dataclasses import dataclass
from datetime import datetime

from bot import render
from bot.commands import Commands, Wish
from bot.said import Said
from bot.verbs import Verb
from incidents.approvals import Expected
from incidents.deliveries import Deliveries
from incidents.models import Act, Answer, EntryKind, Person, Platform, TimelineEntry
from incidents.quotes import Quote, Quotes

ANSWERS = {Verb.APPROVE.value: Answer.YES, Verb.REFUSE.value: Answer.NO}


@dataclass(frozen=True)
class Asked:
    """The question that a message asks, as whoever reads it sees it."""

    approval: str
    saw: Expected


@dataclass(frozen=True)
class Hearing:
    """Turns acts in a chat into wishes."""

    commands: Commands
    deliveries: Deliveries
    quotes: Quotes

    def incident_at(self, platform: Platform, thread: str) -> str | None:
        """Return the INC-n that a thread belongs to."""
        number = self.deliveries.incident_of(platform.value, thread)
        return None if number is None else f"INC-{number}"

    def shown(self, platform: Platform, message: str, place: str) -> TimelineEntry | None:
        """Return the entry that a message in a place, or in a thread of it, shows now."""
        return self.deliveries.shown_at(platform.value, message, place)

    def line(
        self, text: str, person: Person, thread: str | None, key: str, place: str | None = None
    ) -> Wish:
        """Return what a typed line asks for."""
        return self.commands.saying(text, person, thread, key, place)

    def reaction(
        self, entry: TimelineEntry | None, answer: Answer, person: Person, key: str
    ) -> Wish | None:
        """Return the answer that a reaction gives; None on a message that asks nothing."""
        asked = question(entry)
        if asked is None:
            return None
        return self.commands.voting(asked.approval, person, answer, key, asked.saw)

    def reaction_gone(
        self, entry: TimelineEntry | None, answer: Answer, person: Person, key: str
    ) -> Wish | None:
        """Return the withdrawal of a yes; a no that is taken back changes nothing."""
        asked = question(entry)
        if asked is None or answer is Answer.NO:
            return None
        return self.commands.withdrawing(asked.approval, person, key)

    def button(
        self,
        entry: TimelineEntry | None,
        command: str,
        person: Person,
        key: str,
        ref: str | None = None,
    ) -> Wish | None:
        """Return what a button on a message asks for; None where the message is not known.

        `ref` is the approval that the button itself carries: what was asked when it was drawn.
        """
        if entry is None:
            return None
        if command in ANSWERS:
            asked = question(entry)
            if asked is None:
                return None
            return self.commands.voting(
                ref or asked.approval, person, ANSWERS[command], key, asked.saw
            )
        return self.commands.saying(f"/incident {command}", person, f"INC-{entry.incident}", key)

    def quote(self, incident: str, quote: Quote, person: Person) -> Wish:
        """Return the wish to take a message as a note; again changes nothing."""

        def take() -> Said:
            found = self.commands.allowed(Act.NOTE, incident, person)
            fresh = self.quotes.take(found.number, quote, person)
            return Said("Noted." if fresh else "It was noted before.", True, found.id)

        return take

    def action(self, incident: str, quote: Quote, person: Person, due: datetime) -> Wish:
        """Return the wish to make an action item of a message, its author's to do."""

        def add() -> Said:
            found = self.commands.allowed(Act.NOTE, incident, person)
            self.quotes.take(found.number, quote, person)
            items = self.commands.action_items
            items.add(found.number, quote.text, quote.author, due, None, person)
            return Said("It is an action item.", True, found.id)

        return add

    def reworded(self, key: str, text: str | None, person: Person) -> int:
        """Follow what became of a message that was taken; return in how many incidents."""
        changed = self.quotes.reword(key, text, person)
        for incident, old, new in changed:
            if new != old:
                self.commands.action_items.reword(incident, old, new)
        return len(changed)


def question(entry: TimelineEntry | None) -> Asked | None:
    """Return the question that an entry asks or closes, None where it is about something else."""
    where = None if entry is None else render.target(entry)
    if entry is None or where is None or where[0] is not EntryKind.QUESTION:
        return None  # a vote that was refused is told in a message of its own: it asks nothing
    content = entry.content
    if "approval" not in content or "plan_hash" not in content:
        return None
    saw = Expected(
        patch_digest=content["patch_digest"],
        plan_hash=content["plan_hash"],
        rollout=content["rollout"],
        scope=content["scope"],
    )
    return Asked(str(content["approval"]), saw)
