"""The hot-fix's test in five categories, each with commands and figures: approve or reject.

Called by the engine for the role hotfix-tester. Old and new are run interleaved in one session, so
that their figures may be compared. What the severity leaves no time for is skipped and listed.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agents import case as cases
from agents.builtin import caution, diagnose, pins, trying
from agents.builtin.failures import State
from agents.builtin.reproduction import Mark, Replays, Run
from agents.builtin.scene import Scene
from agents.builtin.workbench import ENGINE, Workbench
from incidents import errors, reports
from incidents.models import Severity
from incidents.reports import Category, CategoryResult

MIB = 1024 * 1024
# As in a canary: over twice the old response time is too slow, above what noise makes.
SLOWER, NOISE_SECONDS = 2.0, 0.3
HUNGRIER, NOISE_BYTES = 1.5, 32 * MIB


@dataclass(frozen=True)
class Depth:
    """How much a severity has time for: replays of the failure, runs for figures, older tests."""

    replays: int
    figures: int
    previous_tests: bool


DEPTHS: dict[Severity, Depth] = {
    Severity.P0: Depth(replays=3, figures=3, previous_tests=False),
    Severity.P1: Depth(replays=5, figures=3, previous_tests=True),
    Severity.P2: Depth(replays=8, figures=5, previous_tests=True),
    Severity.P3: Depth(replays=10, figures=5, previous_tests=True),
}


@dataclass
class Session:
    """One test of one patch."""

    bench: Workbench
    patch: reports.Patch
    scene: Scene | None
    base: str
    new: str
    depth: Depth
    skipped: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)


def test(bench: Workbench) -> reports.TestReport:
    """Return the test report of the case's patch; raises PermanentFailure if there is no patch."""
    patch = bench.case.patch
    if patch is None:
        raise errors.PermanentFailure("There is no patch to test; run the patch stage first.")
    new = caution.applied(bench, patch.base, patch.diff)
    if new is None:
        return _rejected(bench, patch, "the diff does not apply to its base")
    scene = diagnose.scene_of(bench)
    session = Session(
        bench, patch, scene, bench.source.tree(patch.base), new, DEPTHS[bench.case.severity]
    )
    steps: tuple[tuple[Category, Callable[[Session], CategoryResult]], ...] = (
        (Category.VALIDATION, validation),
        (Category.REGRESSION, regression),
        (Category.ROLLBACK, rollback),
        (Category.PERFORMANCE, performance),
        (Category.COMPATIBILITY, compatibility),
    )
    results = {category: _run(session, category, step) for category, step in steps}
    ordered = tuple(results[category] for category in Category)
    return _report(session, ordered)


def _run(
    session: Session, category: Category, step: Callable[[Session], CategoryResult]
) -> CategoryResult:
    try:
        return step(session)
    except errors.TimeSpent as spent:
        session.skipped.append(f"{category}: {spent.message}")
        return CategoryResult(category=category, passed=None, summary="no time was left")


def validation(session: Session) -> CategoryResult:
    """See the failure on the old version and not on the new one."""
    scene, bench = session.scene, session.bench
    if scene is None or scene.target is None:
        session.gaps.append("the failure cannot be replayed, so its absence proves nothing")
        return CategoryResult(category=Category.VALIDATION, passed=None, summary="no replay")
    head = session.patch.base
    new = trying.with_test(bench, scene, head, session.new)
    # A failure that comes and goes: fewer passes would prove nothing.
    scene.replays.at_least([scene.head, new], max(session.depth.replays, trying.enough(scene)))
    before, after = trying.marks(scene, scene.head, 1), trying.marks(scene, new, 1)
    gone = set(after) == {Mark.GOOD}
    seen = Mark.BAD in before
    return CategoryResult(
        category=Category.VALIDATION,
        passed=gone and seen,
        commands=(str(scene.replays.command),),
        summary=f"before: fails in {before.count(Mark.BAD)} of {len(before)} runs; "
        f"after: passes in {after.count(Mark.GOOD)} of {len(after)}",
        figures=(
            ("failures before", f"{before.count(Mark.BAD)} of {len(before)}"),
            ("failures after", f"{len(after) - after.count(Mark.GOOD)} of {len(after)}"),
        ),
        output="" if gone else scene.replays.tally(new)[-1].completed.output[-2000:],
    )


