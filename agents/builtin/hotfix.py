"""The role hotfix: the smallest change that stops the bleeding, proved by replays.

Called by the engine with the words of a person in `case.traces`. What contains it is built in
memory, tried from the smallest on, and the first that holds is offered. It hunts no cause, writes
no test and touches no repository: that is for afterwards.
"""

from dataclasses import dataclass, field

from agents.builtin import caution, clues, diagnose, hunt, remedy, trying
from agents.builtin.containments import Candidate, Containments
from agents.builtin.reproduction import Mark
from agents.builtin.scene import Scene
from agents.builtin.symptom import MORE_RUNS, RUNS, Symptom
from agents.builtin.verdict import Replayed
from agents.builtin.workbench import ENGINE, Workbench
from incidents import errors, reports
from incidents.reports import Check


@dataclass
class Work:
    """One hotfix while it is being made."""

    symptom: Symptom
    refused: list[str] = field(default_factory=list)

    @property
    def bench(self) -> Workbench:
        """The tools of this run."""
        return self.symptom.bench

    def first_that_holds(self) -> tuple[Candidate, trying.Tried] | None:
        """Try the candidates, two at a time, and return the smallest that holds."""
        scene = self.symptom.scene
        if scene is None:
            return None
        ways = Containments(self.symptom, self.refused)
        return self._first(ways.candidates(), scene) or self._by_cause(ways, scene)

    def _by_cause(self, ways: Containments, scene: Scene) -> tuple[Candidate, trying.Tried] | None:
        """Hunt the commit in the time that is left: what it broke may lie far from the crash."""
        if self.bench.case.overlay:
            return None  # a diagnosis knows revisions, and this tree is none
        found = self._hunted(ways, scene)
        if not found:
            self.refused.append("revert: no commit could be shown to be the cause in the time")
        made = [candidate for commit in found for candidate in ways.without(commit)]
        return self._first(sorted(made, key=lambda item: item.size), scene)

    def _hunted(self, ways: Containments, scene: Scene) -> list[str]:
        if scene.replayed is Replayed.ALWAYS:
            scores = {item.commit.sha: item.score for item in ways.ranked}
            return hunt.commits(self.symptom, scene, scores)
        found = diagnose.diagnose(self.bench)  # one that comes and goes needs many runs of each
        return [found.culprit] if found.culprit else []

    def _first(
        self, waiting: list[Candidate], scene: Scene
    ) -> tuple[Candidate, trying.Tried] | None:
        bench, head = self.bench, self.symptom.head
        runs = RUNS if scene.replayed is Replayed.ALWAYS else MORE_RUNS
        for start in range(0, len(waiting), 2):
            pair = waiting[start : start + 2]
            trees = [trying.with_test(bench, scene, head, item.tree) for item in pair]
            scene.replays.at_least(trees, 1)
            for item, tree in zip(pair, trees, strict=True):
                if Mark.GOOD not in trying.marks(scene, tree, 1):
                    self.refused.append(f"{item.kind}: {item.words.title}: it fails with it too")
                    continue
                tried = trying.attempt(bench, scene, head, item.tree, runs)
                if tried.good:
                    return item, tried
                more = f" ({'; '.join(tried.worse[:3])})" if tried.worse else ""
                self.refused.append(f"{item.kind}: {item.words.title}: {tried.words}{more}")
        return None


def play(bench: Workbench) -> reports.Hotfix:
    """Contain what the case speaks of; with a patch in the case, see whether it still holds."""
    return contain(bench) if bench.case.patch is None else check(bench, bench.case.patch)


def contain(bench: Workbench) -> reports.Hotfix:
    """Return what contains the failure of the case, or why nothing does."""
    work = _begun(bench)
    try:
        why = work.symptom.find()
        if why:
            return _nothing(work, f"Nothing was changed: {why}.")
        held = work.first_that_holds()
    except errors.TimeSpent as spent:
        work.symptom.gaps.append(f"time: {spent.message}")
        return _nothing(work, "Nothing was changed: the time ran out before a fix was proved.")
    if held is None:
        return _nothing(
            work,
            "Nothing was changed: the failure is reproduced, but nothing small stops it safely.",
        )
    return _done(work, *held)


def _begun(bench: Workbench) -> Work:
    head = bench.repository.resolve(bench.case.revision)
    if bench.case.overlay:
        tree = bench.repository.tree_with(head, dict(bench.case.overlay))
        head = bench.repository.commit(tree, [head], "fixes that wait in the working tree")
    return Work(Symptom(bench, head, clues.read("\n".join(bench.case.traces))))


def check(bench: Workbench, patch: reports.Patch) -> reports.Hotfix:
    """Replay a contained failure again, without and with its patch, and run the suite on both."""
    work = _begun(bench)
    new = caution.applied(bench, work.symptom.head, patch.diff)
    if new is None:
        return _nothing(work, "The fix does not apply any more: the files have changed since.")
    why = work.symptom.find()
    if why or work.symptom.scene is None:
        return _nothing(work, f"It cannot be checked again: {why}.")
    tried = trying.attempt(bench, work.symptom.scene, work.symptom.head, new, RUNS)
    if not tried.good:
        return _nothing(work, f"The fix does not hold: {tried.words}.")
    return _report(work, patch, tried, "It still holds: the failure is gone with the fix.")


def _done(work: Work, made: Candidate, tried: trying.Tried) -> reports.Hotfix:
    bench, repository = work.bench, work.bench.repository
    diff = repository.diff(work.symptom.head, made.tree)
    checks = caution.checks(bench, work.symptom.head, made.tree, diff)
    if checks[0].passed is not True:
        return _nothing(work, f"Nothing was changed: the diff does not apply ({made.words.title}).")
    digest = remedy.digest_of(diff)
    patch = reports.Patch(
        engine=ENGINE,
        remedy=made.kind,
        title=made.words.title,
        diff=diff,
        digest=digest,
        base=bench.repository.resolve(bench.case.revision),
        tree=made.tree,
        paths=tuple(change.path for change in repository.diff_trees(work.symptom.head, made.tree)),
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
    return _report(work, patch, tried, f"Contained by a {made.kind}: {_what(made)}.")


def _what(made: Candidate) -> str:
    """Return a title without the word that the sentence around it says already."""
    title = made.words.title
    for word in ("containment: ", "Restore ", "Revert "):
        title = title.removeprefix(word)
    return title


def _report(work: Work, patch: reports.Patch, tried: trying.Tried, summary: str) -> reports.Hotfix:
    scene = work.symptom.scene
    assert scene is not None and scene.target is not None  # noqa: S101, PT018
    before = trying.marks(scene, scene.head, 1)
    after_tree = trying.with_test(work.bench, scene, work.symptom.head, patch.tree)
    after = trying.marks(scene, after_tree, 1)
    gaps = [*work.symptom.gaps]
    if tried.no_worse is None:
        gaps.append("no test command is configured: nothing but the failure itself was tested")
    return reports.Hotfix(
        engine=ENGINE,
        contained=True,
        summary=summary,
        failure=str(work.symptom),
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


def _nothing(work: Work, summary: str) -> reports.Hotfix:
    return reports.Hotfix(
        engine=ENGINE,
        contained=False,
        summary=summary,
        failure=str(work.symptom) if work.symptom.scene else "",
        command=str(work.symptom.scene.replays.command) if work.symptom.scene else "",
        before="reproduced" if work.symptom.scene else "",
        where=work.bench.sandbox.name,
        tried=tuple(work.refused),
        gaps=tuple(dict.fromkeys(work.symptom.gaps)),
        seconds=round(work.bench.deadline.spent, 3),
    )
