"""Remedies beyond one commit, for a cause that is known and whose plain remedies were refused.

Called by production-fixer. Each is built in memory and tried like any other remedy: the failure
must be gone and the suite no worse.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agents.builtin import caution, remedy, wider
from agents.builtin.remedy import Draft, Refused, Work
from agents.builtin.scene import Scene
from agents.builtin.workbench import Workbench
from incidents import reports
from incidents.reports import Experiment, HypothesisStatus, RemedyKind


@dataclass(frozen=True)
class Plan:
    """One wider remedy: what it supposes, what it changes, and how it is built."""

    kind: str
    statement: str
    variable: str
    build: Callable[[Work], Draft | Refused]


def _dependents(work: Work) -> Draft | Refused:
    """Take the culprit out after the later commits that touch the same files, newest first."""
    culprit = str(work.diagnosis.culprit)
    made = wider.with_dependents(work.bench, work.head, culprit)
    if isinstance(made, str):
        return Refused(RemedyKind.REVERT, made)
    names = ", ".join(sha[:12] for sha in made.along)
    return Draft(
        kind=RemedyKind.REVERT,
        tree=made.tree,
        title=f"Revert {culprit[:12]} and what was built on it ({names})",
        why_minimal="No smaller set of commits can be taken out cleanly.",
        risk="medium: later changes of the same files go with it",
        watch=remedy.watched(work),
    )


def _files(work: Work) -> Draft | Refused:
    """Put the culprit's files back as they were before it."""
    culprit = str(work.diagnosis.culprit)
    made = wider.files_before(work.bench, work.head, culprit)
    if isinstance(made, str):
        return Refused(RemedyKind.REVERT, made)
    return Draft(
        kind=RemedyKind.REVERT,
        tree=made.tree,
        title=f"Put {', '.join(made.along)[:120]} back as before {culprit[:12]}",
        why_minimal="Only the files of the cause go back; everything else stays.",
        risk="medium: later changes of these files go with it",
        watch=remedy.watched(work),
    )


PLANS = (
    Plan(
        "dependents",
        "Later commits that build on the cause stand in the way of taking it back.",
        "the set of commits that is taken out",
        _dependents,
    ),
    Plan(
        "files",
        "The files of the cause can go back alone, without their later changes.",
        "the version of these files",
        _files,
    ),
)


def attempt(
    bench: Workbench, found: reports.Diagnosis, scene: Scene, plan: Plan
) -> reports.Patch | str:
    """Build and try one wider remedy; return its patch, or why it is refused."""
    work = Work(bench, found, scene, bench.repository.resolve(found.revision))
    draft = plan.build(work)
    if isinstance(draft, Refused):
        return draft.why
    made = remedy.make(work, draft, tuple(_earlier(bench)))
    if isinstance(made, reports.Patch) and (delicate := caution.needs_a_human(made.paths)):
        return f"it would take back {', '.join(delicate)}, which needs a human"
    return made


def _earlier(bench: Workbench) -> Iterator[str]:
    for one in bench.case.tried:
        yield f"{one.remedy}: {one.outcome}"


def experiment(plan: Plan, key: str, made: reports.Patch | str) -> Experiment:
    """Return a wider remedy as the experiment that it was."""
    held = isinstance(made, reports.Patch)
    return Experiment(
        key=key,
        statement=plan.statement,
        variable=plan.variable,
        test="Build it in memory, replay the failure on it, run the suite on it.",
        result="The failure is gone and the suite is no worse."
        if isinstance(made, reports.Patch)
        else made,
        status=HypothesisStatus.SUPPORTED if held else HypothesisStatus.RULED_OUT,
        finished=True,
    )
