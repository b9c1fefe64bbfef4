"""The deployment plan: phases, criteria, the safe version and what the verdict will need.

Called by the `deploy` stage. Pure: figures and revisions come in, a `DeploymentPlan` comes out, and
`plan_hash` is what an approval is bound to. Never moves anything.
"""

import hashlib
import json
from dataclasses import dataclass
from math import ceil, log

from incidents.models import RunMode, SafeVersion, Severity, Verdict
from incidents.reports import Check, DeploymentPlan, Patch, PhasePlan, RemedyKind
from rollout import evalues, gate, offers
from rollout.deployers.port import Abilities

BAKES = {10: 600.0, 50: 600.0, 100: 1800.0}  # seconds
MINIMUM = {Severity.P0: 120.0, Severity.P1: 300.0}  # the others bake in full
FULL_MINIMUM = 600.0  # at 100 %, before "mitigated" is said; the validation itself is never cut
BUCKET_SECONDS = 5.0
APPROVAL_SECONDS = 1800.0
LIMIT = gate.Gates().max_error_rate or 0.0  # the share of errors that is taken back
TYPICAL_SHARE = 0.01
LATENCY_FLOOR_MS = 25.0
BACK_TO_SAFETY = "taking back leads to a version without the incident"
AFTER_A_FIX = (
    "merge the fix into the release branch, so that the next deploy does not undo it",
    "write the review, with or without a code cause",
)
AFTER_A_RETURN = (
    "the diagnosis goes on; what the newer version brought is missing until a fix is out",
    "stop ordinary deploys of the release branch: they would bring the incident back",
)


@dataclass(frozen=True)
class Subject:
    """What is to be deployed and what is there. Revisions are full commit ids.

    Without a patch it is a version that ran in production before: a way back, not a fix.
    """

    service: str
    driver: str
    severity: Severity
    patch: Patch | None
    revision: str
    stable_revision: str
    last_good_revision: str | None
    stable_carries_incident: bool = True
    last_good_deployable: bool = True
    migrates: bool = False  # between the last good version and stable lies a migration
    lost: tuple[str, ...] = ()  # the subjects of the commits that going back takes away
    why: str = ""  # why this version, where it is no fix
    protected: tuple[str, ...] = ()  # changed paths that need a human's word, with the reasons
    by_hand: str = ""  # the command that goes back without Halon
    mitigations: str = ""  # what could be done instead

    @property
    def digest(self) -> str:
        """What an approval names: the patch's digest; a commit's id is the digest of a version."""
        return self.patch.digest if self.patch else self.revision

    @property
    def migration(self) -> bool:
        """Whether data written meanwhile may not fit the other version."""
        return self.patch.migration if self.patch else self.migrates


@dataclass(frozen=True)
class Safe:
    """Where "take back" goes, and the sentence that says why."""

    version: SafeVersion
    revision: str
    why: str
    broken: bool  # returning there means returning to the incident


@dataclass(frozen=True)
class Traffic:
    """How many requests the verdict at the first phase needs, and how long they take."""

    needed: int
    typical: int  # at an ordinary one percent of errors
    seconds: float | None  # None: the traffic is unknown
    enough: bool | None  # within the bake
    text: str


def choose_safe(subject: Subject) -> Safe:
    """Return the safe version: stable, unless it carries the incident and a better one is there."""
    good = subject.last_good_revision
    if not subject.stable_carries_incident:
        why = "Stable does not carry the incident."
        return Safe(SafeVersion.STABLE, subject.stable_revision, why, broken=False)
    if good == subject.revision:
        why = (
            "What is rolled out is the last good version itself: taking back means returning to "
            "the broken one."
        )
        return Safe(SafeVersion.STABLE, subject.stable_revision, why, broken=True)
    if subject.migration or subject.migrates:
        where = "The change contains" if subject.migration else "Since the last good version lies"
        why = (
            f"{where} a migration, so an older release may not fit the data: taking back means "
            "returning to the broken version."
        )
        return Safe(SafeVersion.STABLE, subject.stable_revision, why, broken=True)
    if good is not None and subject.last_good_deployable and good != subject.stable_revision:
        why = f"Stable carries the incident; {good[:12]} ran in production before it."
        return Safe(SafeVersion.LAST_GOOD, good, why, broken=False)
    known = (
        "no last good version is known" if good is None else "the last good one cannot be deployed"
    )
    why = f"Stable carries the incident and {known}: taking back means returning to it."
    return Safe(SafeVersion.STABLE, subject.stable_revision, why, broken=True)


