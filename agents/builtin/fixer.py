"""production-fixer on the builtin engine: called when the others failed, it repeats nothing.

Called by the engine for that role. It tries one hypothesis after the other, each by a test that
changes one variable, until one decides by the diagnosis' own rule; then it makes the patch, or says
what it measured, what it would have to know, and what could be done meanwhile.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from agents import notebook
from agents.builtin import account, capturing, diagnose, experiments, overhaul, remedy
from agents.builtin.deadline import Deadline
from agents.builtin.diagnose import Inquiry
from agents.builtin.experiments import IDEAS, Idea, Lab, Result
from agents.builtin.workbench import ENGINE, Workbench
from agents.notebook import Notebook
from incidents import errors, reports
from incidents.models import Verdict
from incidents.reports import Bottleneck, Experiment, Option

PATCHING_SHARE = 0.3  # of the time, kept back for the patch
ALREADY = "Not run: an earlier experiment decided."


@dataclass
class Shift:
    """One escalation of one case."""

    bench: Workbench
    lab: Lab
    book: Notebook
    made: list[Experiment] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    captures: tuple[capturing.Told, ...] = ()

    def look(self) -> None:
        """Read what the captures of the live service say, then logs, changes and probes."""
        self.captures = capturing.read(self.bench.case.captures, self.bench.ledger)
        for use, found in (pair for told in self.captures for pair in told.full):
            self.lab.bottleneck = self.lab.bottleneck or Bottleneck(
                what=f"{use.name} of the live service",
                good=f"limit {use.limit:g}",
                bad=str(use),
                evidence=(found,),
            )
        self.lab.inquiry.look()
        self.lab.differences += [
            f"{path} differs from the last good revision: dependencies may have moved"
            for path in experiments.changed_manifests(self.lab)
        ]

    def work(self) -> None:
        """Make the experiments, one after the other, until one decides or the time is used up."""
        decided = spent = False
        for idea in IDEAS:
            if decided or spent:
                self.made.append(_experiment(idea, self._key(idea), Result(ALREADY)))
                continue
            try:
                decided = self._try(idea)
            except errors.TimeSpent as error:
                spent = True
                self.gaps.append(f"time: {error.message}")
                words = Result(f"Not finished: {error.message}")
                self.made.append(_experiment(idea, self._key(idea), words))

    def _try(self, idea: Idea) -> bool:
        key = self._key(idea)
        if not idea.ready(self.lab):
            self.needs.append(idea.need)
            words = Result(f"Cannot be run or says nothing here: it takes {idea.need}.")
            self.made.append(_experiment(idea, key, words))
            return False
        try:
            self.book.begin(key)
        except notebook.Repeated as error:
            self.repeated.append(f"{idea.statement} {error.message}")
            return False
        before = self.lab.inquiry.scene, self.bench.scene
        result = idea.act(self.lab)
        self.made.append(_experiment(idea, key, result, finished=True))
        if self.lab.decided:
            return True
        if result.status is not reports.HypothesisStatus.SUPPORTED:
            # What did not show the failure must not hide what an earlier one showed.
            self.lab.inquiry.scene, self.bench.scene = before
        return False

    def _key(self, idea: Idea) -> str:
        case = self.bench.case
        kept = (self.lab.inquiry.head, case.reproduce, case.test, case.env)
        return notebook.key(idea.kind, *kept, *idea.marks(self.lab))


def escalate(bench: Workbench) -> reports.Escalation:
    """Return what production-fixer makes of the bench's case."""
    found = bench.case.diagnosis
    if found is not None:
        good = bench.case.good or found.good_revision
        bench.case = replace(bench.case, revision=found.revision, good=good)
    whole = bench.deadline
    inquiry = Inquiry(bench, bench.repository.resolve(bench.case.revision))
    shift = Shift(bench, Lab(bench, inquiry), Notebook(bench.case.attempts))
    if found is not None and found.culprit is not None:
        return _other_remedies(shift, found)
    bench.deadline = Deadline(whole.left * (1 - PATCHING_SHARE))
    shift.look()
    shift.work()
    bench.deadline = whole
    if inquiry.scene is not None:
        inquiry.scene.replays.deadline = whole
    if not shift.lab.decided:
        return _report(shift, None, None)
    diagnosis = account.diagnosis(inquiry.picture())
    return _report(shift, diagnosis, _patch(shift, diagnosis))


def _patch(shift: Shift, found: reports.Diagnosis) -> reports.Patch | None:
    bench = shift.bench
    if found.verdict is Verdict.NO_CODE_CAUSE:
        return None
    bench.case = replace(bench.case, diagnosis=found, replaying=shift.lab.how)
    made = remedy.patch(bench)
    if isinstance(made, reports.NoPatch):
        shift.gaps += [f"no patch: {made.reason}", *made.tried]
        return None
    return made


def _other_remedies(shift: Shift, found: reports.Diagnosis) -> reports.Escalation:
    """The cause is known and no remedy held: try those that take back more than one commit."""
    scene = diagnose.scene_of(shift.bench)
    patch = None
    if scene is None or scene.target is None:
        shift.gaps.append("the failure is not reproduced, so no remedy could be shown to hold")
    for plan in overhaul.PLANS:
        key = notebook.key(plan.kind, found.revision, found.culprit)
        try:
            shift.book.begin(key)
        except notebook.Repeated as error:
            shift.repeated.append(f"{plan.statement} {error.message}")
            continue
        if patch is not None or scene is None or scene.target is None:
            shift.made.append(overhaul.experiment(plan, key, ALREADY if patch else "Not run."))
            continue
        made = overhaul.attempt(shift.bench, found, scene, plan)
        if isinstance(made, reports.Patch):
            patch = made
        shift.made.append(overhaul.experiment(plan, key, made))
    return _report(shift, found if patch else None, patch)


