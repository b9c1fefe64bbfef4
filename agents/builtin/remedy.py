"""The remedies, in order: revert, config restore, revert by line, guard; the first that holds.

Called by the engine for the role patch-developer. Each is built in memory, replayed and run
against the suite before it is offered; nothing is written to the repository. What was tried before
is not offered again, and when nothing holds it says so.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agents.builtin import (
    caution,
    diagnose,
    guards,
    protected,
    regression,
    suspects,
    trying,
    weaving,
)
from agents.builtin.scene import Scene
from agents.builtin.trying import Tried
from agents.builtin.verdict import Replayed
from agents.builtin.workbench import ENGINE, Workbench
from agents.gitcalls import GitFailed
from incidents import errors, reports
from incidents.models import Verdict
from incidents.reports import Check, RemedyKind

# For one culprit there is one of these; of guards and edits there are many.
ONE_OF_A_KIND = frozenset({RemedyKind.REVERT, RemedyKind.CONFIG})


@dataclass(frozen=True)
class Draft:
    """A remedy before it was tried: its tree, and the words that go with it."""

    kind: RemedyKind
    tree: str
    title: str
    why_minimal: str
    risk: str
    watch: str
    untouched: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """A remedy that could not be built, with the reason."""

    kind: RemedyKind
    why: str


@dataclass
class Work:
    """What the remedies are built from."""

    bench: Workbench
    diagnosis: reports.Diagnosis
    scene: Scene
    head: str

    @property
    def incident(self) -> str:
        """The incident's name in code and commit."""
        return self.bench.case.incident or (self.diagnosis.fingerprint or "incident")[:12]


def patch(bench: Workbench) -> reports.Patch | reports.NoPatch:
    """Return the first remedy that holds, or NoPatch with why each was refused."""
    diagnosis = bench.case.diagnosis or diagnose.diagnose(bench)
    refused: list[str] = []
    try:
        scene = diagnose.scene_of(bench)
        reason = no_ground(diagnosis, scene)
        if reason or scene is None:
            return _none(bench, (), reason)
        work = Work(bench, diagnosis, scene, bench.repository.resolve(diagnosis.revision))
        for draft in _drafts(work):
            if isinstance(draft, Refused):
                refused.append(f"{draft.kind}: {draft.why}")
                continue
            made = make(work, draft, tuple(refused))
            if isinstance(made, reports.Patch):
                return made
            refused.append(f"{draft.kind}: {made}")
    except errors.TimeSpent as spent:
        refused.append(f"time: {spent.message}")
    return _none(bench, tuple(refused), "No remedy held: each was refused for the reason given.")


def no_ground(diagnosis: reports.Diagnosis, scene: Scene | None) -> str:
    """Return why no patch could be shown to mend anything; empty where one could."""
    if diagnosis.verdict is Verdict.NO_CODE_CAUSE:
        return "No commit is the cause, so there is nothing in the code to undo."
    if scene is None or scene.target is None or scene.replayed is Replayed.CANNOT_START:
        return "The failure is not reproduced, so no patch could be shown to mend it."
    return ""


def _none(bench: Workbench, tried: tuple[str, ...], reason: str) -> reports.NoPatch:
    return reports.NoPatch(
        engine=ENGINE,
        tried=tried,
        reason=reason,
        gaps=() if bench.case.test else ("no test command is configured",),
        seconds=round(bench.deadline.spent, 3),
    )


def _drafts(work: Work) -> Iterator[Draft | Refused]:
    builders: tuple[Callable[[Work], Iterator[Draft | Refused]], ...] = (
        _revert,
        _config,
        _by_line,
        _guard,
    )
    for build in builders:
        yield from build(work)


