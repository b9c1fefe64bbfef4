"""The loop: question, reply, tools, again, until a result is accepted or something is used up.

Called by the claude engine with everything put together. It keeps the run's promises: each record
is on disk before anything follows from it, nothing runs or costs twice, and a run that nears its
limits is told to come to an end while it still can.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agents import stuck
from agents.allowance import Meter
from agents.model import AGAIN, Block, Model, ModelFailed, Reply, Trouble
from agents.tools.box import REPEATED, SUBMIT, Box
from agents.tools.contract import Answer
from agents.transcript import Bill, Kind, Transcript
from incidents import errors, reports

LONGEST_REPLY = 8_000  # tokens
RETRIES = 6
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
BROKEN_RESULTS = 3  # submissions that break the schema, then it ends
REFUSED_RESULTS = 4  # submissions that did not hold when they were tried
CUT_REPLIES = 2  # replies that ran into the length limit, one after the other

WRAP_UP = (
    "The budget of this run is nearly used up. Stop looking and call Submit now with what is "
    "established; name everything that is not as a gap."
)
GO_ON = "Nothing happens without a tool call. Go on, or call Submit with your result."
CUT_SHORT = (
    "Your reply was cut at its length limit and nothing of it was done. Do it in smaller steps."
)
TORN = "Interrupted before a result was recorded; it may have run. Look before you do it again."
NO_TIME = "Refused: there is no budget left for this. Call Submit now with what is established."


class Stop(StrEnum):
    """How a run ended."""

    DONE = "done"
    BUDGET = "budget"  # the detail names which
    REFUSAL = "refusal"
    SCHEMA = "schema"
    REJECTED = "rejected"  # what it submitted did not hold
    STUCK = "stuck"
    MODEL = "model"  # the model could not be asked; the detail says why
    LENGTH = "length"


@dataclass(frozen=True)
class Again:
    """A result that is not taken: why, in words that the model can use."""

    why: str
    broken: bool = False  # it does not even have the shape
    quoted: str = ""  # what programs and strangers said of it, in delimiters already


@dataclass(frozen=True)
class Ended:
    """How a run ended, and its report if there is one."""

    stop: Stop
    detail: str = ""
    trouble: Trouble | None = None
    report: reports.Report | None = None


@dataclass
class Run:
    """One run of a role, in this life or taken up from an earlier one."""

    model: Model
    system: str
    task: str
    box: Box
    accept: Callable[[dict[str, Any]], reports.Report | Again]
    transcript: Transcript
    meter: Meter
    # Each bill as soon as it is known; booked once by its reference.
    pay: Callable[[Bill], None] = lambda bill: None
    # Raises when the run was called off or lost; asked between steps.
    check: Callable[[], None] = lambda: None
    rng: random.Random = field(default_factory=random.Random)

    def run(self) -> Ended:
        """Go on until the end, which is recorded; raises only what `check` raises."""
        if (stopped := self.transcript.stop) is not None:
            self._pay_all()
            return ended(self.transcript, stopped)
        self._take_up()
        while True:
            self.check()
            done = self._tools()
            if done is None:
                done = self._turn()
            if done is not None:
                return self._stop(done)

    # --- taking up what an earlier life left

    def _take_up(self) -> None:
        if not any(self.transcript.of(Kind.USER)):
            self.transcript.append(Kind.USER, text=self.task)
        self._pay_all()
        calls = {
            block["id"]: block
            for record in self.transcript.of(Kind.ASSISTANT)
            for block in record["content"]
            if block.get("type") == "tool_use"
        }
        for record in self.transcript.of(Kind.RESULT):
            block = calls.get(record["id"])
            if block is not None and record.get("key"):
                answer = Answer(record["text"], record["error"], record.get("kept"))
                self.box.take_up(block["name"], record["key"], answer)

    def _pay_all(self) -> None:
        for bill in self.transcript.bills():
            self.pay(bill)

    # --- one turn

    def _turn(self) -> Ended | None:
        if (what := self.meter.spent()) is not None:
            return Ended(Stop.BUDGET, what)
        if self._wrapping() is None and self.meter.near() and self.transcript.turns:
            self.transcript.append(Kind.USER, text=WRAP_UP, why="wrap up")
        messages = self.transcript.messages()
        size = len(self.system) + len(str(self.box.specs())) + len(str(messages))
        room = self.meter.reply_tokens(size, LONGEST_REPLY)
        if room == 0:
            return Ended(Stop.BUDGET, "dollars")
        body = {
            "model": self.model.name,
            "max_tokens": room,
            "system": self.system,
            "tools": list(self.box.specs()),
            "messages": list(messages),
        }
        try:
            reply = self._asked(body)
        except ModelFailed as error:
            return Ended(Stop.MODEL, error.message, error.trouble)
        if reply.stop == "tool_use" and reply.calls():
            return None
        return self._without_calls(reply)

    def _asked(self, body: dict[str, Any]) -> Reply:
        """Ask, again where that may help and time is left; raises ModelFailed."""
        for attempt in range(RETRIES + 1):
            began = self.meter.clock.now()
            try:
                reply = self.model.ask(self.box.teller.leave(body), self.meter.left)
            except ModelFailed as error:
                self._billed(error, self.meter.clock.now() - began)
                wait = self._wait(error, attempt)
                if wait is None:
                    raise
                self.meter.clock.wait(wait)
                self.check()
                continue
            dollars = self.meter.prices.cost(self.model.name, reply.usage)
            took = self.meter.clock.now() - began
            self.transcript.replied(reply, self.model.name, dollars, took)
            self.pay(self.transcript.bills()[-1])
            return reply
        raise AssertionError  # the last attempt returned or raised

    def _billed(self, error: ModelFailed, seconds: float) -> None:
        usage = error.billed.usage
        dollars = self.meter.prices.cost(self.model.name, usage)
        why, name = error.trouble.value, error.billed.id
        self.transcript.failed(why, self.model.name, name, usage, dollars, seconds)
        if usage.total:
            self.pay(self.transcript.bills()[-1])

    def _wait(self, error: ModelFailed, attempt: int) -> float | None:
        """Return how long to wait before the next attempt, None when there shall be none."""
        if error.trouble not in AGAIN or attempt >= RETRIES or self.meter.spent() is not None:
            return None
        # Up to a quarter less, so that many workers do not come back at the same moment.
        own = min(LONGEST_WAIT, FIRST_WAIT * 2**attempt) * (1 - 0.25 * self.rng.random())
        wait = error.retry_after if error.retry_after is not None else own
        return wait if wait < self.meter.left() else None

    def _without_calls(self, reply: Reply) -> Ended | None:
        if reply.stop == "refusal":
            why = f" ({reply.detail})" if reply.detail else ""
            return Ended(Stop.REFUSAL, f"the model refused{why}")
        if reply.stop == "model_context_window_exceeded":
            return Ended(Stop.LENGTH, "the conversation is longer than the model's window")
        if reply.stop == "max_tokens":
            last = [r["stop"] for r in self.transcript.of(Kind.ASSISTANT)][-CUT_REPLIES:]
            if last == ["max_tokens"] * CUT_REPLIES:
                return Ended(Stop.LENGTH, "its replies were cut at their length limit")
            self._say(CUT_SHORT, "cut")
            return None
        if (circle := self._circle()) is not None:
            return circle
        self._say(GO_ON, "words only")
        return None

    def _say(self, text: str, why: str) -> None:
        # A reply without any content is left out of the conversation; so is nothing to answer.
        self.transcript.append(Kind.USER, text=text, why=why)

    # --- tools

    def _tools(self) -> Ended | None:
        """Run the calls that have no result yet, each at most once in all lives."""
        for block in self.transcript.open_calls():
            self.check()
            done = self._call(block)
            if done is not None:
                return done
        return self._circle() if self._just_answered() else None

    def _just_answered(self) -> bool:
        return bool(self.transcript.records) and self.transcript.records[-1]["kind"] == Kind.RESULT

    def _call(self, block: Block) -> Ended | None:
        name, given, call = str(block.get("name")), block.get("input"), str(block["id"])
        if name == SUBMIT:
            return self._submitted(call, given)
        if self.transcript.begun(call):
            self._result(call, Answer(TORN, error=True), "", 0.0)
            return None
        if self._wrapping() is not None or self.meter.left() <= 0:
            self._result(call, Answer(NO_TIME, error=True), "", 0.0)
            return None
        key = self.box.key(name, given)
        self.transcript.append(Kind.CALL, id=call, name=name)
        began = self.meter.clock.now()
        answer = self.box.call(name, given)
        self._result(call, answer, key, self.meter.clock.now() - began)
        return None

    def _result(self, call: str, answer: Answer, key: str, seconds: float) -> None:
        self.transcript.append(
            Kind.RESULT,
            id=call,
            text=answer.text,
            error=answer.error,
            key=key,
            kept=answer.kept,
            seconds=round(seconds, 3),
        )

    def _submitted(self, call: str, given: object) -> Ended | None:
        began = self.meter.clock.now()
        taken = self.accept(given if isinstance(given, dict) else {})
        if not isinstance(taken, Again):
            return Ended(Stop.DONE, report=taken)
        took = self.meter.clock.now() - began
        self.transcript.append(
            Kind.RESULT, id=call, text="\n".join(filter(None, (taken.why, taken.quoted))),
            error=True, broken=taken.broken, submitted=True, seconds=round(took, 3),
        )  # fmt: skip
        refused = [r for r in self.transcript.of(Kind.RESULT) if r.get("submitted")]
        if sum(bool(r["broken"]) for r in refused) >= BROKEN_RESULTS:
            return Ended(Stop.SCHEMA, f"{BROKEN_RESULTS} results broke the schema: {taken.why}")
        if len(refused) >= REFUSED_RESULTS:
            return Ended(Stop.REJECTED, f"no result held; the last: {taken.why}")
        return None

    # --- watching over it

    def _wrapping(self) -> Block | None:
        return next((r for r in self.transcript.of(Kind.USER) if r.get("why") == "wrap up"), None)

    def _circle(self) -> Ended | None:
        """Nudge a run that goes in circles once, and end it the second time."""
        nudged = max(
            (at for at, r in enumerate(self.transcript.records) if r.get("why") == "circle"),
            default=-1,
        )
        what = stuck.circling(self._events(self.transcript.records[nudged + 1 :]))
        if not what:
            return None
        if nudged >= 0:
            return Ended(Stop.STUCK, f"it went in circles: {what}")
        self._say(f"You go in circles: {what}. Try another way, or call Submit.", "circle")
        return None

    def _events(self, records: list[dict[str, Any]]) -> list[stuck.Event]:
        calls = {
            block["id"]: f"{block['name']} {block.get('input')}"
            for record in self.transcript.of(Kind.ASSISTANT)
            for block in record["content"]
            if block.get("type") == "tool_use"
        }
        events = []
        for record in records:
            if record["kind"] == Kind.RESULT:
                # The note on a repeated answer makes the second one differ from the first.
                text = record["text"].removeprefix(f"{REPEATED}\n")
                call = calls.get(record["id"], "")
                events.append(stuck.Event(call, text, record["error"]))
            elif record["kind"] == Kind.ASSISTANT and record["stop"] != "tool_use":
                events.append(stuck.Event(""))
        return events

    def _stop(self, done: Ended) -> Ended:
        self.transcript.append(
            Kind.STOP,
            stop=done.stop.value,
            detail=done.detail,
            trouble=done.trouble.value if done.trouble else None,
            report=self.transcript.keep(done.report.model_dump(mode="json"))
            if done.report
            else None,
        )
        return done


def ended(transcript: Transcript, record: dict[str, Any]) -> Ended:
    """Return how a recorded run ended."""
    try:
        return Ended(
            Stop(record["stop"]),
            record["detail"],
            Trouble(record["trouble"]) if record["trouble"] else None,
            reports.load(transcript.kept(record["report"])) if record["report"] else None,
        )
    except (ValueError, KeyError) as error:
        raise errors.PermanentFailure(
            f"The end of a transcript cannot be read ({error}); it is of another version."
        ) from error
