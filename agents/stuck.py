"""Sees when a run goes in circles; pure. Called by the loop after each turn with the calls so far.

The figures: the same call with the same answer four times, the same error three times, two calls
in turn three times each, three turns without any call.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

WINDOW = 20
SAME_ANSWER, SAME_ERROR, TURNS_OF_TWO, SPEECHES = 4, 3, 6, 3


@dataclass(frozen=True)
class Event:
    """One call and its answer, both as something that can be compared; no call: only words."""

    call: str
    answer: str = ""
    error: bool = False


def circling(events: Sequence[Event]) -> str:
    """Return what repeats, in words that the model can use; empty while it gets on."""
    seen = list(events[-WINDOW:])
    if _tail_is(seen, SPEECHES, lambda event: not event.call):
        return "you have answered in words only; nothing happens without a tool call"
    last = seen[-1] if seen else None
    if last is None or not last.call:
        return ""
    if _tail_is(seen, SAME_ANSWER, lambda event: event == last):
        return f"{last.call[:80]} was called {SAME_ANSWER} times with the same answer"
    if last.error and _tail_is(seen, SAME_ERROR, lambda event: event == last):
        return f"{last.call[:80]} failed {SAME_ERROR} times in the same way"
    tail = seen[-TURNS_OF_TWO:]
    turns = len(tail) == TURNS_OF_TWO and tail[0] != tail[1]
    if turns and all(event == tail[at % 2] for at, event in enumerate(tail)):
        return "the same two calls take turns with the same two answers"
    return ""


def _tail_is(events: Sequence[Event], count: int, same: Callable[[Event], bool]) -> bool:
    tail = events[-count:]
    return len(tail) == count and all(same(event) for event in tail)