def _revert(work: Work) -> Iterator[Draft | Refused]:
    culprit = work.diagnosis.culprit
    if culprit is None:
        yield Refused(RemedyKind.REVERT, "no commit was convicted")
        return
    source = work.bench.source
    tree, conflicts = source.without(work.head, culprit)
    if tree is None:
        yield Refused(
            RemedyKind.REVERT, f"later commits changed the same lines ({', '.join(conflicts)})"
        )
        return
    commit = source.commit(culprit)
    words = {
        "kind": RemedyKind.REVERT,
        "title": f"Revert {culprit[:12]}: {commit.subject[:80]}",
        "watch": watched(work),
        "risk": "low: these lines are what ran before; what the change brought is gone again",
        "untouched": _untouched(work, culprit),
    }
    lost = set(work.scene.pinned) - set(source.files(tree))
    if lost:
        kept = source.pinned(tree, work.head, work.scene.pinned)
        yield Draft(
            tree=kept,
            why_minimal="It is exactly that one change taken back; its test stays.",
            **words,  # type: ignore[arg-type]
        )
    yield Draft(
        tree=tree,
        why_minimal="It is exactly that one change taken back, and nothing else.",
        **words,  # type: ignore[arg-type]
    )


def _by_line(work: Work) -> Iterator[Draft | Refused]:
    """Take the culprit's lines back one by one, where git finds a conflict."""
    source, culprit = work.bench.source, work.diagnosis.culprit
    if culprit is None or source.without(work.head, culprit)[0] is not None:
        return
    made = weaving.files(source, work.head, culprit)
    if not made:
        yield Refused(RemedyKind.REVERT, "its lines cannot be told from later ones")
        return
    tree = work.bench.repository.tree_with(work.head, made)
    # With today's test first: it may hold what was learnt since.
    for one in dict.fromkeys((source.pinned(tree, work.head, work.scene.pinned), tree)):
        yield Draft(
            kind=RemedyKind.REVERT,
            tree=one,
            title=f"Revert {culprit[:12]} line by line: {source.commit(culprit).subject[:80]}",
            why_minimal="Only the lines of that one change go back, with later edits of the same.",
            watch=watched(work),
            risk="medium: later edits of these very lines go with them",
            untouched=_untouched(work, culprit),
        )


def _config(work: Work) -> Iterator[Draft | Refused]:
    culprit = work.diagnosis.culprit
    if culprit is None:
        yield Refused(RemedyKind.CONFIG, "no commit was convicted")
        return
    source, repository = work.bench.source, work.bench.repository
    commit = source.commit(culprit)
    paths = [path for path in commit.paths if suspects.CONFIG_FILE.search(path)]
    if not paths or not commit.parents:
        yield Refused(RemedyKind.CONFIG, "the change touches no settings")
        return
    try:
        tree = repository.apply(work.head, repository.diff(culprit, commit.parents[0], paths))
    except GitFailed:
        yield Refused(RemedyKind.CONFIG, "the settings were changed again since then")
        return
    yield Draft(
        kind=RemedyKind.CONFIG,
        tree=tree,
        title=f"Restore {', '.join(paths)} as before {culprit[:12]}",
        why_minimal="Only the settings of that change are taken back; its code stays.",
        watch=watched(work),
        risk="low: values that ran before; code that came with the new ones must bear the old ones",
        untouched=tuple(
            f"{path} (code of the same change)" for path in commit.paths if path not in paths
        ),
    )


def _guard(work: Work) -> Iterator[Draft | Refused]:
    built = guards.build(work.bench, work.scene, work.head, work.incident)
    if isinstance(built, str):
        yield Refused(RemedyKind.GUARD, built)
        return
    yield Draft(
        kind=RemedyKind.GUARD,
        tree=work.bench.repository.tree_with(work.head, {built.path: built.content}),
        title=f"containment: {built.what} in {built.path}:{built.line}",
        why_minimal="It stops the crash at the line where it happens; the cause stays in place.",
        watch=f"the ERROR line {built.log_line!r}: each is a request that was contained",
        risk="medium: requests that crashed now go on with nothing in that place",
        untouched=("the cause of the failure",),
    )


