"""Builds the ways to contain a failure in memory: settings, a revert, one file restored, a guard,
a catch.

Called by the hotfix role, which tries them from the smallest on. Nothing is run and nothing is
written here; what cannot be built is noted with its reason.
"""

import functools
from dataclasses import dataclass, field, replace

from agents.builtin import catches, caution, guards, pins, suspects, wider
from agents.builtin.symptom import Shown, Symptom
from agents.builtin.workbench import Workbench
from agents.gitcalls import GitFailed
from incidents.reports import RemedyKind

WINDOW = 60  # commits that are asked whether they wrote the crashing lines
SUSPECTS = 4
FAR = 0.5  # of the best suspect's score
FRAMES = 3
MOST = 10
# Of two that change as many lines, what ran before goes first.
ORDER = (
    RemedyKind.CONFIG,
    RemedyKind.REVERT,
    RemedyKind.RESTORE,
    RemedyKind.GUARD,
    RemedyKind.CATCH,
)


@dataclass(frozen=True)
class Words:
    """What is said of a candidate."""

    title: str
    why: str
    risk: str
    watch: str


@dataclass(frozen=True)
class Candidate:
    """One way to contain: its tree, how many lines it changes, and the words that go with it."""

    kind: RemedyKind
    tree: str
    size: int
    words: Words
    culprit: str | None = None
    unlikely: bool = False  # a commit that others outdo by far as a suspect