def regression(session: Session) -> CategoryResult:
    """Run the suite on the new version: its own tests, and those of the base revision."""
    bench, replays = session.bench, trying.suite_replays(session.bench)
    if replays is None:
        session.gaps.append(
            "no test command is configured: nothing but the failure itself was tested"
        )
        return CategoryResult(category=Category.REGRESSION, passed=None, summary="no suite")
    ours, worse = trying.suite(bench, session.base, session.new)
    old_tests = _older_tests(session)
    crossed = bench.source.pinned(session.new, session.patch.base, old_tests)
    theirs, worse_old = trying.suite(bench, session.base, crossed)
    answers = [answer for answer in (ours, theirs) if answer is not None]
    failed = tuple(dict.fromkeys((*worse, *worse_old)))
    return CategoryResult(
        category=Category.REGRESSION,
        passed=all(answers) if answers else None,
        commands=(str(replays.command),),
        summary="no test fails that passed before" if not failed else "; ".join(failed[:5]),
        figures=(
            ("failing before", str(len(replays.tally(session.base)[0].observed.failures))),
            ("failing after", str(len(replays.tally(session.new)[0].observed.failures))),
            (
                "failing with the base revision's tests",
                str(len(replays.tally(crossed)[0].observed.failures)),
            ),
        ),
        output="" if not failed else replays.tally(session.new)[-1].completed.output[-2000:],
    )


def _older_tests(session: Session) -> tuple[str, ...]:
    """Return the base revision's tests, but for those that a revert takes out with its commit."""
    every = [p for p in session.bench.source.files(session.patch.base) if pins.testlike(p)]
    if session.patch.remedy is not reports.RemedyKind.REVERT:
        return tuple(every)
    gone = [path for path in every if path in session.patch.paths]
    if gone:
        session.skipped.append(
            f"{Category.REGRESSION}: tests that came with the reverted change: {', '.join(gone)}"
        )
    return tuple(path for path in every if path not in gone)


def performance(session: Session) -> CategoryResult:
    """Compare time, CPU and memory of the same work on both versions."""
    replays, what = _workload(session)
    if replays is None:
        session.gaps.append("no command runs on both versions: time and memory were not compared")
        return CategoryResult(category=Category.PERFORMANCE, passed=None, summary="no workload")
    replays.at_least([session.base, session.new], session.depth.figures)
    old, new = (_figures(replays.tally(tree)) for tree in (session.base, session.new))
    slower = new.seconds > old.seconds * SLOWER and new.seconds - old.seconds > NOISE_SECONDS
    hungrier = new.memory > old.memory * HUNGRIER and new.memory - old.memory > NOISE_BYTES
    note = (
        "" if old.passed else "; the old version fails this work, so its figures are a lower bound"
    )
    return CategoryResult(
        category=Category.PERFORMANCE,
        passed=not hungrier and (not slower or (None if not old.passed else False)),
        commands=(str(replays.command),),
        summary=f"{what}: {old.seconds:.2f} s → {new.seconds:.2f} s{note}",
        figures=(
            ("time", f"{old.seconds:.3f} s → {new.seconds:.3f} s"),
            ("CPU", f"{old.cpu:.3f} s → {new.cpu:.3f} s"),
            ("peak memory", f"{old.memory / MIB:.1f} MiB → {new.memory / MIB:.1f} MiB"),
            ("runs of each", str(session.depth.figures)),
        ),
    )


@dataclass(frozen=True)
class Figures:
    """Medians over some runs: seconds, CPU seconds, bytes."""

    seconds: float
    cpu: float
    memory: float
    passed: bool


def _figures(runs: Sequence[Run]) -> Figures:
    done = [run.completed for run in runs]
    return Figures(
        statistics.median(item.seconds for item in done),
        statistics.median(item.cpu_seconds for item in done),
        statistics.median(item.peak_memory_bytes for item in done),
        all(run.observed.state is State.PASSED for run in runs),
    )


def _workload(session: Session) -> tuple[Replays | None, str]:
    """Return recorded requests where there are some, else the suite, else the replay."""
    recorded = _recorded(session)
    if recorded is not None:
        return recorded, "recorded requests"
    suite = trying.suite_replays(session.bench)
    if suite is not None:
        return suite, "the suite"
    return (session.scene.replays, "the replay") if session.scene else (None, "")


def _recorded(session: Session) -> Replays | None:
    bench = session.bench
    name, replay = bench.case.recorded, bench.case.reproduce
    if name is None or replay is None:
        return None
    if bench.recorded is None:
        content = bench.repository.show(session.patch.base, name)
        if content is None:
            session.gaps.append(f"the recorded requests {name!r} are not in the repository")
            return None
        path: Path = bench.folder / "recorded.jsonl"
        path.write_bytes(content)
        path.chmod(0o644)
        command = cases.Command(replay.argv, replay.setup)
        bench.recorded = bench.replays(command, requests=path, replay=True)
    return bench.recorded


