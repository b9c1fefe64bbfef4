"""The role hotfix: the smallest change that stops the bleeding, proved by replays.

Called by the engine with the words of a person in `case.traces`. What contains it is built in
memory, tried from the smallest on, and the first that holds is offered. It hunts no cause, writes
no test and touches no repository: that is for afterwards.
"""

from dataclasses import dataclass, field

from agents.builtin import caution, clues, diagnose, hunt, remedy, trying
from agents.builtin.containments import Candidate, Containments
from agents.builtin.reproduction import Mark
from agents.builtin.symptom import MORE_RUNS, RUNS, Shown, Symptom
from agents.builtin.verdict import Replayed
from agents.builtin.workbench import ENGINE, Workbench
from incidents import errors, reports
from incidents.reports import Check


@dataclass
class Work:
    """One hotfix while it is being made; `shown` once a replay shows the failure."""

    symptom: Symptom
    shown: Shown | None = None
    refused: list[str] = field(default_factory=list)

    @property
    def bench(self) -> Workbench:
        """The tools of this run."""
        return self.symptom.bench

    @property
    def head(self) -> str:
        """The broken revision, with the fixes that wait in the working tree."""
        return self.symptom.head

    def find(self) -> Shown | str:
        """Replay until the failure is shown; return that, or why it is not."""
        found = self.symptom.find()
        self.shown = found if isinstance(found, Shown) else None
        return found

    def first_that_holds(self, shown: Shown) -> tuple[Candidate, trying.Tried] | None:
        """Try the candidates, two at a time, and return the smallest that holds."""
        ways = Containments(self.symptom, shown, self.refused)
        return self._first(ways.candidates(), shown) or self._by_cause(ways, shown)

    def _by_cause(self, ways: Containments, shown: Shown) -> tuple[Candidate, trying.Tried] | None:
        """Hunt the commit in the time that is left: what it broke may lie far from the crash."""
        if self.bench.case.overlay:
            return None  # a diagnosis knows revisions, and this tree is none
        found = self._hunted(ways, shown)
        if not found:
            self.refused.append("revert: no commit could be shown to be the cause in the time")
        made = [candidate for commit in found for candidate in ways.without(commit)]
        return self._first(sorted(made, key=lambda item: item.size), shown)

    def _hunted(self, ways: Containments, shown: Shown) -> list[str]:
        if shown.scene.replayed is Replayed.ALWAYS:
            scores = {item.commit.sha: item.score for item in ways.ranked}
            return hunt.commits(self.symptom, shown.scene, scores)
        found = diagnose.diagnose(self.bench)  # one that comes and goes needs many runs of each
        return [found.culprit] if found.culprit else []

    def _first(
        self, waiting: list[Candidate], shown: Shown
    ) -> tuple[Candidate, trying.Tried] | None:
        for start in range(0, len(waiting), 2):
            pair = waiting[start : start + 2]
            trees = [trying.with_test(self.bench, shown.scene, self.head, one.tree) for one in pair]
            shown.scene.replays.at_least(trees, 1)
            for item in pair:
                tried = self.tried(item, shown)
                if tried is not None:
                    return item, tried
        return None

    def tried(self, item: Candidate, shown: Shown) -> trying.Tried | None:
        """Replay a candidate and run the suite; None, the reason noted, if it does not hold."""
        scene, said = shown.scene, f"{item.kind}: {item.words.title}"
        tree = trying.with_test(self.bench, scene, self.head, item.tree)
        if Mark.GOOD not in trying.marks(scene, tree, 1):
            self.refused.append(f"{said}: it fails with it too")
            return None
        runs = RUNS if scene.replayed is Replayed.ALWAYS else MORE_RUNS
        tried = trying.attempt(self.bench, scene, self.head, item.tree, runs)
        if tried.good:
            return tried
        more = f" ({'; '.join(tried.worse[:3])})" if tried.worse else ""
        self.refused.append(f"{said}: {tried.words}{more}")
        return None


def play(bench: Workbench) -> reports.Hotfix:
    """Contain what the case speaks of; with a patch in the case, see whether it still holds."""
    if bench.case.patch is not None:
        return check(bench, bench.case.patch)
    return contain(begun(bench))


def begun(bench: Workbench) -> Work:
    """Return the work on what the case speaks of, with nothing done yet."""
    head = bench.repository.resolve(bench.case.revision)
    if bench.case.overlay:
        tree = bench.repository.tree_with(head, dict(bench.case.overlay))
        head = bench.repository.commit(tree, [head], "fixes that wait in the working tree")
    return Work(Symptom(bench, head, clues.read("\n".join(bench.case.traces))))


