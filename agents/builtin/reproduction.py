"""Replays the failure: one command, on any tree, in the sandbox, as often as it takes.

Used by the proof, the remedies and the test stage. Every run has a private copy of its tree;
results are kept per tree; runs of several trees are interleaved, so that what drifts with time
drifts for all.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from agents.builtin import failures
from agents.builtin.deadline import Deadline
from agents.builtin.failures import Failure, Observed, State
from agents.case import Command
from agents.evidence import Ledger
from agents.sandboxes.contract import Completed, Limits, Profile, Sandbox
from incidents import models

PARALLEL = 2
REPORT_SECONDS = 2.0  # kept back, so that a partial report can still be written
# No caches in the tree, the same words whatever the terminal.
QUIET = {
    "PYTHONDONTWRITEBYTECODE": "1",
    "COLUMNS": "400",
    "NO_COLOR": "1",
    "PY_COLORS": "0",
    "TERM": "dumb",
}

OpenTree = Callable[[str], AbstractContextManager[Path]]


@dataclass(frozen=True)
class Surroundings:
    """What a command needs besides its tree: the same for every revision, so never a suspect."""

    read_only: tuple[Path, ...] = ()
    env: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Run:
    """One replay of one tree."""

    tree: str
    observed: Observed
    completed: Completed


@dataclass
class Replays:
    """Replays one command and remembers every run per tree."""

    sandbox: Sandbox
    open_tree: OpenTree
    command: Command
    surroundings: Surroundings
    ledger: Ledger
    deadline: Deadline
    limit_seconds: float = 60.0
    cannot_run: frozenset[int] = frozenset()  # exit codes of the command that say it never ran
    runs: dict[str, list[Run]] = field(default_factory=dict)

    def at_least(self, trees: Sequence[str], times: int) -> None:
        """Run each tree until it has so many runs; raises `errors.TimeSpent` between two runs."""
        rounds: list[str] = []
        for number in range(times):
            rounds += [
                tree for tree in dict.fromkeys(trees) if len(self.runs.get(tree, ())) <= number
            ]
        self.each(rounds)

    def each(self, trees: Sequence[str]) -> list[Run]:
        """Run these trees once each, in this order, two at a time."""
        self.deadline.check(REPORT_SECONDS)
        if len(trees) < 2:
            return [self._once(tree) for tree in trees]
        with ThreadPoolExecutor(PARALLEL) as pool:
            return list(pool.map(self._once, trees))

    def tally(self, tree: str) -> list[Run]:
        """Return the runs of a tree so far."""
        return self.runs.get(tree, [])

    def all_runs(self) -> Iterator[Run]:
        """Yield every run."""
        for runs in self.runs.values():
            yield from runs

    def _once(self, tree: str) -> Run:
        self.deadline.check(REPORT_SECONDS)
        seconds = min(self.limit_seconds, max(1.0, self.deadline.left - REPORT_SECONDS))
        cut_short = seconds < self.limit_seconds
        with self.open_tree(tree) as folder:
            done = self.sandbox.run(self.command.argv, self.profile(folder), Limits(seconds))
        if done.timed_out and cut_short:
            # The budget ended it, not the code.
            self.deadline.check(REPORT_SECONDS + 1)
        run = Run(tree, self._read(done, seconds), done)
        self.runs.setdefault(tree, []).append(run)
        return run

    def _read(self, done: Completed, seconds: float) -> Observed:
        return failures.observe(done, timeout_seconds=seconds, cannot_run=self.cannot_run)

    def profile(self, folder: Path) -> Profile:
        """Return what the command sees in a private copy of a tree."""
        return Profile(
            tree=folder,
            read_only=self.surroundings.read_only,
            env=QUIET | dict(self.surroundings.env),
            setup=self.command.setup,
        )


def record(ledger: Ledger, run: Run, label: str) -> str:
    """Put one run into the ledger and return its id."""
    done = run.completed
    ending = "timed out" if done.timed_out else f"exit {done.exit_code}"
    text = f"$ {' '.join(done.argv)}\n({ending}, {done.seconds:.2f} s, on {label})\n{done.output}"
    return ledger.add(
        models.EvidenceKind.TEST_RUN, f"sandbox {done.sandbox}", f"tree {run.tree[:12]}", text
    )


class Mark:
    """What a run says about the failure in question."""

    BAD = "bad"
    GOOD = "good"
    KIN = "kin"  # the same test fails in another way: not this failure, and not a pass
    SKIP = "skip"


def mark(observed: Observed, target: Failure) -> str:
    """Tell whether a run shows the target, shows that it is absent, or can say neither."""
    if observed.state is State.PASSED:
        return Mark.GOOD
    if observed.state is State.UNTESTABLE:
        return Mark.SKIP
    if observed.state is State.TIMED_OUT:
        return Mark.BAD if target.exception == "timeout" else Mark.SKIP
    if any(item.same(target) for item in observed.failures):
        return Mark.BAD
    if any(item.kin(target) for item in observed.failures):
        return Mark.KIN
    if observed.others_passed and target.test and not _hides(observed, target):
        return Mark.GOOD
    return Mark.SKIP


def _hides(observed: Observed, target: Failure) -> bool:
    """Tell whether a failure of the same file or a wider fixture keeps the target from speaking."""
    file = target.test.partition("::")[0]
    if target.at_start:
        return any(item.test.startswith(target.test) for item in observed.failures)
    return any(
        item.at_start or item.test == file or item.test.startswith("setUp")
        for item in observed.failures
    )


def joint(marks: Sequence[str]) -> str | None:
    """Return the mark that all of these runs share, or None if they differ or there are none."""
    kinds = set(marks)
    return kinds.pop() if len(kinds) == 1 else None
