"""What one run of a role may use, and how much of it is gone: seconds, turns, tokens, dollars.

Used by the loop before each question. What earlier lives of the run spent counts too, so a restart
refills nothing.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from agents.model import Usage
from agents.prices import Prices
from agents.transcript import Transcript

LEAST_REPLY = 1024  # tokens: below this a reply cannot hold a report
WRAP_UP_SHARE = 0.2  # of seconds, tokens or dollars; then it is told to come to an end
WRAP_UP_PART = Decimal("0.2")
WRAP_UP_TURNS = 2
CHARACTERS_PER_TOKEN = 3.0  # on the safe side: code and logs have more tokens than prose


@dataclass(frozen=True)
class Clock:
    """The run's clock: monotonic seconds, and a way to let some pass."""

    now: Callable[[], float] = time.monotonic
    wait: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Allowance:
    """The most that one run may use."""

    seconds: float
    turns: int
    tokens: int
    dollars: Decimal


@dataclass
class Meter:
    """An allowance in use."""

    allowance: Allowance
    transcript: Transcript
    prices: Prices
    model: str
    clock: Clock = field(default_factory=Clock)
    _started: float = field(init=False)
    _before: float = field(init=False)

    def __post_init__(self) -> None:
        """Start counting on top of what earlier lives took."""
        self._started = self.clock.now()
        self._before = self.transcript.seconds

    def left(self) -> float:
        """Return the seconds that remain."""
        return self.allowance.seconds - self._before - (self.clock.now() - self._started)

    def dollars_left(self) -> Decimal:
        """Return the dollars that remain."""
        return self.allowance.dollars - self.transcript.dollars

    def spent(self) -> str | None:
        """Return the name of what is used up, None while everything is left."""
        if self.dollars_left() <= 0:
            return "dollars"
        if self.transcript.tokens >= self.allowance.tokens:
            return "tokens"
        if self.transcript.turns >= self.allowance.turns:
            return "turns"
        return "seconds" if self.left() <= 0 else None

    def near(self) -> bool:
        """Tell whether it is time to come to an end, while a last reply can still be paid for."""
        allowed, used = self.allowance, self.transcript
        bills = used.bills()
        # A turn more than the next one must fit, by what the dearest so far has cost.
        dearest = max((bill.dollars for bill in bills), default=Decimal(0))
        shortest = self.prices.cost(self.model, Usage(output=LEAST_REPLY))
        largest = max((bill.usage.total for bill in bills), default=0)
        return (
            allowed.turns - used.turns <= WRAP_UP_TURNS
            or self.left() <= allowed.seconds * WRAP_UP_SHARE
            or allowed.tokens - used.tokens <= max(allowed.tokens * WRAP_UP_SHARE, 2 * largest)
            or self.dollars_left() <= max(allowed.dollars * WRAP_UP_PART, 2 * dearest, 2 * shortest)
        )

    def reply_tokens(self, characters: int, wanted: int) -> int:
        """Return how long a reply to so many characters may be; 0 if none can be paid for."""
        asked = Usage(cache_write=round(characters / CHARACTERS_PER_TOKEN))
        ahead = self.prices.cost(self.model, asked)
        per_token = self.prices.cost(self.model, Usage(output=1_000_000)) / 1_000_000
        room = self.dollars_left() - ahead
        payable = wanted if per_token == 0 else int(room / per_token)
        room_of_tokens = self.allowance.tokens - self.transcript.tokens
        fitting = min(wanted, payable, max(room_of_tokens, LEAST_REPLY))
        return fitting if fitting >= LEAST_REPLY else 0
