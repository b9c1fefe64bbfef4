"""Turns a timeline entry into the message that a thread shows.

Called by the poster. Pure but for reading the templates: what belongs to the entry comes in a
`Context`. What a message says stands in templates/chat, one template per kind of entry; this file
chooses the template, hands it its values, and adds files, buttons and pictures.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from pydantic import ValidationError

from bot import chart, texts
from bot.port import Button, File, Message, Tone
from bot.story import Told
from bot.verbs import Verb
from incidents import report_text, reports
from incidents.approvals import TAKES_ANSWERS
from incidents.models import (
    Approval,
    ApprovalState,
    Bucket,
    EntryKind,
    Incident,
    Json,
    Platform,
    Rollout,
    TimelineEntry,
)

MOST_LINES = 3
MOST_LINES_ASKED = 7  # yes, no and silence apart, so that they are read in ten seconds
DIFF_LINES = 40  # the heart of a long diff; the file has the whole
Target = tuple[EntryKind, str]

# What belongs to a message that another kind of entry began.
EDITS_STAGE = (EntryKind.PROGRESS, EntryKind.DECISION)
EDITS_QUESTION = (
    EntryKind.SECONDED,
    EntryKind.APPROVED,
    EntryKind.WITHDRAWN,
    EntryKind.REFUSED,
)
OF_A_QUESTION = (EntryKind.QUESTION, *EDITS_QUESTION)
GOING_ON = ("baking", "validating", "promoting")  # states of a phase that will be told of again
PICTURED = (EntryKind.PHASE, EntryKind.TAKEN_BACK, EntryKind.HELD)


@dataclass(frozen=True)
class Context:
    """What a message needs besides its entry."""

    incident: Incident
    approval: Approval | None = None
    approvers: tuple[str, ...] = ()
    needed: int = 1  # how many of them have to say yes
    rollout: Rollout | None = None
    tests: reports.TestReport | None = None
    counts: Json | None = None  # {"canary": {...}, "stable": {...}} of the last phase
    started: Json = field(default_factory=dict)  # what the entry that began the stage said
    buckets: tuple[Bucket, ...] = ()
    told: Told = field(default_factory=Told)
    called: tuple[str, ...] = ()  # who must act, as "slack:U1"
    mitigation: Json | None = None  # command, risk and whether it can be undone


def is_quiet(entry: TimelineEntry) -> bool:
    """Return whether an entry is no message: the onset alone is shown by triage and the card."""
    return entry.kind is EntryKind.SUGGESTED and entry.subject == "onset"


def target(entry: TimelineEntry) -> Target | None:
    """Return the kind and subject of the message that an entry edits, None for one of its own."""
    content = entry.content
    if entry.kind is EntryKind.DECISION and "run" in content:
        return EntryKind.STAGE_STARTED, f"run-{content['run']}"
    if entry.kind in EDITS_STAGE and entry.subject is not None:
        return EntryKind.STAGE_STARTED, entry.subject
    if entry.kind in EDITS_QUESTION and _closes(entry):
        return EntryKind.QUESTION, f"approval-{content['approval']}"
    return None if entry.subject is None else (entry.kind, entry.subject)


def _closes(entry: TimelineEntry) -> bool:
    """A vote that was not accepted leaves the question open and is a message of its own."""
    if entry.kind is not EntryKind.REFUSED:
        return "approval" in entry.content
    return "answer" in entry.content or entry.content.get("reason") == "expired"


def message(entry: TimelineEntry, context: Context) -> Message:
    """Return the message of an entry; raises `jinja2.TemplateError` or `KeyError` for a misfit."""
    if entry.content.get("purged"):
        return _message(entry, context, texts.blocks("purged", **_values(entry, context)))
    if entry.kind is EntryKind.REPORT:
        return _report(entry, context)
    said = _message(entry, context, texts.blocks(entry.kind.value, **_values(entry, context)))
    if entry.kind is EntryKind.PUBLISHED and entry.content.get("text"):
        return _with_paper(said, str(entry.content["text"]), f"{context.incident.id}-review.md")
    return said


def _values(entry: TimelineEntry, context: Context) -> Json:
    values = {
        "entry": entry,
        "c": entry.content,
        "at": entry.at,
        "who": "Halon" if entry.actor.platform is Platform.MACHINE else str(entry.actor),
        "incident": context.incident,
        "started": context.started,
        "counts": entry.content if entry.kind is EntryKind.PHASE else context.counts,
    }
    return values | (_of_question(context) if entry.kind in OF_A_QUESTION else {})


def _of_question(context: Context) -> Json:
    approval = context.approval
    state = approval.state if approval else ApprovalState.SUPERSEDED
    granted = state in (ApprovalState.GRANTED, ApprovalState.USED)
    by = approval.decided_by if approval else None
    return {
        "open": state in TAKES_ANSWERS,
        "state": "approved" if granted else state.value,
        "decided_by": None if by is None else str(by),
        "approvers": context.approvers,
        "needed": context.needed,
        "rollout": context.rollout,
        "mitigation": context.mitigation,
        "bake": _bake(context),
        "tests": context.tests,
    }


def _bake(context: Context) -> timedelta | None:
    """Return the longest bake of the phase that is asked for, as the plan has it."""
    if context.rollout is None or context.approval is None:
        return None
    phases = context.rollout.plan.get("phases", [])
    wanted = [one for one in phases if str(one.get("percent")) == context.approval.scope]
    return timedelta(seconds=float(wanted[0]["bake_seconds"])) if wanted else None


def _message(entry: TimelineEntry, context: Context, said: Mapping[str, str]) -> Message:
    asks = context.approval if entry.kind in OF_A_QUESTION and target(entry) else None
    reference = asks.id if asks else str(entry.content.get("rollout") or context.incident.id)
    return Message(
        headline=" ".join(said["headline"].split()),
        lines=_lines(said.get("lines", ""), MOST_LINES_ASKED if asks else MOST_LINES),
        files=_pictures(entry, context, said) if "picture" in said else (),
        buttons=tuple(_buttons(said.get("buttons", ""), reference)),
        reactions=tuple(said.get("reactions", "").split()),
        tone=Tone(said.get("tone") or Tone.NEUTRAL),
        author="Halon" if entry.actor.platform is Platform.MACHINE else str(entry.actor),
        at=entry.at,
        approval=asks.id if asks else None,
        calls=() if asks and asks.state not in TAKES_ANSWERS else context.called,
        announced=entry.kind is EntryKind.STATUS and "to" in entry.content,
        live=_is_live(entry),
    )


def _is_live(entry: TimelineEntry) -> bool:
    """Return whether more of this message is sure to come: a phase that goes on, a first plan."""
    if entry.kind is EntryKind.PHASE:
        return entry.content.get("state") in GOING_ON
    report = entry.content.get("report")
    return isinstance(report, dict) and report.get("rehearsal") == ""


def _lines(block: str, most: int) -> tuple[str, ...]:
    found = [" ".join(line.split()) for line in block.splitlines()]
    return tuple(line for line in found if line.strip(" ."))[:most]


def _buttons(block: str, reference: str) -> list[Button]:
    found = []
    for line in block.splitlines():
        if line.strip():
            command, label, tone = (part.strip() for part in line.split("|"))
            verb, _, word = command.partition(" ")  # "approve longer" takes another plan
            named = f"{Verb(verb).value} {word}".strip()
            found.append(Button(label, named, reference, Tone(tone)))
    return found


def _report(entry: TimelineEntry, context: Context) -> Message:
    values = _values(entry, context)
    try:
        report = reports.load(entry.content["report"])
    except ValidationError:
        # Written by another version, or redaction broke a field: its place is said, not hidden.
        return _message(entry, context, texts.blocks("report", **values))
    name = report.kind.replace(" ", "_")
    said = texts.blocks(f"report_{name}", r=report, **values, **_proofs(report))
    whole = f"{report_text.markdown(report)}\n---\n\n{_head(entry)}\n"
    title = said["title"]
    made = _with_paper(
        _message(entry, context, said), whole, f"{context.incident.id}-{name}.md", title
    )
    holds = (reports.Hotfix, reports.Escalation)
    patch = report.patch if isinstance(report, holds) else report
    if not isinstance(patch, reports.Patch):
        return made
    paper = File(
        f"{context.incident.id}.diff", "text/x-diff", "The patch", patch.diff.encode("utf-8")
    )
    # The file must apply, so it is as it is; what an approver reads hides no sign from the eye.
    seen = report_text.visible(heart(patch.diff).replace("\r\n", "\n"))
    return replace(made, diff=seen, files=(*made.files, paper))


def _head(entry: TimelineEntry) -> str:
    """The chain's head at this report: whoever keeps it can show later that nothing was changed."""
    return f"Timeline entry {entry.sequence}, SHA-256 `{entry.hash}`."


