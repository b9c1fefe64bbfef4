"""What a language model is to the loop: a question goes in, a reply with its bill comes out.

Used by the loop; implemented by `agents.messages_api` over the network. It knows no vendor: an
error of theirs arrives here as a `ModelFailed` with one of our kinds.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from agents.outgoing import Leaving
from incidents import errors

Block = dict[str, Any]  # one content block as the Messages API writes it
Message = dict[str, Any]  # {"role": "user" | "assistant", "content": [Block, ...]}


class Tier(StrEnum):
    """Which of the two configured models plays a role."""

    STRONG = "strong"
    FAST = "fast"


class Trouble(StrEnum):
    """Why a question got no reply that can be used."""

    KEY = "key"  # refused, no credit, no permission
    UNKNOWN_MODEL = "unknown model"
    BUSY = "busy"  # rate limited, overloaded, a server's error
    CUT = "cut"  # the connection ended in the middle
    TOO_LARGE = "too large"
    BAD_REQUEST = "bad request"
    UNREADABLE = "unreadable"  # what came is no message
    LATE = "late"  # the run's own time is up


AGAIN = frozenset({Trouble.BUSY, Trouble.CUT, Trouble.UNREADABLE})


@dataclass(frozen=True)
class Usage:
    """Tokens of one reply as they are billed; `fresh` excludes what the cache gave or took."""

    fresh: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0

    @property
    def input(self) -> int:
        """Every token that was sent, cached ones too."""
        return self.fresh + self.cache_read + self.cache_write

    @property
    def total(self) -> int:
        """Every token, sent and received."""
        return self.input + self.output


@dataclass(frozen=True)
class Reply:
    """One whole message of the model."""

    id: str
    model: str
    content: tuple[Block, ...]
    stop: str  # the API's stop_reason
    usage: Usage
    detail: str = ""  # why it refused, where it said so

    def calls(self) -> list[Block]:
        """Return its tool calls; none unless it stopped for them, since others may be cut."""
        if self.stop != "tool_use":
            return []
        return [block for block in self.content if block.get("type") == "tool_use"]


@dataclass
class Billed:
    """What a question has cost so far, told while it streams, so that a cut one is paid for too."""

    id: str = ""
    usage: Usage = field(default_factory=Usage)


class ModelFailed(errors.HalonError):
    """A question that got no reply; `billed` is what it cost all the same."""

    def __init__(
        self,
        trouble: Trouble,
        message: str,
        *,
        retry_after: float | None = None,
        billed: Billed | None = None,
    ) -> None:
        super().__init__(message)
        self.trouble = trouble
        self.retry_after = retry_after
        self.billed = billed or Billed()


class Model(Protocol):
    """Answers questions under one name."""

    @property
    def name(self) -> str:
        """The name under which it is asked and priced."""
        ...

    def ask(self, leaving: Leaving, left: Callable[[], float]) -> Reply:
        """Return the reply to a request of {system, tools, messages, max_tokens}.

        `left` gives the seconds that remain. Raises ModelFailed.
        """
        ...
