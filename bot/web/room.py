"""What the war room needs of the rest of Halon: the store's faces, and who carries out commands.

Put together by `bot.app` (and by tests), handed to `bot.web.app.create`. Frozen; holds no logic.
The page only reads; what changes an incident goes through `Speaker`, the one road of every chat.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from starlette.types import ASGIApp

from bot.commands import Wish
from bot.said import Said
from incidents.approvals import Approvals, Expected
from incidents.knowledge import ActionItems, Costs
from incidents.models import Answer, Person
from incidents.people import Tokens
from incidents.policy import Access
from incidents.posts import Posts
from incidents.rollouts import Rollouts
from incidents.service import Incidents
from incidents.stages import Stages
from incidents.timeline import Timeline
from incidents.walls import Walls

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Speaker(Protocol):
    """Carries out what people say. `key` makes an act happen once; the four of the form -ing only
    say what is wanted, `carry_out` blocks and is called in a thread.
    """

    def saying(self, line: str, person: Person, thread: str | None, key: str) -> Wish:
        """Return what a typed line asks for; `thread` is the INC-n that it was typed in."""
        ...

    def voting(
        self, approval: str, person: Person, answer: Answer, key: str, expected: Expected | None
    ) -> Wish:
        """Return an answer to a question; `expected` is what the voter saw of it."""
        ...

    def withdrawing(self, approval: str, person: Person, key: str) -> Wish:
        """Return the wish to take one's yes back."""
        ...

    def publishing(self, incident: str, text: str, person: Person, key: str) -> Wish:
        """Return the wish to publish the review as a human has edited it (Markdown)."""
        ...

    def carry_out(self, wishes: Sequence[Wish]) -> list[Future[Said]]:
        """Carry out what several people want, in its order."""
        ...

    def say(self, line: str, person: Person, thread: str | None, key: str) -> Said:
        """Carry out one typed line; blocking."""
        ...

    def vote(self, approval: str, person: Person, answer: Answer, key: str) -> Said:
        """Answer one question as it is shown right now; blocking."""
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
    # What is wrong with what else must work, by name: a sentence, None while it works.
    troubles: Mapping[str, Callable[[], str | None]] = field(default_factory=dict)
    # Paths that answer for themselves: their requests are signed, and no browser's.
    doors: Mapping[str, ASGIApp] = field(default_factory=dict)
    # What the workers of this machine found; None while none has started.
    sandbox: Callable[[], Walls | None] = lambda: None