def _proofs(report: reports.Report) -> Json:
    """Return the replay with the culprit in and the one with it out, which carry a CONFIRMED."""
    if not isinstance(report, reports.Diagnosis):
        return {}
    broken = next((one for one in report.proofs if one.label == "broken revision"), None)
    culprit = (report.culprit or "-")[:7]
    out = (one for one in report.proofs if "without" in one.label and culprit in one.label)
    return {"with_it": broken, "without_it": next(out, None)}


def heart(diff: str, most: int = DIFF_LINES) -> str:
    """Return a diff, or the first lines of a long one with the product's files before the tests."""
    lines = diff.rstrip("\n").split("\n")
    if len(lines) <= most:
        return diff
    files: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("diff ") and files[-1]:
            files.append([])
        files[-1].append(line)
    files.sort(key=lambda file: "test" in file[0])
    kept = [line for file in files for line in file][:most]
    return "\n".join([*kept, f"\\ {len(lines) - most} more lines are in the file"]) + "\n"


def _with_paper(said: Message, text: str, name: str, title: str = "Review (RCA)") -> Message:
    paper = File(name, "text/markdown", title, text.encode("utf-8"))
    return replace(said, markdown=text, files=(*said.files, paper))


def _pictures(entry: TimelineEntry, context: Context, said: Mapping[str, str]) -> tuple[File, ...]:
    if not any(bucket.requests for bucket in context.buckets):
        return ()
    drawn = chart.scene(
        context.buckets, context.incident.onset, context.told.phases, context.told.marks
    )
    name = f"{context.incident.id}-error-rate"
    title = f"{said['picture']}. {drawn.says}"
    return (
        File(f"{name}.png", "image/png", title, chart.to_png(drawn)),
        File(
            f"{name}.svg", "image/svg+xml", title, chart.to_svg(drawn, chart.LIGHT).encode("utf-8")
        ),
    )