@dataclass
class Containments:
    """The ways to contain one symptom, and why others could not be built."""

    symptom: Symptom
    shown: Shown
    refused: list[str] = field(default_factory=list)

    @property
    def bench(self) -> Workbench:
        """The tools of this run."""
        return self.symptom.bench

    @property
    def head(self) -> str:
        """The broken revision."""
        return self.symptom.head

    def candidates(self) -> list[Candidate]:
        """Return the ways to contain it, smallest first; what cannot be built is noted."""
        made = [*self._taken_back(), *self._guarded(), *self._caught()]
        seen: dict[str, Candidate] = {}
        for item in made:
            if item.size and item.tree not in seen:
                seen[item.tree] = item
        return sorted(
            seen.values(), key=lambda item: (item.unlikely, item.size, ORDER.index(item.kind))
        )[:MOST]

    @functools.cached_property
    def ranked(self) -> list[suspects.Scored]:
        """The commits that may be the cause, as the crashing lines speak for them."""
        source = self.bench.source
        window = source.window(None, self.head, WINDOW)
        floor = window[0].sha if len(window) > 1 else None
        words = suspects.words_of(self.shown.crash.message)
        return suspects.rank(
            source, head=self.head, good=floor, frames=self.shown.located, words=words
        )

    def _sized(
        self, kind: RemedyKind, tree: str, words: Words, culprit: str | None = None
    ) -> Candidate:
        changed = [item.path for item in self.bench.repository.diff_trees(self.head, tree)]
        product = [path for path in changed if not pins.testlike(path)]
        diff = self.bench.repository.diff(self.head, tree, product, context=0) if product else ""
        rows = [row for row in diff.splitlines() if row[:1] in "+-"]
        size = sum(not row.startswith(("+++", "---")) for row in rows)
        return Candidate(kind, tree, size, words, culprit)

    @property
    def name(self) -> str:
        """The incident's name in code and log."""
        return self.bench.case.incident or "hotfix"

    def _guarded(self) -> list[Candidate]:
        scene = replace(self.shown.scene, target=self.shown.crash)
        built = guards.build(self.bench, scene, self.head, self.name)
        if isinstance(built, str):
            self.refused.append(f"guard: {built}")
            return []
        return [self._contained(RemedyKind.GUARD, built)]

    def _caught(self) -> list[Candidate]:
        """Catch the error where it arises, else one or two calls further out."""
        found: list[Candidate] = []
        if not self.shown.located:
            self.refused.append("catch: the crashing line lies in no tracked file of the service")
            return []
        for item in self.shown.located[:FRAMES]:
            path = item.file or ""
            content = self.bench.repository.show(self.head, path)
            if content is None or not path.endswith(".py") or self._is_protected(path):
                self.refused.append(f"catch: {path} is not to be changed so")
                continue
            error = self.shown.crash.exception
            built = catches.build(content, path, item.frame.line, error, self.name)
            if isinstance(built, str):
                self.refused.append(f"catch: {built}")
                continue
            found.append(self._contained(RemedyKind.CATCH, built))
        return found

    def _is_protected(self, path: str) -> bool:
        return guards.protected(path, self.bench.case.protected)

    def _contained(self, kind: RemedyKind, built: guards.Guard) -> Candidate:
        tree = self.bench.repository.tree_with(self.head, {built.path: built.content})
        return self._sized(
            kind,
            tree,
            Words(
                title=f"containment: {built.what} in {built.path}:{built.line}",
                why="It stops the error at the line where it happens; the cause stays.",
                risk="medium: what crashed now goes on with nothing in that place",
                watch=f"watch for {built.log_line!r} in the log: each is a contained request",
            ),
        )

    def _taken_back(self) -> list[Candidate]:
        """Take back the latest changes of the crashing lines: settings, one file, or the whole."""
        found: list[Candidate] = []
        for item in self.ranked[:SUSPECTS]:
            far = not item.on_line and item.score < FAR * self.ranked[0].score
            found += [replace(one, unlikely=far) for one in self.without(item.commit.sha)]
        if not found:
            self.refused.append("revert: no recent change of the crashing lines can be taken back")
        return found

    def without(self, commit: str) -> list[Candidate]:
        """Return the ways to take one commit back: the whole, its settings, or one file of it."""
        source, repository = self.bench.source, self.bench.repository
        change = source.commit(commit)
        said = f"{commit[:12]} ({change.subject[:60]})"
        if caution.needs_a_human(change.paths):
            self.refused.append(f"revert: {said} changes data, schema or dependencies")
            return []
        found: list[Candidate] = []
        if not change.parents:
            self.refused.append(f"revert: {said} is the first commit of its history")
            return []
        tree, conflicts = source.without(self.head, commit)
        if tree is None:
            why = f"later commits changed the same lines ({', '.join(conflicts[:3])})"
            self.refused.append(f"revert: {said}: {why}")
            found += self._with_more(commit)
        else:
            title = f"Revert {commit[:12]}: {change.subject[:80]}"
            told = self._old(title, "It is exactly that one change taken back.")
            kept = self._with_its_test(tree)
            found.append(self._sized(RemedyKind.REVERT, kept, told, commit))
        for kind, paths in self._parts(change.paths):
            try:
                diff = repository.diff(commit, change.parents[0], paths)
                part = repository.apply(self.head, diff) if diff else None
            except GitFailed:
                continue
            if part is not None:
                title = (
                    f"Restore {', '.join(paths)} as before {commit[:12]} ({change.subject[:60]})"
                )
                only = "Only this part of that change is taken back; the rest stays."
                found.append(self._sized(kind, part, self._old(title, only), commit))
        return found

    def _with_more(self, commit: str) -> list[Candidate]:
        """Return the ways to take a commit back with what was built on the same lines."""
        found: list[Candidate] = []
        subject = self.bench.source.commit(commit).subject[:60]
        together = wider.with_dependents(self.bench, self.head, commit)
        if isinstance(together, wider.Taken):
            names = ", ".join(sha[:12] for sha in together.along)
            title = f"Revert {commit[:12]} ({subject}) and {names}, built on it"
            tree = self._with_its_test(together.tree)
            found += self._more(RemedyKind.REVERT, tree, title, commit)
        files = wider.files_before(self.bench, self.head, commit)
        if isinstance(files, wider.Taken):
            title = f"Restore {', '.join(files.along)[:120]} as before {commit[:12]} ({subject})"
            found += self._more(RemedyKind.RESTORE, self._with_tests(files.tree), title, commit)
        return found

    def _more(self, kind: RemedyKind, tree: str, title: str, commit: str) -> list[Candidate]:
        changed = [item.path for item in self.bench.repository.diff_trees(self.head, tree)]
        if caution.needs_a_human(changed):
            self.refused.append(f"{kind}: {title}: it changes data, schema or dependencies")
            return []
        told = self._old(title, "That change cannot be taken back without later ones.")
        risk = "medium: later changes of the same lines or files go with it; read the diff"
        return [self._sized(kind, tree, replace(told, risk=risk), commit)]

    def _old(self, title: str, why: str) -> Words:
        return Words(
            title=title,
            why=why,
            risk="low: these lines are what ran before; what the change brought is gone again",
            watch=f"the number of {self.shown.crash.exception or 'errors'} in the log must fall",
        )

    def _with_its_test(self, tree: str) -> str:
        """Return a reverted tree with the test that shows the failure as it is today.

        The other tests of the change go with it: they ask for what is taken back.
        """
        shows = self.shown.scene.pinned
        return self.bench.source.pinned(tree, self.head, shows) if shows else tree

    def _with_tests(self, tree: str) -> str:
        """Return a tree with today's tests: where files go back, no later test may be lost."""
        changed = {item.path for item in self.bench.repository.diff_trees(self.head, tree)}
        files = self.bench.source.files(self.head)
        tests = tuple(path for path in files if path in changed and pins.testlike(path))
        return self.bench.source.pinned(tree, self.head, tests) if tests else tree

    def _parts(self, paths: tuple[str, ...]) -> list[tuple[RemedyKind, list[str]]]:
        parts: list[tuple[RemedyKind, list[str]]] = []
        settings = [p for p in paths if suspects.CONFIG_FILE.search(p) and not pins.testlike(p)]
        if settings and len(settings) < len(paths):
            parts.append((RemedyKind.CONFIG, settings))
        code = list(dict.fromkeys(item.file for item in self.shown.located[:FRAMES] if item.file))
        for path in code:
            if path in paths and len(paths) > 1:
                parts.append((RemedyKind.RESTORE, [path]))
        return parts
