"""The evidence pack: what a run starts from, in at most about 8,000 tokens.

Called by the duties with what the builtin engine has gathered. Every fact stands under its id, so
that it can be opened whole and cited; what does not fit is left out from the end and named.
"""

from collections.abc import Iterator

from agents.telling import Teller
from agents.untrusted import Source
from incidents import reports

CHARACTERS = 24_000  # 8,000 tokens at three characters each, on the safe side
EXCERPT = 700
SHORT = 160


def of_diagnosis(found: reports.Diagnosis, teller: Teller, room: int = CHARACTERS) -> str:
    """Return a diagnosis of the builtin engine as the start of a run."""
    return fit(teller, list(_sections(found)), room)


def fit(teller: Teller, sections: list[tuple[str, str]], room: int = CHARACTERS) -> str:
    """Return headed sections, marked as text of others, as far as there is room."""
    parts: list[str] = []
    left = room
    out: list[str] = []
    for heading, body in sections:
        if not body.strip():
            continue
        lines = body.splitlines()
        kept: list[str] = []
        for line in lines:
            if len(line) + 1 > left:
                break
            kept.append(line)
            left -= len(line) + 1
        if len(kept) < len(lines):
            out.append(f"{heading} ({len(lines) - len(kept)} of {len(lines)} lines)")
        if kept:
            parts.append(
                f"## {heading}\n{teller.tell(Source.EVIDENCE, chr(10).join(kept), heading)}"
            )
    if out:
        parts.append(f"Left out for want of room, open them by their ids: {', '.join(out)}.")
    return "\n\n".join(parts)


def _sections(found: reports.Diagnosis) -> Iterator[tuple[str, str]]:
    yield "What the builtin engine concluded", "\n".join(_verdict(found))
    yield "Symptoms", _claims(found.symptoms)
    yield "Impact", _impact(found.impact)
    yield (
        "Replays",
        "\n".join(
            f"- {one.label}: failed {one.failures} of {one.runs} ({one.command}; {one.where})"
            f"{f' [{one.evidence}]' if one.evidence else ''}"
            for one in found.proofs
        ),
    )
    yield (
        "Suspects, by score",
        "\n".join(
            f"- {one.commit[:12]} {one.subject[:90]} ({one.score:.2f}; {one.path or '?'}"
            f"{f':{one.line}' if one.line else ''}; {one.why[:200]})"
            for one in found.suspects[:8]
        ),
    )
    yield (
        "Hypotheses so far",
        "\n".join(
            f"- {one.status}: {one.statement} Test: {one.test} Result: {one.result} "
            f"[{', '.join(one.evidence)}]"
            for one in found.hypotheses[:12]
        ),
    )
    yield "Recent changes", "\n".join(f"- {line}" for line in found.changes[:20])
    yield "Timeline", _claims(found.timeline)
    yield "What could not be seen", "\n".join(f"- {line}" for line in found.gaps)
    yield "Evidence", "\n".join(_ledger(found.evidence))


def _verdict(found: reports.Diagnosis) -> Iterator[str]:
    yield f"{found.verdict}: {found.summary}"
    yield f"Broken revision {found.revision}; last good {found.good_revision or 'unknown'}."
    if found.culprit:
        yield f"Culprit {found.culprit}."
    if found.onset:
        yield f"Onset {found.onset:%Y-%m-%d %H:%M:%S} UTC ({found.onset_kind or 'as given'})."
    if found.exception:
        yield f"Exception {found.exception}."
    if found.recommended:
        yield f"It recommends: {found.recommended}"


def _claims(claims: tuple[reports.Claim, ...]) -> str:
    return "\n".join(
        f"- {one.text} [{', '.join(one.evidence)}]" if one.evidence else f"- {one.text}"
        for one in claims
    )


def _impact(impact: reports.Impact) -> str:
    if impact.requests is None:
        return f"Unknown. {impact.note}"
    return (
        f"{impact.failed} of {impact.requests} requests failed; rate {impact.error_rate}, "
        f"before {impact.baseline_rate}. {impact.note}"
    )


def _ledger(items: tuple[reports.EvidenceItem, ...]) -> Iterator[str]:
    """Yield each fact: those of the failure with an excerpt, test runs and probes shorter."""
    for item in items:
        yield f"[{item.id}] {item.kind}, {item.source}, {item.locator}"
        room = EXCERPT if item.kind in ("log", "frame", "commit", "diff", "config") else SHORT
        text = item.excerpt.strip()
        shown = text if len(text) <= room else f"{text[: room // 2]} … {text[-room // 2 :]}"
        yield from (f"    {line}" for line in shown.splitlines())
