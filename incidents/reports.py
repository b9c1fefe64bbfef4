"""The five typed reports of an incident: both engines fill the same shapes.

Built by agents and rollout, stored by workers, rendered by templates/reports. A claim without
evidence is a hypothesis and is shown as one; the constructors see to it, not a reviewer.
"""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from incidents.models import Verdict

LEAST_HYPOTHESES = 2  # of an escalation, each with a decisive test


class Frozen(BaseModel):
    """Base of every report value: immutable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EvidenceItem(Frozen):
    """A recorded fact that claims point at by `id` (such as "E3")."""

    id: str
    kind: str
    source: str
    locator: str
    excerpt: str
    sha256: str
    observed_at: datetime | None = None


class Claim(Frozen):
    """A sentence with the evidence that carries it; without evidence it is only a hypothesis."""

    text: str
    evidence: tuple[str, ...] = ()
    inferred: bool = False

    @property
    def supported(self) -> bool:
        """Whether at least one recorded fact carries the claim."""
        return bool(self.evidence)


class Suspect(Frozen):
    """A commit that may be the cause; `score` is the sum of the terms named in `why`."""

    commit: str
    path: str | None
    line: int | None
    score: float
    why: str
    subject: str = ""


class HypothesisStatus(StrEnum):
    """What the decisive test left of a hypothesis."""

    OPEN = "open"
    SUPPORTED = "supported"
    RULED_OUT = "ruled out"


class Hypothesis(Frozen):
    """A statement, the test that decides it, and what the test said."""

    statement: str
    test: str
    result: str
    status: HypothesisStatus = HypothesisStatus.OPEN
    evidence: tuple[str, ...] = ()


class Proof(Frozen):
    """One replay of the failure: on which tree, how often it failed, and where it ran."""

    label: str  # such as "broken revision", "without 3f2a91c", "last good revision"
    tree: str
    runs: int
    failures: int
    command: str
    where: str  # the sandbox's name
    seconds: float
    evidence: str | None = None


class RootCause(Frozen):
    """The place and the commit (CONFIRMED, LIKELY), or the dependency (NO_CODE_CAUSE)."""

    statement: str
    commit: str | None = None
    subject: str | None = None
    path: str | None = None
    line: int | None = None
    dependency: str | None = None
    evidence: tuple[str, ...] = ()


class Impact(Frozen):
    """Who was hurt; None means unknown, never zero."""

    requests: int | None = None
    failed: int | None = None
    error_rate: float | None = None
    baseline_rate: float | None = None
    since: datetime | None = None
    money: str = "not configured"
    note: str = ""


class Diagnosis(Frozen):
    """What broke, since when, why, and how it was proved."""

    kind: Literal["diagnosis"] = "diagnosis"
    engine: str
    verdict: Verdict
    summary: str
    revision: str
    good_revision: str | None = None
    symptoms: tuple[Claim, ...] = ()
    onset: datetime | None = None
    onset_kind: str | None = None
    timeline: tuple[Claim, ...] = ()
    evidence: tuple[EvidenceItem, ...] = ()
    changes: tuple[str, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    hypotheses: tuple[Hypothesis, ...] = ()
    proofs: tuple[Proof, ...] = ()
    whys: tuple[Claim, ...] = ()
    root_cause: RootCause | None = None
    culprit: str | None = None
    impact: Impact = Impact()
    recommended: str = ""
    alternatives: tuple[str, ...] = ()
    must_pass: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    fingerprint: str | None = None
    exception: str | None = None
    seconds: float = 0.0
    cost: Decimal = Decimal(0)

    @model_validator(mode="after")
    def _culprit_needs_a_verdict(self) -> Self:
        named = self.verdict in (Verdict.CONFIRMED, Verdict.LIKELY)
        if self.culprit is not None and not named:
            raise ValueError(f"a culprit needs CONFIRMED or LIKELY, not {self.verdict}")
        known = {item.id for item in self.evidence}
        cited = {
            ref for claim in (*self.symptoms, *self.timeline, *self.whys) for ref in claim.evidence
        }
        if missing := sorted(cited - known):
            raise ValueError(f"claims cite evidence that does not exist: {missing}")
        return self


class RemedyKind(StrEnum):
    """The kind of repair, in the order in which they are tried."""

    REVERT = "revert"
    CONFIG = "config restore"
    GUARD = "guard"
    EDIT = "edit"
    CATCH = "catch"  # of the hotfix protocol alone: the error is caught where it is raised
    RESTORE = "restore"  # one file's part of a change taken back


class Check(Frozen):
    """One line of a checklist and its result."""

    text: str
    passed: bool | None  # None: it could not be checked
    detail: str = ""


class RegressionTest(Frozen):
    """A test that fails before the patch and passes after; its absence is a named gap."""

    path: str
    command: str
    existing: bool = False
    before: str = ""
    after: str = ""


class Patch(Frozen):
    """The smallest safe change, as a diff against `base`; `tree` is the patched tree's hash."""

    kind: Literal["patch"] = "patch"
    engine: str
    remedy: RemedyKind
    title: str
    diff: str
    digest: str  # SHA-256 of the diff, hex
    base: str
    tree: str
    paths: tuple[str, ...] = ()
    culprit: str | None = None
    containment: bool = False
    why_minimal: str = ""
    regression_test: RegressionTest | None = None
    watch: str = ""  # the log line or counter that watches it
    checklist: tuple[Check, ...] = ()
    risk: str = ""
    rollback: str = ""
    untouched: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()
    migration: bool = False
    protected: tuple[str, ...] = ()  # paths that need a human's word, each with the reason
    gaps: tuple[str, ...] = ()
    seconds: float = 0.0
    cost: Decimal = Decimal(0)


