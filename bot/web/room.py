"""What the war room needs of the rest of Halon: the store's faces, and who carries out commands.

Put together by `bot.app` (and by tests), handed to `bot.web.app.create`. Frozen; holds no logic.
The page only reads; what changes an incident goes through `Speaker`, the one road of every chat.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from bot.said import Said
from incidents.approvals import Approvals
from incidents.knowledge import ActionItems, Costs
from incidents.models import Answer, Person
from incidents.people import Tokens
from incidents.policy import Access
from incidents.posts import Posts
from incidents.rollouts import Rollouts
from incidents.service import Incidents
from incidents.stages import Stages
from incidents.timeline import Timeline

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Speaker(Protocol):
    """Carries out what a person says; blocking, called in a thread. `key` makes it happen once."""

    def say(self, line: str, person: Person, thread: str | None, key: str) -> Said:
        """Carry out a typed line; `thread` is the INC-n that it was typed in."""
        ...

    def vote(self, approval: str, person: Person, answer: Answer, key: str) -> Said:
        """Answer a question."""
        ...

    def withdraw(self, approval: str, person: Person, key: str) -> Said:
        """Take one's yes back."""
        ...

    def publish(self, incident: str, text: str, person: Person, key: str) -> Said:
        """Publish the review as a human has edited it (Markdown)."""
        ...


@dataclass(frozen=True)
class Room:
    """Everything that the pages read, and the speaker."""

    incidents: Incidents
    timeline: Timeline
    stages: Stages
    approvals: Approvals
    rollouts: Rollouts
    costs: Costs
    action_items: ActionItems
    posts: Posts
    tokens: Tokens
    speaker: Speaker
    access: Callable[[], Access]
    now: Callable[[], datetime]  # the database's clock
    hosts: tuple[str, ...] = LOOPBACK  # names under which the page may be asked for, without port
    # Ages in seconds of what else must live, by name; None is unknown.
    beats: Mapping[str, Callable[[], float | None]] = field(default_factory=dict)
