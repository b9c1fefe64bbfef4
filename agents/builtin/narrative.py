"""The story of a diagnosis: symptoms, times, recent changes, the whys and the impact.

Used by the account; each sentence points at a recorded fact or is marked as inferred.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation

from agents.builtin import chronicle
from agents.builtin import picture as picture_of
from agents.builtin.failures import State
from agents.builtin.logs import TemplateCount
from agents.builtin.picture import Picture
from incidents import models
from incidents.models import Verdict
from incidents.reports import Claim, Impact

SYMPTOMS = 6
CHANGES = 20


def symptoms(picture: Picture, ids: dict[str, str]) -> tuple[Claim, ...]:
    """Return what was seen from outside, most telling first."""
    lines = []
    if picture.reading is not None:
        for item in picture_of.telling(picture.reading)[:SYMPTOMS]:
            found = picture.bench.ledger.add(
                models.EvidenceKind.LOG,
                f"log, {item.count} times",
                item.where,
                item.sample,
                item.first_seen,
            )
            lines.append(
                Claim(text=f"{item.count} × {item.text[:200]}{_stands(item)}", evidence=(found,))
            )
    scene = picture.scene
    if scene is not None and scene.target is not None:
        runs = scene.replays.tally(scene.head)
        failed = sum(run.observed.state is not State.PASSED for run in runs)
        evidence = (ids[scene.head],) if scene.head in ids else ()
        lines.append(
            Claim(
                text=f"The replay fails in {failed} of {len(runs)} runs: {scene.target}",
                evidence=evidence,
            )
        )
    return tuple(lines)


def _stands(item: TemplateCount) -> str:
    return "" if item.background else f" ({item.standing})"


def onset_kind(picture: Picture) -> str | None:
    """Return how it began: suddenly, gradually or now and then."""
    reading = picture.reading
    return reading.onset.kind.value if reading and reading.onset else None


def timeline(picture: Picture, ids: dict[str, str]) -> tuple[Claim, ...]:
    """Return deploys, the change at fault and the onset in order of time."""
    moments: list[tuple[datetime, Claim]] = []
    for item in picture.released[-8:]:
        found = picture_of.commit_evidence(picture, item.revision)
        name = picture.name(item.revision)
        text = f"{chronicle.moment(item.at)} {name} reached production ({item.name})"
        moments.append((item.at, Claim(text=text, evidence=(found,))))
    if culprit := picture.decision.culprit:
        commit = picture.bench.source.commit(culprit)
        claim = Claim(
            text=f"{chronicle.moment(commit.committed_at)} {picture.name(culprit)} was committed",
            evidence=(picture_of.commit_evidence(picture, culprit),),
        )
        moments.append((commit.committed_at, claim))
    if picture.onset is not None:
        text = f"{chronicle.moment(picture.onset)} the failures began"
        moments.append(
            (picture.onset, Claim(text=text, evidence=_log_evidence(picture), inferred=True))
        )
    return tuple(claim for _, claim in sorted(moments, key=lambda pair: pair[0]))


def _log_evidence(picture: Picture) -> tuple[str, ...]:
    kinds = (item for item in picture.bench.ledger.items() if item.kind == models.EvidenceKind.LOG)
    return tuple(item.id for item in kinds)[:1]


def changes(picture: Picture) -> tuple[str, ...]:
    """Return the recorded changes, else the newest commits."""
    lines = [
        f"{chronicle.moment(item.at)} {item.name}: {picture.name(item.revision)}"
        for item in reversed(picture.released)
    ]
    lines += [
        f"{chronicle.moment(item.at)} {item.kind}: {item.note or item.after or ''} ({item.source})"
        for item in picture.bench.case.changes
        if item.kind is not models.ChangeKind.DEPLOY
    ]
    if not lines:
        recent = picture.bench.source.window(None, picture.head, 10)
        lines = [
            f"{chronicle.moment(c.committed_at)} {c.sha[:12]} {c.subject[:100]}"
            for c in reversed(recent)
        ]
    return tuple(lines[:CHANGES])


def whys(picture: Picture, symptoms: Sequence[Claim], ids: dict[str, str]) -> tuple[Claim, ...]:
    """Return the chain from the symptom to the change, and what let it through, as inferred."""
    chain = list(symptoms[:1])
    scene, culprit = picture.scene, picture.decision.culprit
    if scene is not None and scene.target is not None and scene.head in ids:
        chain.append(
            Claim(text=f"Because the code raises {scene.target}.", evidence=(ids[scene.head],))
        )
    top = next((item for item in picture.ranked if item.path and item.line), None)
    if top is not None and (culprit is None or top.commit.sha == culprit):
        found = picture_of.commit_evidence(picture, top.commit.sha)
        chain.append(Claim(text=_place(picture, top.path, top.line), evidence=(found,)))
    if culprit is not None:
        refs = picture_of.evidence_of(picture, ids, culprit) or (
            picture_of.commit_evidence(picture, culprit),
        )
        chain.append(Claim(text=f"Because {picture.name(culprit)} changed it.", evidence=refs))
        new = scene is not None and any(
            path not in picture.bench.source.files(culprit) for path in scene.pinned
        )
        text = (
            "Because no test covered it when the change was made."
            if new
            else "Because it reached production although a test can show it, or no test ran."
        )
        chain.append(Claim(text=text, inferred=True))
    elif picture.decision.verdict is Verdict.NO_CODE_CAUSE and picture.outside:
        chain.append(Claim(text=f"Because of {picture.outside[0].what}.", inferred=True))
    return tuple(chain)


def _place(picture: Picture, path: str | None, line: int | None) -> str:
    """Say what the code does at a place, in the code's own words where they can be read."""
    lines = (picture.bench.repository.show(picture.head, path or "") or b"").splitlines()
    if line is None or not 0 < line <= len(lines):
        return f"Because of what {path}:{line} does."
    said = lines[line - 1].decode("utf-8", "replace").strip()[:120]
    return f"Because {path}:{line} says “{said}”."


def impact(picture: Picture) -> Impact:
    """Return who was hurt, as far as the logs tell."""
    reading = picture.reading
    counts = reading.requests if reading else None
    if reading is None or counts is None:
        return Impact(note="No request counts were found.")
    split = len(counts.totals)
    if picture.onset is not None and reading.start is not None:
        split = max(0, min(split, int((picture.onset - reading.start) / reading.bucket)))
    since = slice(split, None) if split < len(counts.totals) else slice(0, None)
    total, failed = sum(counts.totals[since]), sum(counts.errors[since])
    return Impact(
        requests=total,
        failed=failed,
        error_rate=failed / total if total else None,
        baseline_rate=counts.rate(0, split) if split < len(counts.totals) else None,
        since=picture.onset,
        money=_money(picture.bench.case.value_per_request, failed),
    )


def _money(value: str | None, failed: int) -> str:
    if value is None:
        return "not configured"
    number, _, currency = value.partition(" ")
    try:
        return f"about {Decimal(number) * failed} {currency}".strip()
    except InvalidOperation:
        return f"{failed} failed requests, each worth {value}"