class NoPatch(Frozen):
    """No remedy was safe: what was tried and why each was refused."""

    kind: Literal["no patch"] = "no patch"
    engine: str
    tried: tuple[str, ...]
    reason: str
    gaps: tuple[str, ...] = ()
    seconds: float = 0.0
    cost: Decimal = Decimal(0)


class Hotfix(Frozen):
    """The emergency's containment: what stops the bleeding, how it was proved, how to undo it."""

    kind: Literal["hotfix"] = "hotfix"
    engine: str
    contained: bool
    summary: str  # one sentence: what was done, or why nothing was
    failure: str = ""  # what was seen to fail, as "KeyError: 'x' in app/cart.py:12"
    command: str = ""  # the configured command that shows it
    before: str = ""
    after: str = ""
    suite: str = ""  # what the rest of the tests said
    where: str = ""  # the sandbox that it ran in
    patch: Patch | None = None
    tried: tuple[str, ...] = ()
    passing: tuple[str, ...] = ()  # configured commands that pass, and so do not show it
    follow_up: str = ""  # proposed, never filed by itself
    gaps: tuple[str, ...] = ()
    tracker: str | None = None  # the HOTFIX file, where there is one
    written: bool = False  # whether the fix lies in the tracker's working tree
    dropped: bool = False  # taken out of the tree again
    not_written: str = ""  # why it does not, though it was proved
    shown_whole: bool = True  # whether the diff of a thread is the patch, so that it applies
    now: tuple[tuple[str, str], ...] = ()  # what a person can type: (what for, the line)
    steps: tuple[str, ...] = ()  # Markdown of ours; values in it are code spans
    undo: tuple[str, ...] = ()
    since: tuple[str, ...] = ()  # what happened to it afterwards, one line each
    seconds: float = 0.0
    cost: Decimal = Decimal(0)

    @model_validator(mode="after")
    def _contained_has_a_patch(self) -> Self:
        if self.contained and self.patch is None:
            raise ValueError("what is contained has a patch")
        return self


class Experiment(Frozen):
    """A decisive test of a hypothesis: exactly one variable is changed, the rest stays.

    `key` names variable and change, so that nobody makes the same experiment twice.
    """

    key: str
    statement: str
    variable: str
    test: str
    result: str = "Not run."
    status: HypothesisStatus = HypothesisStatus.OPEN
    finished: bool = False
    evidence: tuple[str, ...] = ()


class Bottleneck(Frozen):
    """What was measured to be scarce or slow, with its figures; never something presumed."""

    what: str
    good: str  # the figure where all is well, or the limit
    bad: str
    places: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_measured(self) -> Self:
        if not self.evidence:
            raise ValueError(f"the bottleneck {self.what!r} rests on no measurement")
        return self


