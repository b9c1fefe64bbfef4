"""The duty of the hotfix-tester: the builtin's five categories, and a second pair of eyes.

The model may write further tests on a copy of the patched tree and run them. It can turn an
approval into a rejection by a run that fails; it can never wave a patch through that the builtin
engine rejected.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from agents import pack
from agents.builtin import caution, pins, testing
from agents.builtin.workbench import Workbench
from agents.duties import contract
from agents.duties.contract import Said, Stamp, Submitted
from agents.duties.diagnosing import safe, seeded
from agents.loop import Again
from agents.telling import Teller
from agents.tools import writing
from agents.tools.contract import Tool
from agents.tools.desk import Desk
from incidents import errors, reports
from incidents.models import EvidenceKind

TASK = (
    "Try to refute this patch before production does. The builtin engine has run its five "
    "categories; look for what they do not cover: other callers, odd inputs, data written by the "
    "older version, errors that are swallowed now. You may write tests and run them."
)


class Test(Submitted):
    """What a tester hands in."""

    __test__ = False

    recommendation: Literal["approve", "reject"]
    summary: Annotated[str, Field(min_length=5, max_length=1000)]
    failures: Annotated[
        tuple[Said, ...],
        Field(description="For a rejection: what fails, each with the id of a run that shows it."),
    ] = ()
    concerns: Annotated[
        tuple[Said, ...], Field(description="What an approver must know; it stops nothing.")
    ] = ()
    not_tested: tuple[str, ...] = ()


@dataclass
class Testing:
    """One test report by a model."""

    bench: Workbench
    patch: reports.Patch
    base: reports.TestReport
    the_desk: Desk
    idle: str = ""
    submission = Test

    def task(self, teller: Teller) -> str:
        """Return the task with the patch and the builtin's results."""
        head = contract.header(self.bench.case, teller, TASK)
        sections = [
            ("The patch", f"{self.patch.remedy}: {self.patch.title}\n{self.patch.diff}"),
            ("Why it is thought minimal", self.patch.why_minimal),
            ("What the builtin engine saw", "\n".join(self._results())),
        ]
        found = self.bench.case.diagnosis
        parts = [head, pack.fit(teller, sections, 14_000)]
        if found is not None:
            parts.append(pack.of_diagnosis(found, teller, 9_000))
        return "\n\n".join(parts)

    def _results(self) -> Iterator[str]:
        yield f"{'approve' if self.base.approve else 'reject'}: {self.base.summary}"
        words = {True: "passed", False: "FAILED", None: "not run"}
        for one in self.base.categories:
            yield f"- {one.category}: {words[one.passed]}; {one.summary}"
        yield from (f"- skipped: {line}" for line in self.base.skipped)
        yield from (f"- gap: {line}" for line in self.base.gaps)

    def desk(self) -> Desk:
        """Return the desk: the patched tree."""
        return self.the_desk

    def tools(self) -> list[Tool]:
        """Return what a tester may use: it writes tests only."""
        return [tool for tool in writing.tools(self.the_desk) if tool.name != "Revert"]

    # --- what is handed in

    def take(self, handed_in: Test, stamp: Stamp) -> reports.Report | Again:
        """Return the report: rejected by the builtin, or by a run that shows a failure."""
        runs = {
            item.id
            for item in self.the_desk.ledger.items()
            if item.kind == EvidenceKind.TEST_RUN and item.id not in self._before
        }
        known = {item.id for item in self.the_desk.ledger.items()}
        shown = [one for one in handed_in.failures if runs.intersection(one.evidence)]
        wants = handed_in.recommendation == "reject"
        if wants and self.base.approve and not shown:
            return Again(
                "A rejection needs a run of yours that fails, cited by its id. Make one, or "
                "approve and name what troubles you as a concern."
            )
        approve = self.base.approve and not wants
        words = [_words(one, known) for one in shown]
        told = [_words(one, known) for one in handed_in.concerns]
        return self.base.model_copy(
            update={
                "engine": stamp.engine,
                "approve": approve,
                "summary": handed_in.summary if approve or wants else self.base.summary,
                "failures": (*self.base.failures, *words),
                "gaps": tuple(dict.fromkeys((*self.base.gaps, *told))),
                "skipped": tuple(dict.fromkeys((*self.base.skipped, *handed_in.not_tested))),
                "seconds": round(stamp.seconds(), 3),
            }
        )

    @property
    def _before(self) -> frozenset[str]:
        """The facts of the diagnosis, in which this patch did not exist."""
        found = self.bench.case.diagnosis
        return frozenset(item.id for item in found.evidence) if found else frozenset()


def _words(one: Said, known: set[str]) -> str:
    cited = contract.existing(one.evidence, known)
    return f"{one.text} [{', '.join(cited)}]" if cited else f"{one.text} (no run shows it)"


@contextmanager
def opened(
    bench: Workbench, stored: reports.Report | None, teller: Teller, folder: Path
) -> Iterator[Testing]:
    """Open the duty; raises PermanentFailure without a patch."""
    patch = bench.case.patch
    if patch is None:
        raise errors.PermanentFailure("There is no patch to test; run the patch stage first.")
    base = stored if isinstance(stored, reports.TestReport) else testing.test(bench)
    tree = caution.applied(bench, patch.base, patch.diff)
    found = bench.case.diagnosis
    ledger = seeded(safe(found, teller).evidence if found else ())
    desk = Desk(bench, tree or patch.base, teller, ledger, folder)

    def refusal(path: str) -> str:
        if path in patch.paths or not pins.testlike(path):
            return f"{path!r} is not yours to change: a tester writes new tests only."
        return ""

    desk.refusal = refusal
    yield Testing(bench, patch, base, desk, "" if tree else "the diff does not apply to its base")
