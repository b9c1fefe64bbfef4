"""Makes each act of a person happen once, whatever is sent twice: double clicks, retries, replays.

Called by `bot.commands`. An act is written into the inbox before it is carried out; what a crash
left undone is carried out at the next start, unless the timeline shows that it was done.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime

from bot.said import Said
from incidents import crash
from incidents.inbox import Inbox
from incidents.models import Json, Person

REMEMBERED = 2000  # answers kept for repetitions; the inbox itself remembers for 24 hours
PATIENCE_SECONDS = 60.0

RECEIVED = crash.register("act.received", "a person's act is stored, nothing of it was done")
DONE = crash.register("act.done", "the act is done, and stored as if it were not")

Act = Callable[[datetime], Said]  # told when the act was received


class Once:
    """Carries out acts once per key."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, Future[Said]] = OrderedDict()

    def do(self, key: str, person: Person, body: Json, act: Act, again: Said) -> Said:
        """Carry out an act, or return the answer that it had; `again` where that is forgotten."""
        with self._lock:
            known = self._answers.get(key)
            if known is None:
                mine = self._answers[key] = Future()
                while len(self._answers) > REMEMBERED:
                    self._answers.popitem(last=False)
        if known is not None:
            return known.result(PATIENCE_SECONDS)
        try:
            said = self._first(key, person, body, act, again)
        except BaseException as error:
            with self._lock:
                self._answers.pop(key, None)
            mine.set_exception(error)
            raise
        mine.set_result(said)
        return said

    def _first(self, key: str, person: Person, body: Json, act: Act, again: Said) -> Said:
        item = self._inbox.receive(person.platform, key, f"{person} {key}", body)
        if item is None:
            return again
        crash.point(RECEIVED)
        try:
            said = act(item.received_at)
        except Exception:
            self._inbox.done(item.id)  # it would fail the same way at every start
            raise
        crash.point(DONE)
        self._inbox.done(item.id)
        return said