class Replaying(Frozen):
    """How an escalation showed the failure, so that the patch is tested in the same way."""

    argv: tuple[str, ...]
    setup: tuple[tuple[str, ...], ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    pressure: bool = False  # the interpreter switches threads as often as it can
    metric: str | None = None  # what is measured instead of the exit code, and above what it fails
    limit: float | None = None


class Option(Frozen):
    """Something that could be done, with its price."""

    what: str
    effort: str
    risk: str
    trade_off: str


class Escalation(Frozen):
    """What production-fixer made of a case that the others could not solve."""

    kind: Literal["escalation"] = "escalation"
    engine: str
    summary: str
    solved: bool
    tried: tuple[str, ...] = ()  # by the others, each with its outcome
    not_repeated: tuple[str, ...] = ()
    experiments: tuple[Experiment, ...]
    bottleneck: Bottleneck | None = None
    differences: tuple[str, ...] = ()  # last good deploy against the present one
    captures: tuple[Claim, ...] = ()
    diagnosis: Diagnosis | None = None
    patch: Patch | None = None
    replaying: Replaying | None = None
    effort: str = ""
    risk: str = ""
    alternatives: tuple[Option, ...] = ()
    prevention: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()  # what it would have to know
    gaps: tuple[str, ...] = ()
    evidence: tuple[EvidenceItem, ...] = ()
    seconds: float = 0.0
    cost: Decimal = Decimal(0)

    @model_validator(mode="after")
    def _supposes_something_new(self) -> Self:
        if len(self.experiments) < LEAST_HYPOTHESES:
            raise ValueError(f"an escalation states at least {LEAST_HYPOTHESES} new hypotheses")
        if self.patch is not None and self.diagnosis is None:
            raise ValueError("a patch needs the diagnosis that it rests on")
        return self


class Category(StrEnum):
    """The five categories of a hot-fix's test."""

    VALIDATION = "fix validation"
    REGRESSION = "regression"
    PERFORMANCE = "performance"
    COMPATIBILITY = "compatibility"
    ROLLBACK = "rollback"


class CategoryResult(Frozen):
    """One category: commands, whether it passed (None: could not be run), and its figures."""

    category: Category
    passed: bool | None
    commands: tuple[str, ...] = ()
    summary: str = ""
    figures: tuple[tuple[str, str], ...] = ()
    output: str = ""


class TestReport(Frozen):
    """Whether the patch may go to production."""

    __test__ = False

    kind: Literal["test"] = "test"
    engine: str
    approve: bool
    summary: str
    patch_digest: str
    categories: tuple[CategoryResult, ...]
    skipped: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    seconds: float = 0.0
    cost: Decimal = Decimal(0)


class PhasePlan(Frozen):
    """One step of a rollout: weight in percent, bake and earliest promotion in seconds."""

    percent: int
    bake_seconds: float
    minimum_seconds: float
    criteria: tuple[str, ...]


class Offer(Frozen):
    """Another plan that a person may take instead, by its name, before anything moves."""

    name: str
    text: str
    phases: tuple[PhasePlan, ...]


class DeploymentPlan(Frozen):
    """What will be shifted, watched and taken back, and what rehearsing the way back showed."""

    kind: Literal["plan"] = "plan"
    engine: str
    service: str
    driver: str
    revision: str
    stable_revision: str
    last_good_revision: str | None
    safe_version: str
    safe_why: str
    patch_digest: str
    phases: tuple[PhasePlan, ...]
    watched: tuple[str, ...]
    checklist: tuple[Check, ...] = ()
    rollback_command: str = ""
    rehearsal: str = ""
    traffic: str = ""  # how many requests the verdicts need and how long that takes
    offers: tuple[Offer, ...] = ()  # where they would not come in time
    chosen: str = ""  # the offer that a person took
    stable_carries_incident: bool = True  # then stable is no yardstick for the canary
    why: str = ""  # why this version, where it is no fix
    protected: tuple[str, ...] = ()  # changed paths that need a human's word, with the reasons
    by_hand: str = ""  # the command that does the same without Halon, where there is one
    mitigations: str = ""  # what could be done instead, as commands with their risks
    lost: tuple[str, ...] = ()  # what going back to an older version takes away: commit subjects
    messages: tuple[tuple[str, str], ...] = ()  # (audience, text)
    afterwards: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()


class ActionItemDraft(Frozen):
    """A follow-up before it is stored: specific, owner, due in days, and a check where possible."""

    text: str
    owner: str
    due_days: int
    check: str | None = None


class StageTime(Frozen):
    """A stage's working and waiting seconds beside its target."""

    stage: str
    target_seconds: float | None
    working_seconds: float
    waiting_seconds: float


class Review(Frozen):
    """The blameless RCA: systems and roles, never a person as the cause."""

    kind: Literal["review"] = "review"
    engine: str
    title: str
    summary: str
    details: tuple[tuple[str, str], ...] = ()
    timeline: tuple[Claim, ...] = ()
    whys: tuple[Claim, ...] = ()
    contributing: tuple[Claim, ...] = ()
    impact: Impact = Impact()
    went_well: tuple[Claim, ...] = ()
    could_improve: tuple[Claim, ...] = ()
    action_items: tuple[ActionItemDraft, ...] = ()
    prevention: tuple[Claim, ...] = ()
    lessons: tuple[Claim, ...] = ()
    stage_times: tuple[StageTime, ...] = ()
    cost: Decimal = Decimal(0)


Report = Diagnosis | Patch | NoPatch | TestReport | DeploymentPlan | Review | Hotfix | Escalation


class ReportBox(Frozen):
    """Reads any stored report back into its type."""

    report: Report = Field(discriminator="kind")


def load(content: dict[str, object]) -> Report:
    """Return the typed report of a stored one; raises `pydantic.ValidationError`."""
    return ReportBox.model_validate({"report": content}).report