def contain(work: Work) -> reports.Hotfix:
    """Return what contains the failure, or why nothing does."""
    try:
        shown = work.find()
        if isinstance(shown, str):
            return nothing(work, f"Nothing was changed: {shown}.")
        held = work.first_that_holds(shown)
    except errors.TimeSpent as spent:
        work.symptom.gaps.append(f"time: {spent.message}")
        return nothing(work, "Nothing was changed: the time ran out before a fix was proved.")
    if held is None:
        return nothing(
            work,
            "Nothing was changed: the failure is reproduced, but nothing small stops it safely.",
        )
    return told(work, shown, *held)


def check(bench: Workbench, patch: reports.Patch) -> reports.Hotfix:
    """Replay a contained failure again, without and with its patch, and run the suite on both."""
    work = begun(bench)
    new = caution.applied(bench, work.head, patch.diff)
    if new is None:
        return nothing(work, "The fix does not apply any more: the files have changed since.")
    shown = work.find()
    if isinstance(shown, str):
        return nothing(work, f"It cannot be checked again: {shown}.")
    tried = trying.attempt(bench, shown.scene, work.head, new, RUNS)
    if not tried.good:
        return nothing(work, f"The fix does not hold: {tried.words}.")
    return _report(work, shown, patch, tried, "It still holds: the failure is gone with the fix.")


def told(work: Work, shown: Shown, made: Candidate, tried: trying.Tried) -> reports.Hotfix:
    """Return the report of a candidate that was tried and holds."""
    bench, repository = work.bench, work.bench.repository
    diff = repository.diff(work.head, made.tree)
    checks = caution.checks(bench, work.head, made.tree, diff)
    if checks[0].passed is not True:
        return nothing(work, f"Nothing was changed: the diff does not apply ({made.words.title}).")
    digest = remedy.digest_of(diff)
    patch = reports.Patch(
        engine=ENGINE,
        remedy=made.kind,
        title=made.words.title,
        diff=diff,
        digest=digest,
        base=bench.repository.resolve(bench.case.revision),
        tree=made.tree,
        paths=tuple(change.path for change in repository.diff_trees(work.head, made.tree)),
        culprit=made.culprit,
        containment=True,
        why_minimal=made.words.why,
        watch=made.words.watch,
        checklist=(
            Check(text="the failure is gone", passed=tried.gone, detail=tried.words),
            Check(text="the service's tests are no worse", passed=tried.no_worse),
            *checks,
        ),
        risk=made.words.risk,
        rollback=f"git apply -R halon-{digest[:12]}.patch",
        untouched=() if made.culprit else ("the cause of the failure",),
        tried=tuple(work.refused),
        gaps=tuple(work.symptom.gaps),
        seconds=round(bench.deadline.spent, 3),
    )
    return _report(work, shown, patch, tried, f"Contained by a {made.kind}: {_what(made)}.")


def _what(made: Candidate) -> str:
    """Return a title without the word that the sentence around it says already."""
    title = made.words.title
    for word in ("containment: ", "Restore ", "Revert "):
        title = title.removeprefix(word)
    return title


def _report(
    work: Work, shown: Shown, patch: reports.Patch, tried: trying.Tried, summary: str
) -> reports.Hotfix:
    scene = shown.scene
    before = trying.marks(scene, scene.head, 1)
    after_tree = trying.with_test(work.bench, scene, work.head, patch.tree)
    after = trying.marks(scene, after_tree, 1)
    gaps = [*work.symptom.gaps]
    if tried.no_worse is None:
        gaps.append("no test command is configured: nothing but the failure itself was tested")
    return reports.Hotfix(
        engine=ENGINE,
        contained=True,
        summary=summary,
        failure=str(shown),
        command=str(scene.replays.command),
        before=f"fails in {before.count(Mark.BAD)} of {len(before)} runs",
        after=f"passes in {after.count(Mark.GOOD)} of {len(after)} runs",
        suite={True: "no worse than before", None: "not run", False: "worse"}[tried.no_worse],
        where=scene.replays.sandbox.name,
        patch=patch,
        tried=tuple(work.refused),
        follow_up=_follow_up(patch),
        gaps=tuple(dict.fromkeys(gaps)),
        seconds=round(work.bench.deadline.spent, 3),
    )


def _follow_up(patch: reports.Patch) -> str:
    if patch.culprit:
        return f"Bring {patch.culprit[:12]} back once it is mended, with a test that fails today."
    return f"Mend the cause, add a test, and take this {patch.remedy} out again."


def nothing(work: Work, summary: str) -> reports.Hotfix:
    """Return the report of a failure that was not contained."""
    shown = work.shown
    return reports.Hotfix(
        engine=ENGINE,
        contained=False,
        summary=summary,
        failure=str(shown) if shown else "",
        command=str(shown.scene.replays.command) if shown else "",
        before="reproduced" if shown else "",
        where=work.bench.sandbox.name,
        tried=tuple(work.refused),
        passing=tuple(dict.fromkeys(work.symptom.passing)),
        gaps=tuple(dict.fromkeys(work.symptom.gaps)),
        seconds=round(work.bench.deadline.spent, 3),
    )
