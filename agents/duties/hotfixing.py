"""The duty of the hotfix role: contain at once, beside what the builtin engine has contained.

The builtin's containment is made and proved first, so there is a fix on the table before a model is
asked anything. The model may take it, or write a smaller or better one where the builtin can build
none; whatever it hands in is replayed and tested like the builtin's own, and nothing is committed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from agents import pack
from agents.builtin import caution, guards, hotfix, pins, trying
from agents.builtin.containments import Candidate, Words
from agents.builtin.hotfix import Work
from agents.builtin.symptom import Shown
from agents.builtin.workbench import Workbench
from agents.duties import contract, grounds
from agents.duties.contract import Stamp, Submitted
from agents.duties.diagnosing import seeded
from agents.loop import Again
from agents.telling import Teller
from agents.tools import writing
from agents.tools.contract import Tool
from agents.tools.desk import Desk
from agents.untrusted import Source
from incidents import errors, reports
from incidents.reports import RemedyKind

TASK = (
    "Contain this failure now. Your tree is the broken revision; edits are in memory and run in a "
    "sandbox. You have a minute: one look, one edit, one replay. If what the builtin engine offers "
    "is safe where it stands, hand that in at once."
)
SHOWN_OUTPUT = 6000
ROOM = 16_000


class Containment(Submitted):
    """What the hotfix role hands in; the change itself is the tree as edited."""

    what: Annotated[
        Literal["my edits", "the builtin engine's containment", "nothing is safe"],
        Field(description="Which change is handed in."),
    ]
    title: Annotated[
        str, Field(min_length=5, max_length=100, description="What it does, not what it fixes.")
    ]
    why: Annotated[
        str, Field(min_length=5, max_length=600, description="Why it is safe and small; or why "
                   "nothing is.")]  # fmt: skip
    risk: Annotated[
        str, Field(min_length=3, max_length=400, description="Begin with low, medium or high.")
    ]
    watch: Annotated[
        str, Field(max_length=400, description="How a person sees that it holds: which request, "
                   "which page, which line in the log.")] = ""  # fmt: skip
    gaps: tuple[str, ...] = ()


@dataclass
class Hotfixing:
    """One containment by a model."""

    work: Work
    base: reports.Hotfix
    the_desk: Desk
    shown: Shown | None = None
    idle: str = ""
    submission = Containment

    def task(self, teller: Teller) -> str:
        """Return the task with the words, what the replay shows, and the builtin's containment."""
        head = contract.header(self.work.bench.case, teller, TASK)
        sections = [
            ("What the builtin engine offers", "\n".join(self._offer())),
            ("What somebody wrote", "\n".join(self.work.bench.case.traces)),
            ("What fails", f"{self.base.failure}, by {self.base.command}"),
            ("What it printed", self.shown.scene.words[-SHOWN_OUTPUT:] if self.shown else ""),
        ]
        return f"{head}\n\n{pack.fit(teller, sections, ROOM)}"

    def _offer(self) -> Iterator[str]:
        if self.base.patch is None:
            yield f"None: {self.base.summary}"
        else:
            made = self.base.patch
            yield f"{made.title} (risk {made.risk}); it was replayed and holds"
            yield from made.diff.splitlines()[:80]
        yield from (f"Not taken: {line}" for line in self.base.tried)

    def desk(self) -> Desk:
        """Return the desk: the broken revision and the edits."""
        return self.the_desk

    def tools(self) -> list[Tool]:
        """Return what a role that writes may use."""
        return writing.tools(self.the_desk)

    # --- what is handed in

    def take(self, handed_in: Containment, stamp: Stamp) -> reports.Report | Again:
        """Return the report when the containment holds, else why it does not."""
        if handed_in.what == "nothing is safe":
            said = f"Nothing was changed: {handed_in.title}. {handed_in.why}"
            return self._stamped(hotfix.nothing(self.work, said), handed_in, stamp)
        if handed_in.what == "the builtin engine's containment":
            if not self.base.contained:
                return Again("The builtin engine contains nothing; hand in your edits or none.")
            return self._stamped(self.base, handed_in, stamp)
        return self._tried(handed_in, stamp)

    def _tried(self, said: Containment, stamp: Stamp) -> reports.Report | Again:
        desk, bench, head = self.the_desk, self.work.bench, self.work.head
        if self.shown is None:
            return Again("Nothing can be shown to hold: the failure was not replayed.")
        tree = trying.with_test(bench, self.shown.scene, head, desk.tree())
        paths = [change.path for change in bench.repository.diff_trees(head, tree)]
        if not paths:
            return Again("Nothing is changed in your tree; edit it first, or hand in none.")
        if caution.needs_a_human(paths):
            return Again("It changes data, schema or dependencies, which needs a human.")
        alone = bool(desk.out) and not desk.edits
        kind = RemedyKind.REVERT if alone else RemedyKind.GUARD
        words = Words(said.title, said.why, said.risk, said.watch)
        made = Candidate(kind, tree, len(paths), words, desk.out if alone else None)
        try:
            tried = self.work.tried(made, self.shown)
        except errors.TimeSpent as spent:
            return Again(f"There was no time left to try it: {spent.message}")
        if tried is None:
            quoted = desk.teller.tell(Source.TEST, self.work.refused[-1])
            return Again("It was tried and does not hold.", quoted=quoted)
        report = hotfix.told(self.work, self.shown, made, tried)
        if not report.contained:
            return Again("It does not apply as a diff; change less.")
        return self._stamped(report, said, stamp)

    def _stamped(self, report: reports.Hotfix, said: Containment, stamp: Stamp) -> reports.Hotfix:
        patch = report.patch and report.patch.model_copy(
            update={"engine": stamp.engine, "watch": report.patch.watch or said.watch}
        )
        return report.model_copy(
            update={
                "engine": stamp.engine,
                "patch": patch,
                "gaps": tuple(dict.fromkeys((*said.gaps, *report.gaps))),
                "seconds": round(stamp.seconds(), 3),
            }
        )


@contextmanager
def opened(
    bench: Workbench, stored: reports.Report | None, teller: Teller, folder: Path
) -> Iterator[Hotfixing]:
    """Open the duty; `stored` is the builtin's containment of an earlier life."""
    work = hotfix.begun(bench)
    if isinstance(stored, reports.Hotfix):
        base = stored
        work.find()
    else:
        base = hotfix.contain(work)
    shown = work.shown
    if shown is not None:
        bench.scene = shown.scene
    desk = Desk(bench, work.head, teller, seeded(()), folder)
    pinned = frozenset(shown.scene.pinned) if shown else frozenset()
    files = bench.source.files(work.head)

    def refusal(path: str) -> str:
        if why := grounds.refusal(path, files, bench.case.protected, pinned):
            return why
        if pins.testlike(path):
            return f"{path!r} is a test: a containment changes none."
        if guards.DELICATE.search(path):
            return (
                f"{path!r} handles data, money or access: no guard is placed there. Take one "
                "commit out instead, or hand in that nothing is safe."
            )
        return ""

    desk.refusal = refusal
    yield Hotfixing(work, base, desk, shown, "" if shown else base.summary)
