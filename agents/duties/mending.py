"""The duty of the patch-developer and the production-fixer: a change that holds.

The builtin engine's remedy is the yardstick: the model may take it, or hand in a smaller or better
one. Whatever is handed in is tried like the builtin's own: the failure gone, the suite no worse, a
regression test, and nothing that was tried before.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from agents import pack
from agents.builtin import remedy
from agents.builtin.scene import Scene
from agents.builtin.workbench import Workbench
from agents.duties import contract, grounds
from agents.duties.contract import Stamp, Submitted
from agents.duties.diagnosing import safe, seeded
from agents.engine import Role
from agents.loop import Again
from agents.telling import Teller
from agents.tools import writing
from agents.tools.contract import Tool
from agents.tools.desk import Desk
from agents.untrusted import Source
from incidents import errors, protection, reports
from incidents.reports import RemedyKind

TASKS = {
    Role.PATCH_DEVELOPER: (
        "Write the smallest safe change that ends this failure. Your tree is the broken revision; "
        "edits are in memory and run in a sandbox."
    ),
    Role.PRODUCTION_FIXER: (
        "Everything so far has failed; what was tried is listed and must not come again. Find what "
        "the others missed, and hand in a change that holds, or say why there is none."
    ),
}
REPORT_ROOM = 15_000


class Patch(Submitted):
    """What a developer hands in; the change itself is the tree as edited."""

    what: Annotated[
        Literal["my edits", "the builtin engine's patch", "nothing is safe"],
        Field(description="Which change is handed in."),
    ]
    title: Annotated[str, Field(min_length=5, max_length=100)]
    why_minimal: Annotated[str, Field(min_length=5, max_length=1000)]
    risk: Annotated[str, Field(min_length=3, max_length=600, description="Begin with low, medium "
                               "or high.")]  # fmt: skip
    watch: Annotated[
        str, Field(max_length=400, description="The log line or counter that shows that it holds.")
    ] = ""
    containment: Annotated[
        bool, Field(description="It stops the harm and leaves the cause in place.")
    ] = False
    untouched: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()


@dataclass
class Mending:
    """One patch by a model."""

    role: Role
    bench: Workbench
    diagnosis: reports.Diagnosis
    base: reports.Patch | reports.NoPatch
    the_desk: Desk
    scene: Scene | None
    idle: str = ""
    submission = Patch

    def task(self, teller: Teller) -> str:
        """Return the task with the diagnosis and what the builtin engine would do."""
        head = contract.header(self.bench.case, teller, TASKS[self.role])
        found = pack.of_diagnosis(self.diagnosis, teller, REPORT_ROOM)
        sections = [("What the builtin engine offers", "\n".join(self._offer()))]
        return "\n\n".join([head, found, pack.fit(teller, sections, 6000)])

    def _offer(self) -> Iterator[str]:
        if isinstance(self.base, reports.NoPatch):
            yield f"None: {self.base.reason}"
        else:
            yield f"{self.base.remedy}: {self.base.title} (risk {self.base.risk})"
            yield from self.base.diff.splitlines()[:120]
        yield from (f"Refused: {line}" for line in self.base.tried)

    def desk(self) -> Desk:
        """Return the desk: the broken revision and the edits."""
        return self.the_desk

    def tools(self) -> list[Tool]:
        """Return what a role that writes may use."""
        return writing.tools(self.the_desk)

    # --- what is handed in

    def take(self, handed_in: Patch, stamp: Stamp) -> reports.Report | Again:
        """Return the patch when it holds, else why it does not."""
        if handed_in.what == "nothing is safe":
            return self._none(handed_in, stamp)
        if handed_in.what == "the builtin engine's patch":
            if isinstance(self.base, reports.NoPatch):
                return Again("The builtin engine offers no patch; hand in your own or none.")
            return self._stamped(self.base, handed_in, stamp)
        return self._tried(handed_in, stamp)

    def _tried(self, said: Patch, stamp: Stamp) -> reports.Report | Again:
        desk = self.the_desk
        head = self.bench.repository.resolve(self.diagnosis.revision)
        tree = desk.tree()
        if tree == self.bench.repository.tree_of(head):
            return Again("Nothing is changed in your tree; edit it first, or hand in none.")
        if self.scene is None:
            return Again(f"No patch can be shown to hold: {self.idle}")
        if named := self._guarded(said):
            return Again(f"No guard is placed in {named!r}: a person has to decide about it.")
        draft = remedy.Draft(
            kind=self._kind(said),
            tree=tree,
            title=said.title,
            why_minimal=said.why_minimal,
            risk=said.risk,
            watch=said.watch,
            untouched=said.untouched,
        )
        work = remedy.Work(self.bench, self.diagnosis, self.scene, head)
        try:
            made = remedy.make(work, draft, self.base.tried)
        except errors.TimeSpent as spent:
            return Again(f"There was no time left to try it: {spent.message}")
        if isinstance(made, str):
            quoted = self.the_desk.teller.tell(Source.TEST, made)
            return Again("Your patch was tried and does not hold.", quoted=quoted)
        made = made.model_copy(update={"containment": said.containment})
        return self._stamped(made, said, stamp)

    def _guarded(self, said: Patch) -> str:
        """Return a file that the settings protect and that a containment would change."""
        named = self.bench.case.protected if said.containment else ()
        hit = protection.protected(self.the_desk.edits, named)
        return hit[0].path if hit else ""

    def _kind(self, said: Patch) -> RemedyKind:
        if not self.the_desk.edits:
            return RemedyKind.REVERT
        return RemedyKind.GUARD if said.containment else RemedyKind.EDIT

    def _stamped(self, patch: reports.Patch, said: Patch, stamp: Stamp) -> reports.Patch:
        return patch.model_copy(
            update={
                "engine": stamp.engine,
                "alternatives": tuple(dict.fromkeys((*said.alternatives, *patch.alternatives))),
                "gaps": tuple(dict.fromkeys((*said.gaps, *patch.gaps))),
                "watch": patch.watch or said.watch,
                "seconds": round(stamp.seconds(), 3),
            }
        )

    def _none(self, said: Patch, stamp: Stamp) -> reports.NoPatch:
        return reports.NoPatch(
            engine=stamp.engine,
            tried=self.base.tried,
            reason=f"{said.title}. {said.why_minimal}",
            gaps=tuple(dict.fromkeys((*said.gaps, *self.base.gaps))),
            seconds=round(stamp.seconds(), 3),
        )


@contextmanager
def opened(
    bench: Workbench, stored: reports.Report | None, teller: Teller, folder: Path, role: Role
) -> Iterator[Mending]:
    """Open the duty; raises PermanentFailure without a diagnosis."""
    found = bench.case.diagnosis
    if found is None:
        raise errors.PermanentFailure("There is no diagnosis to mend; diagnose first.")
    base = stored if isinstance(stored, reports.Patch | reports.NoPatch) else remedy.patch(bench)
    # Only once a replay is wanted: a stored base needs none to be shown.
    scene = bench.scene or Desk(bench, found.revision, teller, seeded(()), folder).scene()
    ground = remedy.no_ground(found, scene)
    ledger = seeded(safe(found, teller).evidence)
    desk = Desk(bench, found.revision, teller, ledger, folder)
    pinned = frozenset(scene.pinned) if scene else frozenset()

    def refusal(path: str) -> str:
        # What the settings name may be edited, for a person approves it; never guarded, see `take`.
        return grounds.refusal(path, bench.source.files(found.revision), (), pinned)

    desk.refusal = refusal
    bench.case = replace(bench.case, diagnosis=found)
    yield Mending(role, bench, found, base, desk, None if ground else scene, ground)
