"""What replaying one command showed: the failure that is hunted, at head and at good.

Made by the reenactment, read by proof, remedies, regression test and the test stage.
"""

from dataclasses import dataclass, field

from agents.builtin import bisect
from agents.builtin.failures import Failure, State
from agents.builtin.goodrevision import Good
from agents.builtin.reproduction import Replays
from agents.builtin.verdict import AtGood, Replayed


@dataclass
class Scene:
    """What replaying one command showed."""

    replays: Replays
    head: str
    replayed: Replayed = Replayed.NO_COMMAND
    at_good: AtGood = AtGood.UNKNOWN
    good: Good | None = None
    target: Failure | None = None
    others: tuple[Failure, ...] = ()
    pinned: tuple[str, ...] = ()
    test_changed: bool = False
    at_start: bool = False
    varied: bool = False  # not the plain replay: its runs say nothing of the suite
    # Work or scheduling of ours: what fails so on the good revision too may be no incident at all.
    artificial: bool = False
    words: str = ""  # what the failing run printed
    gaps: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """How often the head fails, as the mean of its posterior."""
        runs = self.replays.tally(self.head)
        failed = sum(run.observed.state is not State.PASSED for run in runs)
        return bisect.failure_rate(failed, len(runs))
