"""What stages and the controller say: one function per kind of timeline entry, so that its content
has one shape. `bot.render` reads these shapes; entries that come with a change of the incident
itself are written by `incidents.service` and its neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from incidents.models import Bucket, EntryKind, Json, Rollout, Severity, Stage, StageRun, Version
from incidents.timeline import Draft


def stage_started(run: StageRun, engine: str, target: timedelta | None) -> Draft:
    """A stage begins; its progress edits this message."""
    return Draft(
        EntryKind.STAGE_STARTED,
        {
            "stage": run.stage.value,
            "attempt": run.attempt,
            "engine": engine,
            "target_seconds": None if target is None else target.total_seconds(),
        },
        f"run-{run.id}",
    )


def hotfix(act: str, words: str, key: str) -> Draft:
    """What is asked of the hotfix protocol: contain, verify, ship or drop; once per key."""
    return Draft(EntryKind.HOTFIX, {"act": act, "text": words}, f"hotfix-{key}")


def progress(run: StageRun, text: str) -> Draft:
    """What a stage does right now, in a few words."""
    return Draft(EntryKind.PROGRESS, {"stage": run.stage.value, "text": text}, f"run-{run.id}")


def report(stage: Stage, content: Json) -> Draft:
    """A typed report, in its JSON form; the message shows its heart, a file the whole."""
    return Draft(EntryKind.REPORT, {"stage": stage.value, "report": content})


def plan(rollout: str, content: Json, stage: Stage = Stage.DEPLOY) -> Draft:
    """The deployment plan; the rehearsal's result edits this message."""
    shown = {"stage": stage.value, "report": content, "rollout": rollout}
    return Draft(EntryKind.REPORT, shown, f"plan-{rollout}")


@dataclass(frozen=True)
class Suggestion:
    """What triage found: the share of failing requests now and before, and since when."""

    severity: Severity | None
    share: float | None
    baseline: float | None
    failed: int | None
    requests: int | None
    since: datetime | None
    changes: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()


def suggested(found: Suggestion) -> Draft:
    """Triage's figures and the severity that they suggest; only a person changes one."""
    return Draft(
        EntryKind.SUGGESTED,
        {
            "severity": None if found.severity is None else found.severity.value,
            "share": found.share,
            "baseline": found.baseline,
            "failed": found.failed,
            "requests": found.requests,
            "since": None if found.since is None else found.since.isoformat(),
            "changes": list(found.changes),
            "known": list(found.known),
            "gaps": list(found.gaps),
        },
    )


def _counts(buckets: Sequence[Bucket], version: Version) -> Json:
    mine = [bucket for bucket in buckets if bucket.version is version]
    measured = [bucket for bucket in mine if bucket.requests is not None]
    return {
        "requests": sum(bucket.requests or 0 for bucket in measured) if measured else None,
        "errors": sum(bucket.errors or 0 for bucket in measured) if measured else None,
    }


def phase(
    rollout: Rollout,
    buckets: Sequence[Bucket],
    *,
    left: timedelta | None,
    gate: Json,
    following: str,
    replayed: Sequence[Bucket] = (),
) -> Draft:
    """How a phase stands; one message per phase, edited while it bakes.

    `buckets` are this phase's; `gate` is the judge's answer in the JSON form of `halon judge`;
    `replayed` are the counts of Halon's own requests, which are told apart.
    """
    both = (Version.CANARY, Version.STABLE)
    apart = {version.value: _counts(replayed, version) for version in both} if replayed else None
    return Draft(
        EntryKind.PHASE,
        {
            "rollout": rollout.id,
            "percent": rollout.phase,
            "state": rollout.state.value,
            "left_seconds": None if left is None else left.total_seconds(),
            "canary": _counts(buckets, Version.CANARY),
            "stable": _counts(buckets, Version.STABLE),
            "replayed": apart,
            "gate": gate,
            "next": following,
        },
        f"phase-{rollout.id}-{rollout.phase}",
    )


def taken_back(rollout: Rollout, revision: str, why: str, *, broken: bool) -> Draft:
    """Traffic left the canary; `broken` says that it went back to the version with the incident."""
    return Draft(
        EntryKind.TAKEN_BACK,
        {
            "rollout": rollout.id,
            "to": rollout.safe_version.value,
            "revision": revision,
            "percent": rollout.phase,
            "why": why,
            "broken": broken,
        },
    )


def held(rollout: Rollout, why: str) -> Draft:
    """The weight stays where it is and people are called."""
    return Draft(
        EntryKind.HELD,
        {"rollout": rollout.id, "percent": rollout.phase, "why": why},
        f"held-{rollout.id}",
    )


def delivered(branch: str, revision: str, where: str) -> Draft:
    """The fix is on the release branch, so the next ordinary deploy keeps it."""
    return Draft(EntryKind.DELIVERED, {"branch": branch, "revision": revision, "where": where})


def mitigation(approval: str, scope: str, state: str, words: str, undo: str | None) -> Draft:
    """A named mitigation (or its undoing) ended: works, unchecked, no effect, failed, unknown."""
    content = {"scope": scope, "state": state, "text": words, "undo": undo}
    return Draft(EntryKind.MITIGATION, content, f"mitigation-{approval}")


def alone(run: int) -> str:
    """Return the subject of the note with which a person asked for one run alone."""
    return f"alone-{run}"


def trouble(what: str, do: str) -> Draft:
    """Something of ours went wrong: what it is, and what a person can do."""
    return Draft(EntryKind.TROUBLE, {"what": what, "do": do})