def make(work: Work, draft: Draft, refused: tuple[str, ...]) -> reports.Patch | str:
    """Try a draft; return the patch, or the reason for which it is refused."""
    before = _tried_before(work, draft)
    if before:
        return before
    runs = trying.enough(work.scene)
    shown = trying.attempt(work.bench, work.scene, work.head, draft.tree, runs)
    if not shown.good:
        more = f" ({'; '.join(shown.worse[:3])})" if shown.worse else ""
        return shown.words + more
    tested = regression.make(work.bench, work.scene, work.head, draft.tree, work.incident)
    return _patch(work, draft, shown, tested, refused)


def _tried_before(work: Work, draft: Draft) -> str:
    digest = digest_of(work.bench.repository.diff(work.head, draft.tree))
    for item in work.bench.case.tried:
        alike = item.remedy is draft.kind and item.culprit == work.diagnosis.culprit
        if item.digest == digest or (alike and draft.kind in ONE_OF_A_KIND):
            return f"it was tried before: {item.outcome}"
    return ""


def _patch(
    work: Work, draft: Draft, tried: Tried, tested: regression.Made, refused: tuple[str, ...]
) -> reports.Patch | str:
    repository = work.bench.repository
    tree = tested.tree or draft.tree
    diff = repository.diff(work.head, tree)
    if not diff:
        return "it changes nothing"
    checks = caution.checks(work.bench, work.head, tree, diff)
    if checks[0].passed is not True:
        return f"its diff does not apply: {checks[0].detail}"
    paths = tuple(change.path for change in repository.diff_trees(work.head, tree))
    migration = caution.delicate(paths, diff)
    case = work.bench.case
    commands = [one.argv for one in (case.test, case.reproduce) if one]
    guarded = protected.of(repository, work.head, tree, draft.kind, case.protected, commands)
    return reports.Patch(
        engine=ENGINE,
        remedy=draft.kind,
        title=draft.title,
        diff=diff,
        digest=digest_of(diff),
        base=work.head,
        tree=tree,
        paths=paths,
        culprit=work.diagnosis.culprit,
        containment=draft.kind is RemedyKind.GUARD,
        why_minimal=draft.why_minimal,
        regression_test=tested.test,
        watch=draft.watch,
        checklist=(
            Check(text="the failure is gone", passed=tried.gone, detail=tried.words),
            Check(text="the service's tests are no worse", passed=tried.no_worse),
            Check(text="a test fails before and passes after", passed=tested.test is not None),
            *checks,
        ),
        risk=("high, needs a human: " if migration or guarded else "") + draft.risk,
        rollback=f"git apply -R halon-{digest_of(diff)[:12]}.patch",
        untouched=draft.untouched,
        alternatives=_alternatives(work, draft),
        tried=refused,
        migration=bool(migration),
        protected=guarded,
        gaps=tested.gaps
        + tuple(
            f"{what} changes data, schema or dependencies: reverting it needs a human"
            for what in migration
        ),
        seconds=round(work.bench.deadline.spent, 3),
    )


def digest_of(diff: str) -> str:
    """Return the SHA-256 of a diff, hex."""
    return hashlib.sha256(diff.encode("utf-8", "surrogateescape")).hexdigest()


def watched(work: Work) -> str:
    """Return the log line or error whose count shows that the patch holds."""
    name = work.diagnosis.exception or (work.scene.target.exception if work.scene.target else "")
    return f"the number of {name} in the error log: it must fall to its level before the onset"


def _alternatives(work: Work, draft: Draft) -> tuple[str, ...]:
    lines = []
    if work.diagnosis.good_revision:
        lines.append(
            f"return to {work.diagnosis.good_revision[:12]}: takes back every later change too"
        )
    if draft.kind is not RemedyKind.GUARD:
        lines.append("a guard at the crashing line: keeps the change, contains the error only")
    return tuple(lines)


def _untouched(work: Work, culprit: str) -> tuple[str, ...]:
    source = work.bench.source
    paths = set(source.paths(culprit))
    later = [
        commit
        for commit in source.between(culprit, work.head)
        if paths.intersection(commit.paths) and not commit.is_merge
    ]
    return tuple(
        f"{item.sha[:12]} {item.subject[:80]} (later change of the same files)"
        for item in later[:5]
    )