def phases(severity: Severity, abilities: Abilities, gates: gate.Gates) -> tuple[PhasePlan, ...]:
    """Return the phases: all three, or only 100 % where the deployer knows no weights."""
    wanted = (10, 50, 100) if abilities.weights else (100,)
    criteria = _criteria(gates)
    found = []
    for percent in wanted:
        bake = BAKES[percent]
        whole = FULL_MINIMUM if percent == 100 else bake
        found.append(
            PhasePlan(
                percent=percent,
                bake_seconds=bake,
                minimum_seconds=MINIMUM.get(severity, whole),
                criteria=criteria,
            )
        )
    return tuple(found)


def _criteria(gates: gate.Gates) -> tuple[str, ...]:
    lines = []
    if gates.max_error_rate is not None:
        lines.append(
            f"errors under {gates.max_error_rate:.0%}, proved at odds of {gate.PASS_ODDS} : 1"
        )
    if gates.max_latency_ratio is not None and not gates.hotfix:
        lines.append(f"response times under {gates.max_latency_ratio:g} x those of stable")
    if gates.new_errors:
        lines.append("no new critical error")
    lines.append("no missing, stale or misdirected data")
    return tuple(lines)


def looks(phase: PhasePlan) -> tuple[float, ...]:
    """Return the fixed looks of a phase in seconds: the minimum, each later quarter, the end."""
    quarters = [phase.bake_seconds * part / 4 for part in (1, 2, 3)]
    first = min(phase.minimum_seconds, phase.bake_seconds)
    return (*sorted({first, *(q for q in quarters if q > first), phase.bake_seconds}),)


def planned_buckets(chosen: tuple[PhasePlan, ...]) -> int:
    """Return the number of buckets a rollout may take: bakes, one extension, waits for people.

    Fixed before the first look, because the gate's evidence is spread over it.
    """
    bakes = [phase.bake_seconds for phase in chosen]
    waits = APPROVAL_SECONDS * (len(bakes) - 1)
    return ceil((sum(bakes) + max(bakes) + waits) / BUCKET_SECONDS)


def estimate_traffic(
    requests_per_minute: float | None, first: PhasePlan, gates: gate.Gates
) -> Traffic:
    """Return what the first verdict needs at this traffic (both versions together, per minute)."""
    limit, bound = gates.max_error_rate or 0.05, log(gate.PASS_ODDS)
    needed = max(evalues.missing_requests(0, 0, limit, bound) or 0, gates.min_requests)
    typical = _needed_at(TYPICAL_SHARE, limit, bound) or needed
    text = f"The first verdict needs {needed} requests to the canary without an error"
    text += f", about {typical} at {TYPICAL_SHARE:.0%} errors"
    if not requests_per_minute:
        return Traffic(needed, typical, None, None, f"{text}. The traffic is unknown.")
    rate = requests_per_minute / 60 * first.percent / 100
    seconds = typical / rate
    enough = seconds <= first.bake_seconds
    text += (
        f". At {requests_per_minute:.0f} requests per minute {first.percent} % gives them in about "
        f"{_spoken(seconds)}"
    )
    if enough:
        text += f", within the bake of {_spoken(first.bake_seconds)}."
    else:
        text += (
            f", longer than the bake of {_spoken(first.bake_seconds)}: bake longer, start with a "
            "larger step, or have read-only requests replayed meanwhile ([service.replay])."
        )
    return Traffic(needed, typical, seconds, enough, text)


def _needed_at(share: float, limit: float, bound: float) -> int | None:
    """Return how many requests at an error share reach the PASS bound."""
    if share >= limit:
        return None
    low, high = 1, evalues.NEVER
    while low < high:
        middle = (low + high) // 2
        if evalues.ln_health(share * middle, middle, limit) >= bound:
            high = middle
        else:
            low = middle + 1
    return low


