"""Tries a tree before it is offered: the failure must be gone there, and the suite no worse.

Used by the remedies, the regression test and the test stage; it runs, compares and says what it
saw.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agents.builtin import bisect, reproduction
from agents.builtin.failures import Failure, State
from agents.builtin.reproduction import Mark, Replays, Run
from agents.builtin.scene import Scene
from agents.builtin.verdict import Replayed
from agents.builtin.workbench import Workbench

RUNS = 3
MOST_RUNS = 120


@dataclass(frozen=True)
class Tried:
    """What a tree showed; None where it could not be run."""

    gone: bool | None
    no_worse: bool | None
    words: str
    worse: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether the failure is gone and nothing else broke."""
        return self.gone is True and self.no_worse is not False


def with_test(bench: Workbench, scene: Scene, head: str, tree: str) -> str:
    """Return a tree with the test's own files as they are at the broken revision."""
    return bench.source.pinned(tree, head, scene.pinned) if scene.pinned else tree


def marks(scene: Scene, tree: str, runs: int = RUNS) -> list[str]:
    """Replay a tree and return what each run says of the failure."""
    if scene.target is None:
        return []
    scene.replays.at_least([tree], runs)
    return [reproduction.mark(run.observed, scene.target) for run in scene.replays.tally(tree)]


def enough(scene: Scene) -> int:
    """Return how many passes in a row are no chance, for a failure that comes and goes."""
    if scene.replayed is not Replayed.SOMETIMES:
        return RUNS
    return min(MOST_RUNS, max(RUNS, bisect.runs_needed(scene.rate)))


def attempt(bench: Workbench, scene: Scene, head: str, tree: str, runs: int = RUNS) -> Tried:
    """Replay the failure on a tree and run the suite on it and on the broken revision.

    A suite that is worse is looked at again until there are so many runs of it.
    """
    shown = marks(scene, with_test(bench, scene, head, tree), runs)
    shared = reproduction.joint(shown)
    gone = {Mark.GOOD: True, Mark.BAD: False}.get(
        shared or "", False if Mark.BAD in shown else None
    )
    if gone is not True:
        return Tried(gone, None, f"the replay: {_counted(shown)}")
    no_worse, worse = suite(bench, scene.head, tree, min(runs, RUNS))
    words = {
        True: "the suite is no worse",
        False: "the suite is worse",
        None: "no suite could be run",
    }
    return Tried(
        gone, no_worse, f"the replay passes {len(shown)} of {len(shown)}; {words[no_worse]}", worse
    )


def suite_replays(bench: Workbench) -> Replays | None:
    """Return the replays of the service's own test command, or None if there is none."""
    test = bench.case.test
    if test is None:
        return None
    scene = bench.scene
    if scene and not scene.varied and scene.replays.command.argv[1:] == test.argv[1:]:
        return scene.replays
    if bench.suite is None:
        bench.suite = bench.replays(test)
    return bench.suite


def suite(
    bench: Workbench, old: str, new: str, runs: int = RUNS
) -> tuple[bool | None, tuple[str, ...]]:
    """Tell whether the suite fails nowhere on the new tree where it passes on the old one."""
    replays = suite_replays(bench)
    if replays is None:
        return None, ()
    replays.at_least([old, new], 1)
    before, after = replays.tally(old)[0], replays.tally(new)[0]
    worse = new_failures(before, after)
    if worse and worse != (NOT_RUN,):
        # A test that fails now and then must not condemn a patch: look again.
        replays.at_least([old, new], runs)
        worse = lasting(replays.tally(old), replays.tally(new))
    if worse == (NOT_RUN,):
        return (None if before.observed.state is State.UNTESTABLE else False), worse
    return not worse, worse


NOT_RUN = "the suite cannot run"


def new_failures(before: Run, after: Run) -> tuple[str, ...]:
    """Return the failures of the second run that the first had not."""
    if after.observed.state is State.PASSED:
        return ()
    if after.observed.state in (State.UNTESTABLE, State.TIMED_OUT):
        return (NOT_RUN,)
    return tuple(str(item) for item in after.observed.failures if not _known(item, [before]))


def lasting(before: Sequence[Run], after: Sequence[Run]) -> tuple[str, ...]:
    """Return the failures that every later run shows and no earlier one."""
    if not after or any(run.observed.state is State.PASSED for run in after):
        return ()
    return tuple(
        str(item)
        for item in after[0].observed.failures
        if not _known(item, before)
        and all(any(other.same(item) for other in run.observed.failures) for run in after)
    )


def _known(item: Failure, runs: Sequence[Run]) -> bool:
    return any(other.kin(item) for run in runs for other in run.observed.failures)


def _counted(shown: Sequence[str]) -> str:
    if not shown:
        return "not run"
    return ", ".join(f"{shown.count(mark)} × {mark}" for mark in dict.fromkeys(shown))
