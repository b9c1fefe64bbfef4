"""The timeline of a review: what happened, as sentences that someone reads next week.

Called by `review`. One line per thing that mattered: what merely went on (a bake's progress, a
decision that the next line shows) is left out, and the thread still has it.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from incidents.models import EntryKind, Json, Severity, TimelineEntry
from incidents.reports import Claim

MOST = 60
LENGTH = 240
CLOCK = "%H:%M:%S UTC"


def told(timeline: Sequence[TimelineEntry]) -> Iterator[Claim]:
    """Yield a claim per entry that matters, in order; each cites its entry as T<sequence>."""
    lines: list[tuple[TimelineEntry, str]] = []
    for entry in timeline:
        sentence = SENTENCES.get(entry.kind, _nothing)(entry.content)
        if sentence and (not lines or lines[-1][1] != sentence):
            lines.append((entry, sentence))
    for entry, sentence in lines[:MOST]:
        yield Claim(
            text=f"{entry.at.strftime(CLOCK)} {sentence[:LENGTH]}",
            evidence=(f"T{entry.sequence}",),
        )
    if len(lines) > MOST:
        yield Claim(text=f"… and {len(lines) - MOST} further entries")


def moment(at: datetime) -> str:
    """Return a moment as people read it."""
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def _nothing(content: Json) -> str:
    return ""


def _opened(content: Json) -> str:
    return f"The incident was opened as {content.get('severity', 'P2')}."


def _suggested(content: Json) -> str:
    share, before = content.get("share"), content.get("baseline")
    if share is None:
        return ""
    compared = f", {before:.1%} before" if before is not None else ""
    return f"Triage: {share:.0%} of requests failed{compared}."


def _report(content: Json) -> str:
    report = content.get("report")
    if not isinstance(report, dict):
        return ""
    match report.get("kind"):
        case "diagnosis":
            return f"Diagnosis {report['verdict']}: {report['summary']}"
        case "patch":
            return f"A patch was made ({report['remedy']}): {report['title']}."
        case "no patch":
            return f"No safe patch was found: {report['reason']}"
        case "test":
            return f"The tests {'approved' if report['approve'] else 'rejected'} the patch."
        case "escalation":
            return f"Production-fixer: {report['summary']}"
        case "plan" if report["rehearsal"]:
            return f"The way back was rehearsed: {report['rehearsal']}"
    return ""


def _question(content: Json) -> str:
    return f"Approval was asked: {content.get('act')} {_percent(content.get('scope'))}."


def _approved(content: Json) -> str:
    alone = f" by one responder alone, because {content['alone']}" if content.get("alone") else ""
    return f"It was approved{alone}: {content.get('act')} {_percent(content.get('scope'))}."


def _seconded(content: Json) -> str:
    return f"{len(content.get('agreed', ()))} of {content.get('needed')} approvers said yes."


def _percent(scope: object) -> str:
    return f"{scope} %" if str(scope).isdecimal() else str(scope or "")


def _phase(content: Json) -> str:
    """Return a line where a phase begins; how it went is told by what follows."""
    begins = content.get("state") == "baking" and not content.get("gate")
    return f"{content['percent']} % of the traffic went to the new version." if begins else ""


def _taken_back(content: Json) -> str:
    where = "the version with the incident" if content.get("broken") else content.get("to")
    return f"The canary was taken back to {where}: {content.get('why')}"


def _held(content: Json) -> str:
    return f"The canary was held at {content.get('percent')} %: {content.get('why')}"


def _status(content: Json) -> str:
    to = content.get("to")
    return f"The incident was {to}." if to else ""


def _severity(content: Json) -> str:
    to = content.get("to") or content.get("severity")
    return f"The severity became {to}." if to in set(Severity) else ""


def _named(prefix: str, key: str) -> Callable[[Json], str]:
    return lambda content: f"{prefix}{content[key]}" if content.get(key) else ""


SENTENCES: dict[EntryKind, Callable[[Json], str]] = {
    EntryKind.OPENED: _opened,
    EntryKind.SUGGESTED: _suggested,
    EntryKind.REPORT: _report,
    EntryKind.QUESTION: _question,
    EntryKind.SECONDED: _seconded,
    EntryKind.APPROVED: _approved,
    EntryKind.WITHDRAWN: lambda _: "An approval was withdrawn.",
    EntryKind.REFUSED: _named("A vote was not accepted: ", "reason"),
    EntryKind.PHASE: _phase,
    EntryKind.TAKEN_BACK: _taken_back,
    EntryKind.HELD: _held,
    EntryKind.STATUS: _status,
    EntryKind.SEVERITY: _severity,
    EntryKind.NOTE: _named("Note: ", "text"),
    EntryKind.CHANGE: _named("A change was recorded: ", "note"),
    EntryKind.NEEDS_HUMAN: _named("People were called: ", "sentence"),
    EntryKind.OVERDUE: _named("Past its target: ", "stage"),
    EntryKind.DELIVERED: _named("The fix reached the release branch: ", "where"),
    EntryKind.TROUBLE: _named("Something of Halon's went wrong: ", "what"),
}
