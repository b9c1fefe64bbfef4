"""The duty of the bug-diagnostician: the builtin engine's facts, a model's reading, the same proof.

What the model claims becomes a verdict by the rule of `agents.builtin.verdict` alone: a commit that
it names is taken out and in by the same replays, and is CONFIRMED only by them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from agents import pack
from agents.builtin import diagnose, hypotheses, proof, verdict
from agents.builtin.diagnose import Inquiry
from agents.builtin.verdict import AtGood, Facts, Replayed
from agents.builtin.workbench import Workbench
from agents.duties import contract
from agents.duties.contract import Said, Stamp, Submitted
from agents.evidence import Ledger
from agents.loop import Again
from agents.telling import Teller
from agents.tools import history, logquery, reading, running
from agents.tools.contract import Tool
from agents.tools.desk import Desk
from incidents import errors, models, reports
from incidents.models import Verdict
from incidents.reports import HypothesisStatus

TASK = (
    "Find out what broke this service, since when and why. The builtin engine has gathered the "
    "facts below and tried what it could. Check its reading against the code, look where it could "
    "not, and hand in the diagnosis."
)
SHOWN = (Replayed.ALWAYS, Replayed.SOMETIMES)


class Supposed(Submitted):
    """A competing explanation, the test that decides it, and what the test said."""

    statement: Annotated[str, Field(min_length=3, max_length=600)]
    test: Annotated[str, Field(max_length=600)]
    result: Annotated[str, Field(max_length=600)]
    status: Literal["open", "supported", "ruled out"]
    evidence: tuple[str, ...] = ()


class Diagnosis(Submitted):
    """What a diagnostician hands in."""

    summary: Annotated[str, Field(min_length=10, max_length=1500)]
    culprit: Annotated[
        str | None,
        Field(
            description="Full sha of the one commit at fault; null if none is, or none is known."
        ),
    ] = None
    cause: Said = Field(description="The mechanism: from the change to what users see.")
    path: str | None = None
    line: Annotated[int | None, Field(ge=1)] = None
    symptoms: tuple[Said, ...] = ()
    timeline: tuple[Said, ...] = ()
    whys: Annotated[
        tuple[Said, ...], Field(max_length=7, description="Five whys, from symptom to system.")
    ] = ()
    hypotheses: Annotated[tuple[Supposed, ...], Field(max_length=12)] = ()
    recommended: Annotated[str, Field(max_length=1500)] = ""
    alternatives: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()


@dataclass
class Diagnosing:
    """One diagnosis by a model."""

    bench: Workbench
    base: reports.Diagnosis
    the_desk: Desk
    inquiry: Inquiry | None = None
    idle: str = ""
    submission = Diagnosis

    def task(self, teller: Teller) -> str:
        """Return the task with the evidence pack."""
        head = contract.header(self.bench.case, teller, TASK)
        return f"{head}\n\n{pack.of_diagnosis(self.base, teller)}"

    def desk(self) -> Desk:
        """Return the desk: the broken revision, nothing edited."""
        return self.the_desk

    def tools(self) -> list[Tool]:
        """Return what a role that only reads may use."""
        desk = self.the_desk
        return [
            *reading.tools(desk), *logquery.tools(desk), *history.tools(desk),
            running.reproduce_tool(desk),
        ]  # fmt: skip

    # --- what is handed in

    def take(self, handed_in: Diagnosis, stamp: Stamp) -> reports.Report | Again:
        """Return the diagnosis, its verdict decided by the rule and by nobody's word."""
        named = None
        if handed_in.culprit is not None:
            try:
                named = self.the_desk.commit(handed_in.culprit)
            except errors.ToolRefused as error:
                return Again(f"culprit: {error.message}")
            if not self.bench.repository.is_ancestor(named, self.base.revision):
                return Again(f"culprit: {named[:12]} is not contained in the broken revision.")
        if self.base.verdict is Verdict.CONFIRMED:
            return self._report(handed_in, stamp, _Judged(self.base.verdict, self.base.culprit, ""))
        return self._report(handed_in, stamp, self._judged(named))

    def _judged(self, named: str | None) -> "_Judged":
        """Try what the model named by the replays, and let the rule decide."""
        before = _Judged(self.base.verdict, self.base.culprit, "")
        if named is None:
            return before
        try:
            facts, words = self._facts(named)
        except errors.TimeSpent as spent:
            return replace(before, why=f"{named[:12]} was named and not tried: {spent.message}")
        decision = verdict.decide(facts)
        better = decision.verdict in (Verdict.CONFIRMED, Verdict.LIKELY)
        if not better or decision.culprit != named:
            return replace(before, why=f"{named[:12]} was named; {words or decision.why}")
        return _Judged(decision.verdict, named, f"{decision.why} {words}".strip())

    def _facts(self, named: str) -> tuple[Facts, str]:
        """Return the facts with this commit as the one that is tried."""
        inquiry = self._inquiry()
        facts, scene = inquiry.facts(), inquiry.scene
        if facts.trial is not None and facts.trial.commit == named:
            return facts, ""
        ranked = {item.commit.sha for item in inquiry.ranked if item.score > 0}
        if scene is None or scene.target is None or scene.good is None:
            near = named if named in ranked else facts.clear_suspect
            return replace(facts, clear_suspect=near), "nothing could be replayed"
        if facts.replayed not in SHOWN or facts.at_good is not AtGood.PASSES:
            return facts, "the replay cannot tell one commit from another"
        trying = proof.Proof(
            self.bench.source, scene.replays, scene.target, scene.good.revision,
            self.base.revision, scene.pinned, self.base.revision, {named: 1.0},
        )  # fmt: skip
        trial = trying.one(named)
        words = f"tried: {hypotheses.trial_words(trial)}"
        self.the_desk.record(models.EvidenceKind.TEST_RUN, "trial", f"commit {named[:12]}", words)
        return replace(facts, trial=trial), words

    def _inquiry(self) -> Inquiry:
        """Return the inquiry behind the base; made again in a later life of the run."""
        if self.inquiry is None:
            head = self.bench.repository.resolve(self.base.revision)
            self.inquiry = Inquiry(self.bench, head)
            self.inquiry.look()
            self.inquiry.replay()
        return self.inquiry

    def _report(self, said: Diagnosis, stamp: Stamp, judged: "_Judged") -> reports.Diagnosis:
        known = [item.id for item in self.the_desk.ledger.items()]
        guesses: list[reports.Hypothesis] = []
        kept = {
            name: _supported(contract.claims(getattr(said, name), known), guesses)
            for name in ("symptoms", "timeline", "whys")
        }
        cause = contract.existing(said.cause.evidence, known)
        agreed = judged.culprit is None or said.culprit in (None, judged.culprit)
        root = self.base.root_cause
        if judged.culprit is not None and agreed and cause:
            commit = self.bench.source.commit(judged.culprit)
            root = reports.RootCause(
                statement=said.cause.text, commit=judged.culprit, subject=commit.subject[:200],
                path=said.path or (root.path if root else None),
                line=said.line or (root.line if root else None), evidence=cause,
            )  # fmt: skip
        else:
            guesses.insert(0, _guess(said.cause.text, cause, judged.why))
        mine = tuple(_hypothesis(one, known) for one in said.hypotheses)
        return self.base.model_copy(
            update={
                "engine": stamp.engine,
                "verdict": judged.verdict,
                "culprit": judged.culprit,
                "summary": said.summary if agreed else f"{self.base.summary} {judged.why}",
                "root_cause": root,
                "symptoms": kept["symptoms"] or self.base.symptoms,
                "timeline": kept["timeline"] or self.base.timeline,
                "whys": kept["whys"] or self.base.whys,
                "hypotheses": (*mine, *guesses, *self.base.hypotheses),
                "recommended": said.recommended or self.base.recommended,
                "alternatives": (*said.alternatives, *self.base.alternatives),
                "gaps": tuple(dict.fromkeys((*said.gaps, *self._gaps(judged), *self.base.gaps))),
                "evidence": self.the_desk.ledger.items(),
                "seconds": round(stamp.seconds(), 3),
            }
        )

    def _gaps(self, judged: "_Judged") -> tuple[str, ...]:
        return (judged.why,) if judged.why and judged.culprit == self.base.culprit else ()


