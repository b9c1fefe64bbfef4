"""A script that plays every role soundly: it opens evidence, tries what it claims, and hands in.

Used by the flow tests and the bench, where a whole incident is played over the real loop and the
real tools. It reads the requests as a model does and knows nothing else of the incident.
"""

import re
from collections.abc import Callable
from typing import Any

from agents.scripted.server import Asked, Failure, Turn, calls

FACT = re.compile(r"\[(E\d+)\]")
ENTRY = re.compile(r"\[(T\d+)\]")
CULPRIT = re.compile(r"Culprit ([0-9a-f]{40})")
SUSPECT = re.compile(r"^- ([0-9a-f]{12}) .*?; ([^;\s]+?)(?::\d+)?;", re.MULTILINE)


def play(asked: Asked) -> Turn | Failure:
    """Return the next reply of whichever role is asked."""
    return ROLES[asked.role](asked)


def diagnose(asked: Asked) -> Turn:
    """Look at the suspect, take it out, and say what was seen."""
    commit, path = _suspect(asked.task())
    if asked.turn == 0:
        wanted: list[tuple[str, Any]] = [("Evidence", {"id": name}) for name in _facts(asked)[:2]]
        if commit:
            wanted.append(("GitHistory", {"what": "show", "revision": commit}))
        return calls(*wanted, text="I look at the failure and at the nearest change first.")
    if asked.turn == 1 and commit:
        wanted = [("Reproduce", {"without": commit})]
        wanted += [("Read", {"path": path})] if path else []
        return calls(*wanted, text="The change may do it; I take it out and replay.")
    facts = _facts(asked)
    said = "The failure began with this change: it is gone when exactly this change is taken out."
    whys = ("Requests failed with the recorded error.", "The code met a value that it did not "
            "expect.", "The change removed what had handled that value.")  # fmt: skip
    return calls(
        (
            "Submit",
            {
                "summary": said if commit else "No change stands out; the facts are listed.",
                "culprit": commit,
                "cause": {"text": said, "evidence": facts[:4]},
                "path": path,
                "symptoms": [{"text": "Some requests fail with an error.", "evidence": facts[:1]}],
                "whys": [{"text": text, "evidence": facts[:2]} for text in whys],
                "hypotheses": [
                    {
                        "statement": "The change brought the failure in.",
                        "test": "Replay without it.",
                        "result": "The replay passes.",
                        "status": "supported",
                        "evidence": facts[-2:],
                    }
                ],
                "recommended": "Take the change back; bring its purpose back with a test.",
            },
        )
    )


def patch(asked: Asked) -> Turn:
    """Take the culprit out, run everything, and hand that in."""
    commit, _ = _suspect(asked.task())
    if commit is None:
        return calls(("Submit", handed_in("nothing is safe")))
    if asked.turn == 0:
        return calls(("Revert", {"commit": commit}), text="The smallest safe change is its revert.")
    if asked.turn == 1:
        return calls(("RunTests", {}), ("Reproduce", {}))
    return calls(("Submit", handed_in("my edits")))


def contain(asked: Asked) -> Turn:
    """Replay once, and take what the builtin engine has contained; without it nothing is safe."""
    if asked.turn == 0:
        return calls(("Reproduce", {}), text="I look at the failure once before I change anything.")
    offered = "it was replayed and holds" in asked.task()
    return calls(
        (
            "Submit",
            {
                "what": "the builtin engine's containment" if offered else "nothing is safe",
                "title": "Go on where the error was raised",
                "why": "It is the smallest change that was shown to hold.",
                "risk": "low: the cause stays and somebody comes back for it",
                "watch": "the count of the error in the log",
            },
        )
    )


def handed_in(what: str) -> dict[str, Any]:
    """Return a patch as a developer hands it in."""
    return {
        "what": what,
        "title": "Take back the change that brought the failure",
        "why_minimal": "It is exactly that one change taken back, and nothing else.",
        "risk": "low: these lines are what ran before",
        "watch": "the count of the error in the log",
        "alternatives": ["a guard at the crashing line: contains the error only"],
    }


def test(asked: Asked) -> Turn:
    """Replay the failure on the patched tree, run the suite, and agree."""
    if asked.turn == 0:
        return calls(("Reproduce", {}), ("RunTests", {}), text="I try to refute the patch.")
    return calls(
        (
            "Submit",
            {
                "recommendation": "approve",
                "summary": "The failure is gone on the patched tree and no test is worse.",
                "concerns": [
                    {"text": "What the change was for is gone until it comes back.", "evidence": []}
                ],
            },
        )
    )


def review(asked: Asked) -> Turn:
    """Write the review from the timeline."""
    entries = ENTRY.findall(asked.task())
    facts = _facts(asked)

    def said(text: str, *evidence: str) -> dict[str, Any]:
        return {"text": text, "evidence": list(evidence)}

    return calls(
        (
            "Submit",
            {
                "summary": "A change reached production whose failing case no test had; it was "
                "found by replaying the failure, taken back in steps, and watched.",
                "whys": [said("Requests failed.", *facts[:1]), said("No test asked that case.")],
                "contributing": [said("The failing case was not part of the tests.")],
                "went_well": [
                    said("The cause was proved before anything was changed.", *entries[-1:])
                ],
                "could_improve": [said("The change could have been tried on recorded requests.")],
                "action_items": [
                    {
                        "text": "Let every deploy replay recorded requests before it ships.",
                        "owner": "the service's owners",
                        "due_days": 14,
                        "check": "a deploy with a failing recorded request is stopped",
                    }
                ],
                "prevention": [said("Technical: recorded requests in the pipeline.")],
                "lessons": [said("A replay settles in minutes what a meeting does in hours.")],
            },
        )
    )


def plan(asked: Asked) -> Turn:
    """Write the messages of the plan."""
    return calls(
        (
            "Submit",
            {
                "messages": [
                    {
                        "audience": "support",
                        "text": "A fix for the failing requests is being rolled out in steps.",
                    }
                ],
                "afterwards": ["Watch the error rate for the validation time."],
                "risks": ["What the reverted change was for is missing until it comes back."],
            },
        )
    )


def _suspect(task: str) -> tuple[str | None, str | None]:
    found = CULPRIT.search(task)
    near = SUSPECT.search(task)
    path = near[2] if near and near[2] != "?" else None
    if found:
        return found[1], path if near and found[1].startswith(near[1]) else None
    return (near[1], path) if near else (None, None)


def _facts(asked: Asked) -> list[str]:
    """Return the ids of facts that the last message speaks of, else those of the task."""
    return list(dict.fromkeys(FACT.findall(asked.told()) or FACT.findall(asked.task())))


ROLES: dict[str, Callable[[Asked], Turn | Failure]] = {
    "bug-diagnostician": diagnose,
    "patch-developer": patch,
    "production-fixer": patch,
    "hotfix": contain,
    "hotfix-tester": test,
    "incident-analyzer": review,
    "deployment-coordinator": plan,
}
