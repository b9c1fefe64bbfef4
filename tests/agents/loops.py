"""One run of the loop as the tests of it need it: a model, two tools, a clock and the bills.

Used by the tests in process and by those against servers; nothing of the loop itself is replaced.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from agents import outgoing, telling, transcript, untrusted
from agents.allowance import Allowance, Clock, Meter
from agents.loop import Again, Ended, Run
from agents.model import Model
from agents.prices import Prices
from agents.tools.box import Box
from agents.tools.contract import Answer, Arguments, Tool
from agents.transcript import Bill, Kind
from incidents import reports
from incidents.redaction import Redactor

MODEL = "claude-opus-5-5"
REPORT = reports.NoPatch(engine="claude", tried=(), reason="nothing is safe")
ENOUGH = Allowance(600.0, 30, 1_000_000, Decimal(1))


@dataclass
class Time:
    """A clock that moves only when somebody waits."""

    at: float = 0.0
    waits: list[float] = field(default_factory=list)

    def clock(self) -> Clock:
        return Clock(lambda: self.at, self.wait)

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.at += seconds


class Numbered(Arguments):
    """An argument."""

    number: int


@dataclass
class Scene:
    """One run with its model, tools, time and bills; `life` is a new process on the same disk."""

    folder: Path
    model: Model
    allowance: Allowance = ENOUGH
    system: str = "system"
    time: Time = field(default_factory=Time)
    ran: list[int] = field(default_factory=list)
    booked: dict[str, Bill] = field(default_factory=dict)
    accept: Callable[[dict[str, Any]], reports.Report | Again] = lambda given: REPORT

    def life(self) -> Ended:
        kept = transcript.opened(self.folder / "run.jsonl")
        meter = Meter(self.allowance, kept, Prices(), self.model.name, self.time.clock())
        redactor = Redactor()
        door = outgoing.Outgoing(
            untrusted.Fence("ab" * 8), redactor, lambda body: None, allowed=True
        )
        count = Tool("Count", "Count.", Numbered, self._count)
        change = Tool("Change", "Change.", Numbered, self._count, writes=True)
        box = Box("tester", [count, change], telling.Teller(door, redactor))
        run = Run(self.model, self.system, "task", box, self.accept, kept, meter, self._pay)
        return run.run()

    def _count(self, given: Numbered) -> Answer:
        self.ran.append(given.number)
        return Answer(f"counted {given.number}", kept={"number": given.number})

    def _pay(self, bill: Bill) -> None:
        assert self.booked.setdefault(bill.reference, bill) == bill

    @property
    def records(self) -> list[transcript.Record]:
        return transcript.opened(self.folder / "run.jsonl").records

    def torn(self) -> int | None:
        """Return the number whose call was cut in the middle, None if none was."""
        cut = [r["id"] for r in self.records if "Interrupted" in r.get("text", "")]
        given = {
            block["id"]: block["input"].get("number")
            for r in self.records
            if r["kind"] == Kind.ASSISTANT
            for block in r["content"]
        }
        return given[cut[0]] if cut else None

    @property
    def dollars(self) -> Decimal:
        return sum((bill.dollars for bill in self.booked.values()), Decimal(0))