def _spoken(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def build_plan(
    subject: Subject,
    *,
    abilities: Abilities,
    gates: gate.Gates,
    requests_per_minute: float | None,
    rollback_command: str,
    engine: str = "builtin",
    checklist: tuple[Check, ...] = (),
    replay: float | None = None,
) -> DeploymentPlan:
    """Return the plan of a rollout; what it cannot promise stands in its gaps."""
    safe = choose_safe(subject)
    chosen = phases(subject.severity, abilities, gates)
    traffic = estimate_traffic(requests_per_minute, chosen[0], gates)
    gaps = []
    if subject.migration:
        gaps.append("The change contains a migration: it never goes out without people's word.")
    if safe.broken:
        gaps.append(safe.why)
    if gates.hotfix and gates.max_latency_ratio is not None:
        gaps.append("Response times are not judged: stable, the yardstick, carries the incident.")
    if not abilities.drop_free:
        gaps.append("This deployer may lose requests while it shifts traffic.")
    if not abilities.weights:
        gaps.append("This deployer knows no weights: the first step is the whole traffic.")
    if traffic.enough is False:
        gaps.append(traffic.text)
    return DeploymentPlan(
        engine=engine,
        service=subject.service,
        driver=subject.driver,
        revision=subject.revision,
        stable_revision=subject.stable_revision,
        last_good_revision=subject.last_good_revision,
        safe_version=safe.version.value,
        safe_why=safe.why,
        patch_digest=subject.digest,
        stable_carries_incident=subject.stable_carries_incident,
        lost=subject.lost,
        protected=subject.protected,
        why=subject.why,
        by_hand=subject.by_hand,
        mitigations=subject.mitigations,
        phases=chosen,
        watched=_criteria(gates),
        checklist=(
            *checklist,
            Check(text="no migration in the change", passed=not subject.migration),
            Check(
                text="taking back leads to a version without the incident", passed=not safe.broken
            ),
            Check(text="enough traffic for a verdict in time", passed=traffic.enough),
        ),
        rollback_command=rollback_command,
        traffic=traffic.text,
        offers=offers.offers(chosen, traffic.typical, requests_per_minute, replay),
        messages=_messages(subject),
        afterwards=AFTER_A_FIX if subject.patch else AFTER_A_RETURN,
        gaps=tuple(gaps),
    )


def _messages(subject: Subject) -> tuple[tuple[str, str], ...]:
    if subject.patch is None:
        return (
            ("support", f"{subject.service} goes back to an earlier version, in steps."),
            ("status page", f"We return {subject.service} to an earlier version while we look for "
             "the cause. We watch every step."),
        )  # fmt: skip
    fix = subject.patch.title or "a fix"
    return (
        ("support", f"A fix for {subject.service} is being rolled out in steps: {fix}."),
        ("status page", f"We have found a fix for the trouble with {subject.service} and are "
         "rolling it out. We watch every step."),
    )  # fmt: skip


def plan_hash(plan: DeploymentPlan) -> str:
    """Return the SHA-256 (hex) of all that an approver approves, without the rehearsal."""
    content = plan.model_dump(mode="json", exclude={"rehearsal", "messages"})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def default_gates(*, fingerprints: bool, hotfix: bool) -> gate.Gates:
    """Return the gates of an ordinary rollout; `hotfix`: stable carries the incident."""
    return gate.Gates(new_errors=fingerprints, hotfix=hotfix, latency_floor_ms=LATENCY_FLOOR_MS)


def is_healthy(requests: int, errors: int) -> bool:
    """Return whether these counts pass the error gate: under its limit at its own odds."""
    return evalues.missing_requests(errors, requests, LIMIT, log(gate.PASS_ODDS)) == 0


def may_go_alone(mode: RunMode, verdict: Verdict, patch: Patch) -> str | None:
    """Return None when gates alone may decide, else the sentence why a person must."""
    if mode is not RunMode.AUTO:
        return f"The run mode is {mode.value}."
    if patch.migration:
        return "The change contains a migration."
    if patch.protected:
        return f"A protected path is changed: {patch.protected[0]}."
    if verdict is not Verdict.CONFIRMED:
        return f"The cause is {verdict.value}, not CONFIRMED."
    if patch.remedy not in (RemedyKind.REVERT, RemedyKind.CONFIG):
        return f"A {patch.remedy.value} has never run in production before."
    return None
