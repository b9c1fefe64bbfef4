"""What a conversation shows next, and how quickly: the pure part of posting on any platform.

Called by `bot.sender` and `bot.poster` with what is pending and the time. New messages keep the
order of the timeline; edits step back behind them, and of several edits of one message only the
last is made. No I/O, no clock, nothing of a platform but the figures in its `Pace`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum

from bot import render
from bot.render import Target
from incidents.deliveries import Due
from incidents.models import EntryKind


@dataclass(frozen=True)
class Pace:
    """How quickly a platform may be written to; the defaults are those of a store of our own."""

    look: timedelta = timedelta(milliseconds=150)  # how often the store is asked
    card: timedelta = timedelta(minutes=1)  # how old the card of a live incident may become
    every: timedelta = timedelta()  # one message in this time, in what shares a limit
    burst: int = 1  # so many at once after a silence
    edits: timedelta = timedelta()  # one message changes no more often, its end excepted
    first_wait: timedelta = timedelta(seconds=1)  # after a failure; doubled with each further one
    longest_wait: timedelta = timedelta(seconds=30)


class Rank(IntEnum):
    """What goes first where several wait for one limit."""

    URGENT = 0  # something is asked of people, or was taken back, is on its way
    NEWS = 1
    CLOSING = 2  # an edit that ends something: buttons go, a stage is over
    PROGRESS = 3  # an edit that the next one overtakes: progress, a baking phase, the card


URGENT = (
    EntryKind.QUESTION,
    EntryKind.TAKEN_BACK,
    EntryKind.HELD,
    EntryKind.NEEDS_HUMAN,
)
Where = Callable[[Target], str | None]  # the message that shows a target, if there is one


@dataclass(frozen=True)
class Step:
    """One message to be posted or edited, and every row that is done with it."""

    rank: Rank
    dues: tuple[Due, ...]
    there: str | None = None  # the message to edit; None: a new one

    @property
    def first(self) -> Due:
        """The row whose id is the message's key: the same however many join it."""
        return self.dues[0]

    @property
    def last(self) -> Due:
        """The row that the message shows."""
        return self.dues[-1]


@dataclass
class Tap:
    """A token bucket: `burst` at once, then one per `every`. Times are seconds of one clock."""

    every: float
    burst: int
    tokens: float = field(init=False)
    at: float = field(default=float("-inf"))

    def __post_init__(self) -> None:
        """Begin full."""
        self.tokens = float(self.burst)

    @property
    def free(self) -> bool:
        """Whether there is no limit at all."""
        return self.every <= 0

    def open(self, now: float) -> bool:
        """Return whether anything at all may be written."""
        return self.allows(now, Rank.URGENT)

    def allows(self, now: float, rank: Rank) -> bool:
        """Return whether something of this rank may be written; an edit leaves one for news."""
        self._fill(now)
        kept = 1 if rank is Rank.PROGRESS and self.burst > 1 else 0
        return self.free or self.tokens >= 1 + kept

    def take(self, now: float) -> None:
        """Count one message."""
        self._fill(now)
        self.tokens -= 0 if self.free else 1

    def _fill(self, now: float) -> None:
        if self.free or now <= self.at:
            return
        # A little more than due, so that a sum of rounded times does not cost a whole turn.
        grown = self.tokens + (now - self.at) / self.every + 1e-9
        self.tokens, self.at = min(float(self.burst), grown), now


def wait(pace: Pace, misses: int, told: timedelta) -> float:
    """Return the seconds to wait after so many failures in a row, or as long as one was told to."""
    own = min(pace.first_wait * (1 << min(misses - 1, 20)), pace.longest_wait)
    return max(own, told).total_seconds()


def steps(pending: Sequence[Due], where: Where) -> list[Step]:
    """Return what is to be done, the next new message before the edits.

    Rows of one message are one step that shows the last of them; only the first new message is
    named, since the ones behind it wait for it.
    """
    groups: dict[object, list[Due]] = {}
    for due in pending:
        groups.setdefault(_target(due) or due.delivery.id, []).append(due)
    news: Step | None = None
    edits: list[Step] = []
    urgent = any(due.entry.kind in URGENT for due in pending)
    for key, dues in groups.items():
        there = where(key) if isinstance(key, tuple) else None
        if there is not None:
            edits.append(Step(_rank_of_edit(dues[-1]), tuple(dues), there))
        elif news is None:
            news = Step(Rank.URGENT if urgent else Rank.NEWS, tuple(dues))
    return [*([news] if news else []), *sorted(edits, key=lambda step: step.rank)]


def _target(due: Due) -> Target | None:
    try:
        return render.target(due.entry)
    except KeyError:  # it does not fit its kind: rendering it says so, and it is given up
        return None


def _rank_of_edit(due: Due) -> Rank:
    entry = due.entry
    if entry.kind is EntryKind.PROGRESS:
        return Rank.PROGRESS
    if entry.kind is EntryKind.PHASE and entry.content.get("state") in render.GOING_ON:
        return Rank.PROGRESS
    return Rank.CLOSING