def _experiment(idea: Idea, key: str, result: Result, *, finished: bool = False) -> Experiment:
    return Experiment(
        key=key,
        statement=idea.statement,
        variable=idea.variable,
        test=idea.test,
        result=result.words,
        status=result.status,
        finished=finished,
        evidence=result.evidence,
    )


# What is left to suppose when everything of ours was tried: for people, each with its test.
FOR_PEOPLE = (
    Experiment(
        key="people:data",
        statement="It depends on data that only production has.",
        variable="the data",
        test="Replay one failing request against a copy of the data of that time.",
        result="Not run: a person has to.",
    ),
    Experiment(
        key="people:machine",
        statement="It depends on the machine: limits, clock, kernel, neighbours.",
        variable="the machine",
        test="Move one replica to another machine and compare the two.",
        result="Not run: a person has to.",
    ),
)


def _supposed(shift: Shift) -> tuple[Experiment, ...]:
    short = len(shift.made) < reports.LEAST_HYPOTHESES or not any(
        one.finished for one in shift.made
    )
    return (*shift.made, *(FOR_PEOPLE if short else ()))


def _report(
    shift: Shift, found: reports.Diagnosis | None, patch: reports.Patch | None
) -> reports.Escalation:
    bench, lab = shift.bench, shift.lab
    solved = found is not None and (patch is not None or found.verdict is Verdict.NO_CODE_CAUSE)
    return reports.Escalation(
        engine=ENGINE,
        summary=_summary(shift, found, patch),
        solved=solved,
        tried=tuple(f"{one.what}: {one.outcome}" for one in bench.case.attempts),
        not_repeated=tuple(shift.repeated),
        experiments=_supposed(shift),
        bottleneck=lab.bottleneck,
        differences=tuple(dict.fromkeys(lab.differences)),
        captures=tuple(told.claim for told in shift.captures),
        diagnosis=found,
        patch=patch,
        replaying=lab.how if found else None,
        effort=_effort(found, patch),
        risk=_risk(found, patch),
        alternatives=tuple(_alternatives(shift, found)),
        prevention=tuple(_prevention(shift, found)),
        needs=() if solved else tuple(dict.fromkeys(shift.needs)),
        gaps=tuple(dict.fromkeys((*shift.gaps, *lab.inquiry.gaps))),
        evidence=bench.ledger.items(),
        seconds=round(bench.deadline.spent, 3),
    )


def _summary(shift: Shift, found: reports.Diagnosis | None, patch: reports.Patch | None) -> str:
    parts = []
    if found is not None:
        parts.append(found.summary)
    else:
        finished = sum(one.finished for one in shift.made)
        parts.append(
            f"The cause is not found: {finished} new experiments decided nothing, and what was not "
            "shown is not claimed."
        )
    if (neck := shift.lab.bottleneck) is not None:
        parts.append(f"Measured: {neck.what}, {neck.good} → {neck.bad}.")
    if patch is not None:
        parts.append(f"Patch: {patch.title}.")
    return " ".join(parts)


def _effort(found: reports.Diagnosis | None, patch: reports.Patch | None) -> str:
    if patch is not None:
        lines = sum(line[:1] in "+-" for line in patch.diff.splitlines() if line[:3] not in SIGNS)
        return f"small: {lines} lines in {len(patch.paths)} files, tested and rolled out as any fix"
    if found is not None:
        return "small: one setting and a deploy"
    return "unknown while the cause is unknown"


SIGNS = ("+++", "---")


def _risk(found: reports.Diagnosis | None, patch: reports.Patch | None) -> str:
    if patch is not None:
        return patch.risk
    if found is not None:
        return "low: the former value ran before; check what else was to come with the new one"
    return "any change to the code now would be a guess; stopping the harm is safer"


def _alternatives(shift: Shift, found: reports.Diagnosis | None) -> Iterator[Option]:
    case, inquiry = shift.bench.case, shift.lab.inquiry
    good = (found.good_revision if found else None) or inquiry.good
    if good is None:
        earlier = [one.revision for one in inquiry.released if one.revision != inquiry.head]
        good = earlier[-1] if earlier else None
    if good is not None and good != inquiry.head:
        yield Option(
            what=f"Return to {good[:12]}",
            effort="one approval",
            risk="low where it ran in production before and no data format changed since",
            trade_off="Every change since then is missing; the cause stays for the next deploy.",
        )
    for name, risk in case.mitigations:
        yield Option(
            what=f"Mitigation {name}",
            effort="one approval",
            risk=risk,
            trade_off="It stops the harm and mends nothing.",
        )
    yield Option(
        what="Wait and gather: captures, the variables of each deploy, a load command",
        effort="an hour of a person who knows the service",
        risk="the harm goes on meanwhile",
        trade_off="The next look has what this one lacked.",
    )


def _prevention(shift: Shift, found: reports.Diagnosis | None) -> Iterator[str]:
    how = shift.lab.how
    if found is None:
        return
    if shift.lab.inquiry.variable is not None:
        yield "Compare the environment of a deploy with the last one before traffic moves to it."
    elif how is not None and how.metric is not None:
        yield f"Run the load before each deploy and fail it above the {how.metric} of this report."
    elif how is not None and how.pressure:
        yield "Run the tests of shared state with threads switched as often as the interpreter can."
    elif how is not None and shift.bench.case.load is not None:
        yield "Run the load before each deploy: it shows what single requests do not."