def compatibility(session: Session) -> CategoryResult:
    """Ask recorded requests of both versions; run the previous version's tests on the new."""
    figures: list[tuple[str, str]] = []
    answers: list[bool] = []
    commands: list[str] = []
    recorded = _recorded(session)
    if recorded is not None:
        recorded.at_least([session.base, session.new], 1)
        old, new = (recorded.tally(tree)[0].observed.state for tree in (session.base, session.new))
        answers.append(new is State.PASSED or new is old)
        figures.append(("recorded requests", f"{old} → {new}"))
        commands.append(str(recorded.command))
    else:
        session.gaps.append("no recorded requests: compatibility was tested by tests only")
    previous = _previous_tests(session, figures, commands)
    answers += [previous] if previous is not None else []
    delicate = caution.delicate(session.patch.paths, session.patch.diff)
    if delicate:
        figures.append(("data or schema files", ", ".join(delicate[:5])))
        session.gaps.append("old data was not read by the new version: a human must look at it")
    return CategoryResult(
        category=Category.COMPATIBILITY,
        passed=all(answers) if answers else None,
        commands=tuple(dict.fromkeys(commands)),
        summary="; ".join(f"{name}: {value}" for name, value in figures)
        or "nothing to compare with",
        figures=tuple(figures),
    )


def _previous_tests(
    session: Session, figures: list[tuple[str, str]], commands: list[str]
) -> bool | None:
    bench, replays = session.bench, trying.suite_replays(session.bench)
    found = bench.case.diagnosis
    good = found.good_revision if found else None
    if replays is None or good is None:
        return None
    if not session.depth.previous_tests:
        session.skipped.append("the previous version's tests on the new version")
        return None
    tests = tuple(path for path in bench.source.files(good) if pins.testlike(path))
    if not tests:
        return None
    # What the old version already fails of them was a decision since then, not the patch's doing.
    old = bench.source.pinned(session.base, good, tests)
    crossed = bench.source.pinned(session.new, good, tests)
    answer, worse = trying.suite(bench, old, crossed)
    commands.append(str(replays.command))
    words = {True: "no worse", False: "; ".join(worse[:3]), None: "cannot run"}
    figures.append((f"tests of {good[:12]}", words[answer]))
    return answer


def rollback(session: Session) -> CategoryResult:
    """Take the patch back: the exact old tree must come out, with the old result."""
    bench, scene = session.bench, session.scene
    back = caution.reversed_tree(bench, session.base, session.new)
    exact = back == session.base
    figures = [("tree after taking it back", f"{(back or 'none')[:12]}, was {session.base[:12]}")]
    result = exact
    if exact and scene is not None and scene.target is not None and back is not None:
        shown = trying.marks(scene, trying.with_test(bench, scene, session.patch.base, back), 1)
        figures.append(("the failure is back", "yes" if Mark.BAD in shown else "no"))
        result = Mark.BAD in shown
    return CategoryResult(
        category=Category.ROLLBACK,
        passed=result,
        commands=(session.patch.rollback,),
        summary="the exact old tree, with the old result"
        if result
        else "the old state does not come back",
        figures=tuple(figures),
    )


def _report(session: Session, results: tuple[CategoryResult, ...]) -> reports.TestReport:
    by_category = {item.category: item for item in results}
    failures = [f"{item.category}: {item.summary}" for item in results if item.passed is False]
    if by_category[Category.VALIDATION].passed is None:
        failures.append("fix validation: it could not be shown that the failure is gone")
    for item in results:
        if item.passed is None and item.category is not Category.VALIDATION:
            session.skipped.append(f"{item.category}: {item.summary}")
    approve = not failures
    return reports.TestReport(
        engine=ENGINE,
        approve=approve,
        summary="It may go to production."
        if approve
        else "It must not go to production: " + failures[0],
        patch_digest=session.patch.digest,
        categories=results,
        skipped=tuple(dict.fromkeys(session.skipped)),
        failures=tuple(failures),
        gaps=tuple(dict.fromkeys(session.gaps)),
        seconds=round(session.bench.deadline.spent, 3),
    )


def _rejected(bench: Workbench, patch: reports.Patch, why: str) -> reports.TestReport:
    return reports.TestReport(
        engine=ENGINE,
        approve=False,
        summary=f"It must not go to production: {why}.",
        patch_digest=patch.digest,
        categories=tuple(
            CategoryResult(
                category=category,
                passed=False if category is Category.VALIDATION else None,
                summary=why,
            )
            for category in Category
        ),
        failures=(why,),
        seconds=round(bench.deadline.spent, 3),
    )
