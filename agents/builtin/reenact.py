"""Replays the failure at the broken and at the good revision, and says what is being hunted.

Called by the diagnosis with one command. It settles: does it fail, always or sometimes, in which
way, with which files pinned, and does the same replay pass on a revision that was good.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from agents.builtin import bisect, goodrevision, pins, reproduction, suspects, traces
from agents.builtin.failures import Failure, State
from agents.builtin.goodrevision import Good
from agents.builtin.proof import Proof
from agents.builtin.reproduction import Mark, Replays, Run
from agents.builtin.scene import Scene
from agents.builtin.verdict import AtGood, Replayed
from agents.builtin.workbench import Workbench
from incidents import errors

FEW, MANY = 3, 10
FLAKY_CAP = 60
HANG_FACTOR, HANG_SECONDS = 10.0, 5.0
# Where no hang is hunted, a busy machine must not look like one.
CALM_SECONDS = 30.0
SLOW_SHARE = 0.3  # of the budget, that looking for a failure which hides may take
TARGETS = 10


@dataclass(frozen=True)
class Effort:
    """How far a reenactment goes before it gives up."""

    many: int = MANY  # runs before a failure that hides counts as not reproduced
    share: float = SLOW_SHARE
    cap: int = FLAKY_CAP  # runs of the good revision, where the failure comes and goes
    reach: int = goodrevision.REACH


@dataclass
class Reenactment:
    """Runs one command at the broken revision `head`; `good` is what the operator named."""

    bench: Workbench
    replays: Replays
    head: str
    good: str | None
    released: Sequence[goodrevision.Deployed] = ()
    exceptions: frozenset[str] = frozenset()  # types that the logs and traces speak of
    least_seconds: float = HANG_SECONDS  # no run is ended earlier than this
    patient: bool = True  # whether a failure that hides is looked for by more runs
    effort: Effort = Effort()

    def play(self) -> Scene:
        """Return what the command shows; raises `errors.TimeSpent`."""
        source = self.bench.source
        scene = Scene(self.replays, source.tree(self.head))
        if self.good is not None:
            # First and alone: how long it takes where all is well bounds a hang where it is not.
            self._bound(self.replays.each([source.tree(self.good)]))
        self.replays.at_least([scene.head], 2)
        self.replays.at_least([scene.head], FEW)
        runs = self.replays.tally(scene.head)
        states = {run.observed.state for run in runs}
        if states == {State.PASSED}:
            self._look_harder(scene)
        if states == {State.UNTESTABLE}:
            scene.replayed = Replayed.CANNOT_START
            scene.gaps.append(f"test environment: {runs[0].observed.why}")
            scene.words = runs[0].completed.output
            return scene
        self._hunt(scene)
        return scene

    def _bound(self, runs: Sequence[Run]) -> None:
        passed = [run.completed.seconds for run in runs if run.observed.state is State.PASSED]
        if passed:
            self.replays.limit_seconds = max(self.least_seconds, HANG_FACTOR * max(passed))

    def _look_harder(self, scene: Scene) -> None:
        """Run more often before saying that the failure cannot be reproduced."""
        if not self.patient:
            return
        seconds = max(run.completed.seconds for run in self.replays.tally(scene.head))
        spare = self.bench.deadline.left * self.effort.share
        many = min(self.effort.many, FEW + int(spare * reproduction.PARALLEL / max(seconds, 1e-3)))
        if many >= MANY:
            self._until_it_fails(scene, many)
        else:
            scene.gaps.append(
                f"the test is slow: it was run {FEW} times only, a rare failure may hide"
            )

    def _until_it_fails(self, scene: Scene, many: int) -> None:
        """Run in rounds, and stop at the first failure: how often it fails is settled later."""
        for times in range(MANY, many + MANY, MANY):
            self.replays.at_least([scene.head], min(times, many))
            if any(r.observed.state is not State.PASSED for r in self.replays.tally(scene.head)):
                return

    def _hunt(self, scene: Scene) -> None:
        failing = [
            run
            for run in self.replays.tally(scene.head)
            if run.observed.state in (State.FAILED, State.TIMED_OUT)
        ]
        if not failing:
            scene.replayed = Replayed.NEVER
            return
        scene.words = failing[0].completed.output
        options = self._options(failing)
        scene.pinned = self._pins(options, scene.words)
        self._choose(scene, options)
        if scene.target is None:
            return
        if scene.target.exception != "timeout":
            self.least_seconds = CALM_SECONDS
            self.replays.limit_seconds = max(self.replays.limit_seconds, CALM_SECONDS)
        scene.replayed = self._how_often(scene)
        if scene.replayed is Replayed.SOMETIMES and len(self.replays.tally(scene.head)) < MANY:
            self.replays.at_least([scene.head], MANY)
        self._compare(scene)
        scene.at_start = scene.target.at_start
        if (scene.target.unstarted and scene.at_good is AtGood.FAILS_ALIKE) or (
            scene.at_start and scene.at_good is AtGood.UNTESTABLE
        ):
            scene.replayed = Replayed.CANNOT_START
            scene.gaps.append(f"test environment: {scene.target}")

    def _options(self, failing: Sequence[Run]) -> list[Failure]:
        """Return the failures: of every run first, and those the logs speak of before others."""
        counts: dict[Failure, int] = {}
        for run in failing:
            for item in run.observed.failures:
                alike = next((known for known in counts if known.same(item)), item)
                counts[alike] = counts.get(alike, 0) + 1
        order = list(counts)
        return sorted(
            order,
            key=lambda item: (
                -counts[item],
                item.exception not in self.exceptions,
                item.at_start,
                order.index(item),
            ),
        )[:TARGETS]

    def _pins(self, options: Sequence[Failure], words: str) -> tuple[str, ...]:
        files = self.bench.source.files(self.head)
        frames = [
            located.file
            for located in traces.resolve(suspects.of_output(words), files)
            if located.file
        ]
        argv = self.replays.command.argv
        found = [pins.of_failure(option, argv, files, frames) for option in options]
        return tuple(dict.fromkeys(path for paths in found for path in paths))

    def _choose(self, scene: Scene, options: Sequence[Failure]) -> None:
        """Take the first failure that the good revision does not show: it began since then."""
        scene.target = options[0]
        if self.good is not None and len(options) > 1:
            tree = self._proof(scene, self.good).tree(self.good)
            self.replays.at_least([tree], 1)
            for option in options:
                shown = reproduction.mark(self.replays.tally(tree)[0].observed, option)
                if shown == Mark.GOOD:
                    scene.target = option
                    break
        scene.others = tuple(item for item in options if item is not scene.target)

    def _how_often(self, scene: Scene) -> Replayed:
        marks = self._proof(scene, self.head).marks(scene.head)
        return Replayed.ALWAYS if set(marks) == {Mark.BAD} else Replayed.SOMETIMES

    def _proof(self, scene: Scene, good: str) -> Proof:
        if scene.target is None:
            raise errors.PermanentFailure("No failure was chosen that could be replayed.")
        return Proof(
            self.bench.source, self.replays, scene.target, good, self.head,
            scene.pinned, self.head, {},
        )  # fmt: skip

    def _compare(self, scene: Scene) -> None:
        """Settle what the same replay shows where all was well."""
        if self.good is not None:
            scene.good = Good(self.good, "named by the operator")
            scene.at_good = self._at(scene, self.good)
            if scene.at_good is AtGood.UNTESTABLE and scene.pinned:
                self._try_unpinned(scene, self.good)
            if scene.at_good is not AtGood.UNTESTABLE:
                self._was_test_changed(scene)
                return
        self._search(scene)

    def _at(self, scene: Scene, revision: str) -> AtGood:
        proof = self._proof(scene, revision)
        tree = proof.tree(revision)
        self.replays.at_least([tree], FEW)
        self._bound(self.replays.tally(tree))
        if scene.replayed is Replayed.SOMETIMES:
            self.replays.at_least(
                [tree], min(self.effort.cap, bisect.runs_needed(self._cautious(scene)))
            )
        marks = proof.marks(tree)
        shared = reproduction.joint(marks)
        if shared == Mark.GOOD:
            return AtGood.PASSES
        if shared == Mark.BAD:
            return AtGood.FAILS_ALIKE
        return AtGood.FAILS_SOMETIMES if Mark.BAD in marks else AtGood.UNTESTABLE

    def _cautious(self, scene: Scene) -> float:
        runs = len(self.replays.tally(scene.head))
        spread = math.sqrt(scene.rate * (1 - scene.rate) / (runs + 3))
        return max(0.05, scene.rate - spread)

    def _try_unpinned(self, scene: Scene, revision: str) -> None:
        """Let each revision run its own version of the test, if it has one."""
        if not self._has_test(scene, revision):
            return
        kept, scene.pinned = scene.pinned, ()
        scene.at_good = self._at(scene, revision)
        if scene.at_good is not AtGood.PASSES:
            scene.pinned, scene.at_good = kept, AtGood.UNTESTABLE
            return
        scene.gaps.append("today's test cannot run on older revisions: each ran its own version")

    def _has_test(self, scene: Scene, revision: str) -> bool:
        tests = [path for path in scene.pinned if pins.testlike(path)]
        return bool(tests) and set(tests[:1]) <= set(self.bench.source.files(revision))

    def _was_test_changed(self, scene: Scene) -> None:
        """See whether the good revision passes its own version of a test that fails today."""
        if scene.good is None or scene.at_good is not AtGood.FAILS_ALIKE or not scene.pinned:
            return
        own = self.bench.source.tree(scene.good.revision)
        same = self._proof(scene, scene.good.revision).tree(scene.good.revision) == own
        if same or not self._has_test(scene, scene.good.revision):
            return
        self.replays.at_least([own], 1)
        scene.test_changed = self.replays.tally(own)[0].observed.state is State.PASSED

    def _search(self, scene: Scene) -> None:
        options = goodrevision.candidates(
            self.bench.source, self.released, self.good, self.head, self.effort.reach
        )

        def test(revisions: Sequence[str]) -> list[str]:
            proof = self._proof(scene, revisions[0])
            trees = [proof.tree(revision) for revision in revisions]
            self.replays.at_least(trees, 1)
            for tree in trees:
                self._bound(self.replays.tally(tree))
            return [proof.mark_of(tree) for tree in trees]

        if scene.replayed is Replayed.SOMETIMES:
            options = options[-1:]  # each costs many runs: only the oldest is asked
        found, oldest_bad = goodrevision.nearest(options, test)
        if found is None and oldest_bad is None and scene.pinned and options:
            kept, scene.pinned = scene.pinned, ()
            found, _ = goodrevision.nearest(options, test)
            if found is None or not set(kept[:1]) <= set(self.bench.source.files(found.revision)):
                found, scene.pinned = None, kept
        chosen = found or oldest_bad
        if chosen is None:
            scene.at_good = scene.at_good if self.good else AtGood.UNKNOWN
            if options:
                scene.gaps.append("the test cannot run on any older revision that was tried")
            return
        how = chosen.how if found else "the oldest revision that was tried; it fails already"
        scene.good = Good(chosen.revision, how)
        scene.at_good = self._at(scene, chosen.revision)
        self._was_test_changed(scene)
