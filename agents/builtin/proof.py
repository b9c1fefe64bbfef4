"""Proof by reproduction: finds the commit with which the failure began, and takes it out and in.

Called by the diagnosis once the failure was seen to fail at the broken revision and to pass at the
good one. It runs the replay and reports what it saw as a `verdict.Trial`; it never decides a
verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from agents.builtin import bisect, reproduction
from agents.builtin.failures import Failure
from agents.builtin.reproduction import Mark, Replays
from agents.builtin.source import Source
from agents.builtin.verdict import Trial, Without
from incidents import errors

ROUNDS = 3  # interleaved runs of every tree of a deterministic proof
RANGE_LIMIT = 24  # commits of an untestable range that are tried one by one
BREAK_LIMIT = 6  # revisions tested between the suspect and the broken one
FLAKY_TESTS = 160
FLAKY_STRIDE = 2


@dataclass
class Found:
    """What the search ended with: one commit, or a range of which none can be singled out."""

    trial: Trial | None = None
    range: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    # What each tested commit showed, for the hypotheses.
    marks: dict[str, str] = field(default_factory=dict)


@dataclass
class Proof:
    """One failure, one good and one broken revision, and the replay between them."""

    source: Source
    replays: Replays
    target: Failure
    good: str
    head: str
    # Files of the test itself, which every revision gets as they are at `pins_from`.
    pins: tuple[str, ...]
    pins_from: str
    scores: dict[str, float]
    rounds: int = ROUNDS
    notes: list[str] = field(default_factory=list)

    def tree(self, revision: str) -> str:
        """Return the tree of a revision with the test's own files pinned."""
        return self.pinned(self.source.tree(revision))

    def pinned(self, tree: str) -> str:
        """Return a tree with the test's own files pinned."""
        return self.source.pinned(tree, self.pins_from, self.pins) if self.pins else tree

    def marks(self, tree: str) -> list[str]:
        """Return what every run of a tree said so far."""
        return [reproduction.mark(run.observed, self.target) for run in self.replays.tally(tree)]

    def flickered(self) -> bool:
        """Tell whether one and the same tree has failed and passed."""
        trees = {run.tree for run in self.replays.all_runs()}
        return any({Mark.BAD, Mark.GOOD} <= set(self.marks(tree)) for tree in trees)

    def mark_of(self, tree: str) -> str:
        """Return the shared mark of a tree's runs; mixed ones that fail even once are bad."""
        marks = self.marks(tree)
        return reproduction.joint(marks) or (Mark.BAD if Mark.BAD in marks else Mark.SKIP)

    # --- a failure that always fails -------------------------------------------------------------

    def search(self) -> Found:
        """Find and try the commit with which a deterministic failure began."""
        found = Found(notes=self.notes)
        chain = self.source.chain(self.good, self.head)
        if not chain:
            found.gaps.append("There is no commit between the good and the broken revision.")
            return found
        low = self.good
        for _ in range(3):
            span_low, members, found.marks = self.narrow(low, chain)
            if len(members) == 1:
                found.trial = self._try(members[0], found)
            else:
                found.range = tuple(members)
                found.trial = self._try_range(span_low, members, found)
            again = self._later_good(found, chain)
            if again is None:
                return found
            low = again
            chain = chain[chain.index(again) + 1 :]
        return found

    def narrow(self, low: str, chain: Sequence[str]) -> tuple[str, list[str], dict[str, str]]:
        """Return the newest good revision, the commits that may be first-bad, and all marks."""
        n = len(chain)
        prior = bisect.priors([self._score(commit) for commit in chain])
        marks: dict[int, str] = {n - 1: Mark.BAD}
        while True:
            bad = {i for i, mark in marks.items() if mark == Mark.BAD}
            good = {i for i, mark in marks.items() if mark == Mark.GOOD}
            span = bisect.narrow(n, bad, good)
            points = bisect.next_points(span, prior, set(marks), reproduction.PARALLEL)
            if not points:
                break
            trees = {i: self.tree(chain[i]) for i in points}
            self.replays.at_least([trees[i] for i in points], 1)
            for i in points:
                marks[i] = self.mark_of(trees[i])
        base = low if span.low < 0 else chain[span.low]
        members = [chain[i] for i in span.members]
        named = {chain[i]: mark for i, mark in marks.items()}
        if len(members) == 1:
            inside, more = self._inside_merge(members[0])
            named |= more
            if inside:
                return inside[0], inside[1], named
        return base, members, named

    def _score(self, commit: str) -> float:
        """Return a commit's score; a merge has that of the best commit that it brings in."""
        score = self.scores.get(commit, 0.0)
        if len(self.source.parents(commit)) > 1:
            brought = [self.scores.get(item, 0.0) for item in self.source.brought_by(commit)]
            score = max([score, *brought])
        return score

    def _inside_merge(self, merge: str) -> tuple[tuple[str, list[str]] | None, dict[str, str]]:
        """Search the merged branch, if the failure is in it already and not at its start."""
        parents = self.source.parents(merge)
        if len(parents) < 2:
            return None, {}
        base = self.source.merge_base(parents[0], parents[1])
        if base is None:
            return None, {}
        tip, start = self.tree(parents[1]), self.tree(base)
        self.replays.at_least([tip, start], 1)
        if self.mark_of(tip) != Mark.BAD or self.mark_of(start) != Mark.GOOD:
            return None, {}
        low, members, marks = self.narrow(base, self.source.chain(base, parents[1]))
        return (low, members), marks

    def one(self, commit: str) -> Trial:
        """Try a commit that somebody names, without a search."""
        found = Found(notes=self.notes)
        tried = found.trial = self._try(commit, found)
        self._later_good(found, self.source.chain(self.good, self.head))
        return found.trial or tried

    def _try(self, commit: str, found: Found) -> Trial:
        """Replay the suspect, its parents, and the broken revision without it, interleaved."""
        parents = [self.tree(parent) for parent in self.source.parents(commit)]
        there, head = self.tree(commit), self.tree(self.head)
        without = self._without(commit, found)
        trees = [there, *parents, head, *([without] if without else [])]
        self.replays.at_least(trees, self.rounds)
        trial = Trial(
            commit=commit,
            at_suspect_fails=self._says(there, Mark.BAD, Mark.GOOD),
            parents_pass=self._all_pass(parents),
            without=self._taken_out(without),
            unbroken=True,
            enough_runs=self._steady([there, head], Mark.BAD)
            and all(len(self.marks(tree)) >= self.rounds for tree in trees),
        )
        if trial.parents_pass is None and parents:
            # A parent that cannot be tested: the good revision plus exactly this commit may be.
            trial = replace(trial, alone_fails=self._alone(self.good, commit))
        return trial

    def _without(self, commit: str, found: Found) -> str | None:
        tree, conflicts = self.source.without(self.head, commit)
        if tree is None:
            names = ", ".join(conflicts[:5]) or "the first commit"
            found.notes.append(f"{commit[:12]} cannot be taken out by itself any more ({names}).")
            return None
        return self.pinned(tree)

    def _taken_out(self, tree: str | None) -> Without:
        if tree is None:
            return Without.INSEPARABLE
        shared = reproduction.joint(self.marks(tree))
        if shared == Mark.GOOD:
            return Without.GONE
        return Without.STILL_THERE if Mark.BAD in self.marks(tree) else Without.INSEPARABLE

    def _says(self, tree: str, yes: str, no: str) -> bool | None:
        shared = reproduction.joint(self.marks(tree))
        return {yes: True, no: False}.get(shared or "")

    def _all_pass(self, trees: Sequence[str]) -> bool | None:
        if not trees:
            return None
        answers = [self._says(tree, Mark.GOOD, Mark.BAD) for tree in trees]
        if all(answer is True for answer in answers):
            return True
        return False if False in answers else None

    def _steady(self, trees: Sequence[str], wanted: str) -> bool:
        return all(reproduction.joint(self.marks(tree)) == wanted for tree in trees)

    def _alone(self, low: str, commit: str) -> bool | None:
        tree = self.source.with_only(low, commit)
        if tree is None:
            return None
        tree = self.pinned(tree)
        self.replays.at_least([tree], self.rounds)
        return self._says(tree, Mark.BAD, Mark.GOOD)

    def _try_range(self, low: str, members: Sequence[str], found: Found) -> Trial | None:
        """Take every commit of an untestable range out of the head, and add it to the good one."""
        commits = self._flattened(members)
        if len(commits) > RANGE_LIMIT:
            found.gaps.append(
                f"{len(commits)} commits in a row cannot be tested; the cause is one of them."
            )
            return None
        commits.sort(key=lambda commit: -self.scores.get(commit, 0.0))
        taken: dict[str, str] = {}
        for commit in commits:
            tree = self._without(commit, found)
            if tree is not None:
                taken[commit] = tree
        self.replays.at_least(list(taken.values()), 1)
        gone = [commit for commit, tree in taken.items() if self.mark_of(tree) == Mark.GOOD]
        trials = [self._try_alone(low, commit, taken[commit]) for commit in gone[:4]]
        both = [trial for trial in trials if trial.alone_fails is True]
        found.notes.append(
            f"{len(members)} commits in a row cannot be tested in place; each was tried by itself."
        )
        best = both or trials
        if not best:
            return None
        return replace(best[0], only_one=len(best) == 1)

    def _flattened(self, members: Sequence[str]) -> list[str]:
        commits: list[str] = []
        for member in members:
            commits.append(member)
            if len(self.source.parents(member)) > 1:
                commits += self.source.brought_by(member)
        return list(dict.fromkeys(commits))

    def _try_alone(self, low: str, commit: str, without: str) -> Trial:
        head, good = self.tree(self.head), self.tree(low)
        alone = self.source.with_only(low, commit)
        alone = self.pinned(alone) if alone else None
        trees = [head, good, without, *([alone] if alone else [])]
        self.replays.at_least(trees, self.rounds)
        here = self.tree(commit)
        parents = [self.tree(parent) for parent in self.source.parents(commit)]
        return Trial(
            commit=commit,
            at_suspect_fails=self._says(here, Mark.BAD, Mark.GOOD),
            parents_pass=self._all_pass(parents),
            without=self._taken_out(without),
            alone_fails=self._says(alone, Mark.BAD, Mark.GOOD) if alone else None,
            enough_runs=self._steady([head], Mark.BAD) and self._steady([good], Mark.GOOD),
        )

    def _later_good(self, found: Found, chain: Sequence[str]) -> str | None:
        """Return a good revision after the suspect: then the failure went away and came back.

        Tested are the newest commits that touch the suspect's files, or all when they are few.
        """
        trial = found.trial
        if trial is None or trial.commit not in chain:
            return None
        after = list(chain[chain.index(trial.commit) + 1 : -1])
        if len(after) > BREAK_LIMIT:
            paths = set(self.source.paths(trial.commit))
            touching = [item for item in after if paths.intersection(self.source.paths(item))]
            after = (touching or after)[-BREAK_LIMIT:]
        trees = {commit: self.tree(commit) for commit in after}
        try:
            self.replays.at_least(list(trees.values()), 1)
        except errors.TimeSpent:
            found.gaps.append("There was no time to see whether the failure lasted since then.")
            return None
        good = [commit for commit in after if self.mark_of(trees[commit]) == Mark.GOOD]
        if not good:
            return None
        found.trial = replace(trial, unbroken=False)
        found.notes.append(f"The failure was gone at {good[-1][:12]} and came back later.")
        return good[-1]

    # --- a failure that flickers -----------------------------------------------------------------

    def search_flaky(self, rate: float) -> Found:
        """Find where a flickering failure began; `rate` is how often the head fails."""
        found = Found(notes=self.notes)
        chain = self.source.chain(self.good, self.head)
        culprit = self._pin(chain, rate, found) if chain else None
        while culprit is not None and (inside := self._branch_that_flickers(culprit)):
            culprit = self._pin(inside, rate, found)
        if culprit is not None:
            found.trial = self._try_flaky(culprit, found)
        return found

    def _pin(self, chain: Sequence[str], rate: float, found: Found) -> str | None:
        """Return the commit of a chain with which the flickering began, None if none stands out."""
        prior = bisect.priors([self._score(commit) for commit in chain])
        head = self.tree(self.head)
        skipped: set[int] = set()
        trees = [self.tree(commit) for commit in chain]
        distribution = prior
        for _ in range(FLAKY_TESTS // FLAKY_STRIDE):
            outcomes = self._outcomes(trees, skipped)
            rate = self._rate(head)
            distribution = bisect.posterior(
                prior, outcomes, fails_bad=rate, fails_good=bisect.CLAMP[0]
            )
            point = bisect.next_flaky(distribution, skipped)
            if point is None or max(distribution) >= bisect.SURE:
                break
            self.replays.each([trees[point]] * FLAKY_STRIDE)
            if not {Mark.BAD, Mark.GOOD}.intersection(self.marks(trees[point])):
                skipped.add(point)
        best = max(range(len(chain)), key=lambda i: distribution[i])
        if distribution[best] >= bisect.SURE:
            return chain[best]
        top = sorted(range(len(chain)), key=lambda i: -distribution[i])[:3]
        odds = ", ".join(f"{chain[i][:12]} ({distribution[i]:.0%})" for i in top)
        found.gaps.append(f"The flickering failure could not be pinned to one commit: {odds}.")
        return None

    def _branch_that_flickers(self, merge: str) -> list[str]:
        """Return the chain of a merged branch if its tip fails at times, else nothing."""
        parents = self.source.parents(merge)
        base = self.source.merge_base(parents[0], parents[1]) if len(parents) > 1 else None
        if base is None:
            return []
        tip = self.tree(parents[1])
        self.replays.at_least([tip], bisect.runs_needed(self._rate(self.tree(self.head))))
        return self.source.chain(base, parents[1]) if Mark.BAD in self.marks(tip) else []

    def _outcomes(self, trees: Sequence[str], skipped: set[int]) -> dict[int, tuple[int, int]]:
        outcomes = {}
        for i, tree in enumerate(trees):
            marks = self.marks(tree)
            if marks and i not in skipped:
                outcomes[i] = (marks.count(Mark.BAD), marks.count(Mark.GOOD))
        return outcomes

    def _rate(self, tree: str) -> float:
        marks = self.marks(tree)
        return bisect.failure_rate(marks.count(Mark.BAD), len(marks))

    def _try_flaky(self, commit: str, found: Found) -> Trial:
        """Convict only when the passes without the suspect are no chance, at the rate with it."""
        head, there = self.tree(self.head), self.tree(commit)
        parents = [self.tree(parent) for parent in self.source.parents(commit)]
        without = self._without(commit, found)
        clean = [*parents, *([without] if without else [])]
        # A cautious rate: the mean shrunk by one standard deviation of its posterior.
        marks = self.marks(head)
        mean, n = self._rate(head), len(marks)
        cautious = max(0.02, mean - (mean * (1 - mean) / (n + 3)) ** 0.5)
        times = bisect.runs_needed(cautious)
        self.replays.at_least([there, *clean, self.tree(self.good)], times)
        failed_there = self.marks(there).count(Mark.BAD)
        return Trial(
            commit=commit,
            at_suspect_fails=failed_there >= 2 or (failed_there == 1 and times <= 3),
            parents_pass=self._all_pass(parents),
            without=self._taken_out(without),
            enough_runs=self._steady([self.tree(self.good)], Mark.GOOD),
        )
