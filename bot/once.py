"""Makes each act of a person happen once, whatever is sent twice: double clicks, retries, replays.

Called by `bot.commands`. An act is written into the inbox before it is carried out; what a crash
left undone is carried out at the next start, unless the timeline shows that it was done. Acts that
wait together are written together: one write to the disk before them and one after.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime

from bot.said import Said
from incidents import crash
from incidents.inbox import Event, Inbox
from incidents.models import Json, Person

REMEMBERED = 2000  # answers kept for repetitions; the inbox itself remembers for 24 hours
PATIENCE_SECONDS = 60.0

RECEIVED = crash.register("act.received", "a person's act is stored, nothing of it was done")
DONE = crash.register("act.done", "the act is done, and stored as if it were not")


@dataclass(frozen=True)
class Deed:
    """What a person wants done once per key; nothing of it has begun."""

    key: str
    person: Person
    body: Json  # what it takes to carry it out after a crash
    act: Callable[[datetime], Said]  # told when it was received
    again: Callable[[], Said]  # the answer where it was received before and its own is forgotten


class Once:
    """Carries out acts once per key."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, Future[Said]] = OrderedDict()

    def do(self, deeds: Sequence[Deed]) -> list[Future[Said]]:
        """Carry acts out in their order; a repetition gets the answer that the first one had."""
        with self._lock:
            mine = {one.key: one for one in deeds if one.key not in self._answers}
            self._answers |= {key: Future() for key in mine}
            answers = {one.key: self._answers[one.key] for one in deeds}
            while len(self._answers) > REMEMBERED:
                self._answers.popitem(last=False)
        try:
            if mine:
                self._carry_out(tuple(mine.values()), answers)
        finally:
            self._forget([key for key in mine if _failed(answers[key])])
        return [answers[one.key] for one in deeds]

    def _carry_out(self, deeds: Sequence[Deed], answers: Mapping[str, Future[Said]]) -> None:
        try:
            told = self._stored(deeds)
        except BaseException as error:
            for one in deeds:  # nobody waits for an answer that will not come
                answers[one.key].set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for one, said in zip(deeds, told, strict=True):
            if isinstance(said, Said):
                answers[one.key].set_result(said)
            else:
                answers[one.key].set_exception(said)

    def _stored(self, deeds: Sequence[Deed]) -> list[Said | Exception]:
        events = [
            Event(one.person.platform, one.key, f"{one.person} {one.key}", one.body)
            for one in deeds
        ]
        items = self._inbox.receive_all(events)
        crash.point(RECEIVED)
        told = [
            _tried(one.again if item is None else _begun(one, item.received_at))
            for one, item in zip(deeds, items, strict=True)
        ]
        crash.point(DONE)
        self._inbox.done(*(item.id for item in items if item is not None))
        return told

    def _forget(self, keys: Sequence[str]) -> None:
        with self._lock:
            for key in keys:
                self._answers.pop(key, None)


def _begun(deed: Deed, at: datetime) -> Callable[[], Said]:
    return lambda: deed.act(at)


def _tried(act: Callable[[], Said]) -> Said | Exception:
    """Return the answer, or the mistake of ours: it ends this act and not those beside it."""
    try:
        return act()
    except Exception as error:  # noqa: BLE001 - told to who spoke; it would fail at every start
        return error


def _failed(answer: Future[Said]) -> bool:
    return answer.exception() is not None
