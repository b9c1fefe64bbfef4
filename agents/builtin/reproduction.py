"""Replays the failure: one command, on any tree, in the sandbox, as often as it takes.

Used by the proof, the remedies and the test stage. Every run has a private copy of its tree;
results are kept per tree; runs of several trees are interleaved, so that what drifts with time
drifts for all.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from agents.builtin import failures
from agents.builtin.deadline import Deadline
from agents.builtin.failures import Failure, Observed, State
from agents.builtin.preparing import Failed, Prepared
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

PYTHON_PATH = "PYTHONPATH"
Prepare = Callable[[str], Prepared | Failed]
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
    prepare: Prepare | None = None  # installs what a tree needs, before it is run
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
        prepared = self.prepare(tree) if self.prepare else None
        if isinstance(prepared, Failed):
            return self._kept(Run(tree, _unprepared(prepared), prepared.completed))
        self.deadline.check(REPORT_SECONDS)
        seconds = min(self.limit_seconds, max(1.0, self.deadline.left - REPORT_SECONDS))
        cut_short = seconds < self.limit_seconds
        with self.open_tree(tree) as folder:
            if prepared:
                prepared.link(folder)
            profile = self.profile(folder, prepared)
            done = self.sandbox.run(self.command.argv, profile, Limits(seconds))
        if done.timed_out and cut_short:
            # The budget ended it, not the code.
            self.deadline.check(REPORT_SECONDS + 1)
        return self._kept(Run(tree, self._read(done, seconds), done))

    def _kept(self, run: Run) -> Run:
        self.runs.setdefault(run.tree, []).append(run)
        return run

    def _read(self, done: Completed, seconds: float) -> Observed:
        return failures.observe(done, timeout_seconds=seconds, cannot_run=self.cannot_run)

    def profile(self, folder: Path, prepared: Prepared | None = None) -> Profile:
        """Return what the command sees in a private copy of a tree."""
        env = QUIET | dict(self.surroundings.env)
        if prepared:
            paths = (env.get(PYTHON_PATH), prepared.env.get(PYTHON_PATH))
            env = dict(prepared.env) | env
            if any(paths):
                env[PYTHON_PATH] = os.pathsep.join(path for path in paths if path)
        return Profile(
            tree=folder,
            # What was installed goes first, so that its programs are found first.
            read_only=(*(prepared.read_only if prepared else ()), *self.surroundings.read_only),
            env=env,
            setup=self.command.setup,
        )


def _unprepared(failed: Failed) -> Observed:
    return Observed(State.UNTESTABLE, why=failed.why)


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