@dataclass(frozen=True)
class _Judged:
    """The verdict in force, the commit it names, and what was tried for it."""

    verdict: Verdict
    culprit: str | None
    why: str


def _supported(
    claims: tuple[reports.Claim, ...], guesses: list[reports.Hypothesis]
) -> tuple[reports.Claim, ...]:
    """Return the claims that facts carry; the others become hypotheses."""
    guesses += [_guess(one.text, (), "") for one in claims if not one.evidence]
    return tuple(one for one in claims if one.evidence)


def _guess(text: str, evidence: tuple[str, ...], why: str) -> reports.Hypothesis:
    return reports.Hypothesis(
        statement=text,
        test="None was made." if not why else "Taking it out and in by the replays.",
        result=why or "No recorded fact was cited for it.",
        status=HypothesisStatus.OPEN,
        evidence=evidence,
    )


def _hypothesis(one: Supposed, known: list[str]) -> reports.Hypothesis:
    cited = contract.existing(one.evidence, known)
    status = HypothesisStatus(one.status)
    return reports.Hypothesis(
        statement=one.statement,
        test=one.test,
        result=one.result,
        # Settled only by a fact that exists.
        status=status if cited else HypothesisStatus.OPEN,
        evidence=cited,
    )


@contextmanager
def opened(
    bench: Workbench, stored: reports.Report | None, teller: Teller, folder: Path
) -> Iterator[Diagnosing]:
    """Open the duty; `stored` is the base of an earlier life, which is not made again."""
    inquiry = None
    if isinstance(stored, reports.Diagnosis):
        base = stored
    else:
        inquiry = Inquiry(bench, bench.repository.resolve(bench.case.revision))
        made = diagnose.finished(inquiry)
        base = safe(made, teller)
    ledger = seeded(base.evidence)
    desk = Desk(bench, base.revision, teller, ledger, folder)
    yield Diagnosing(bench, base, desk, inquiry)


def safe(found: reports.Diagnosis, teller: Teller) -> reports.Diagnosis:
    """Return a diagnosis whose evidence holds no private text."""
    items = tuple(
        item.model_copy(
            update={"excerpt": teller.safe(item.excerpt), "locator": teller.safe(item.locator)}
        )
        for item in found.evidence
    )
    return found.model_copy(update={"evidence": items})


def seeded(items: tuple[reports.EvidenceItem, ...]) -> Ledger:
    """Return a ledger that holds these facts under their ids."""
    ledger = Ledger()
    for item in items:
        ledger.put(item)
    return ledger
