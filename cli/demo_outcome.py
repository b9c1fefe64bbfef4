"""What the demo says and how it judges its end: from outside, by asking the running service.

Used by `cli.demo`. Reads what it is given; starts and changes nothing.
"""

import subprocess
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.table import Table

from cli.production import Production
from demo import traffic
from demo.history import Scenario
from incidents import models
from incidents.models import Act

HEALTHY = 0.0
STILL_DOWN = 0.5


@dataclass(frozen=True)
class Outcome:
    """Whether the scenario ended as it must, and the sentences that show it."""

    right: bool
    lines: tuple[str, ...]


def broken_sentence(scenario: Scenario, users: traffic.Summary) -> str:
    """Say what the users see now."""
    rate = users.total.error_rate or 0.0
    what = {
        Scenario.NO_CODE_CAUSE: "The payment provider is down",
        Scenario.GUEST_CRASH: "A deploy made guests crash, three innocent ones came after it",
        Scenario.BAD_FIX: "A deploy made guests crash; later code quietly leans on it",
    }[scenario]
    return f"{what}: {rate:.0%} of requests fail for users."


def is_over(scenario: Scenario, state: dict[str, Any]) -> bool:
    """Tell whether the incident has come to where this scenario ends."""
    if scenario is Scenario.GUEST_CRASH:
        reviewed = any(r["stage"] == "review" and r["outcome"] == "done" for r in state["runs"])
        return (state["status"] == "resolved" and reviewed) or bool(state["needs_human"])
    return bool(state["needs_human"])


def where(state: dict[str, Any]) -> str:
    """Say where an incident stands that did not come to its end."""
    if not state:
        return "the war room did not answer"
    last = state["runs"][-1] if state["runs"] else {}
    return f"{state['status']}, {last.get('stage')} {last.get('state')} {last.get('error') or ''}"


def is_diagnosis(entry: dict[str, Any]) -> bool:
    """Tell whether a timeline entry is the diagnosis report."""
    report = entry["content"].get("report")
    return entry["kind"] == "report" and isinstance(report, dict) and report["kind"] == "diagnosis"


def sentence(entry: dict[str, Any]) -> str | None:
    """Return one line for the terminal about a timeline entry, None for what is not news there."""
    content, kind = entry["content"], entry["kind"]
    if kind == "stage_started":
        return f"{content['stage']} …"
    if kind == "report":
        return _report(content.get("report") or {})
    if kind == "question":
        offer = content.get("act") == Act.REDEPLOY
        what = "offers to return to the last good version" if offer else "asks for approval"
        return f"Halon {what}."
    if kind == "taken_back":
        return f"Taken back from {content['percent']} % to {content['to']}: {content['why']}"
    if kind == "held":
        return f"Held at {content['percent']} %: {content['why']}"
    if kind == "status":
        return f"The incident is {content.get('to', '')}."
    if kind == "needs_human":
        return f"Needs a human: {content.get('sentence', '')}"
    if kind == "delivered":
        return f"Delivered: {content['where']}"
    if kind == "trouble":
        return f"Trouble: {content.get('what', '')}"
    if kind == "phase" and content.get("gate"):
        return _phase(content)
    return None


def _report(report: dict[str, Any]) -> str:
    kind = report.get("kind")
    if kind == "diagnosis":
        return f"Diagnosis {report['verdict']}: {report['summary']}"
    if kind == "patch":
        return f"Patch ({report['remedy']}): {report['title']}"
    if kind == "no patch":
        return f"No safe patch: {report['reason']}"
    if kind == "test":
        return f"Tests: {'approved' if report['approve'] else 'rejected'}. {report['summary']}"
    if kind == "plan":
        return f"Plan: {report['safe_why']} {report['rehearsal']}".rstrip()
    return f"Review: {report.get('title', '')}"


def _phase(content: dict[str, Any]) -> str:
    canary, stable, gate = content["canary"], content["stable"], content["gate"]
    needed = gate.get("missing_requests")
    more = f", {needed} more requests needed" if needed else ""
    return (
        f"{content['percent']} %: {canary['errors']} of {canary['requests']} failed on the new "
        f"version, {stable['errors']} of {stable['requests']} on the old; {gate['result']}{more}"
    )


def judge(
    production: Production,
    state: dict[str, Any],
    timeline: list[dict[str, Any]],
    contain: bool = False,
) -> Outcome:
    """Ask the running service and the repository whether the scenario ended as it must.

    `contain`: the offer to return to the last good version was taken.
    """
    answers = production.ask()
    truth = production.history
    serving = max(answers.revisions, key=lambda name: answers.revisions[name])
    before = production.users(production.broken_at, _opened(state)).total.error_rate or 0.0
    lost = production.users(_opened(state)).lost
    lines = [
        f"Error rate for users: {before:.0%} before, {answers.error_rate:.0%} now "
        f"(asked {answers.asked} times from outside). Requests lost meanwhile: {lost}."
    ]
    if production.scenario is Scenario.GUEST_CRASH:
        checks = {
            "the incident is resolved": state["status"] == "resolved",
            "the culprit is the commit that did it": state["culprit"] == truth.culprit,
            "the cause is CONFIRMED": state["verdict"] == "CONFIRMED",
            "no request fails": answers.error_rate == HEALTHY,
            "a new revision serves": serving not in (truth.newest, truth.last_good),
            "the fix is on the release branch": _on_main(production, serving),
            "no request was lost": lost == 0,
        }
    elif production.scenario is Scenario.NO_CODE_CAUSE:
        said = " ".join(str(entry["content"]) for entry in timeline)
        checks = {
            "the verdict is NO_CODE_CAUSE": state["verdict"] == "NO_CODE_CAUSE",
            "no commit is accused": state["culprit"] is None,
            "the dependency is named": "payment" in said,
            "no patch was made": not any(_is_patch(entry) for entry in timeline),
            "nothing was deployed": set(answers.revisions) == {truth.newest},
            "the service still needs its provider": answers.error_rate > STILL_DOWN,
        }
    else:
        checks = {
            "the canary was taken back": any(e["kind"] == "taken_back" for e in timeline),
            "the last good version serves": set(answers.revisions) == {truth.last_good},
            "no request fails": answers.error_rate == HEALTHY,
            "the incident is with people": bool(state["needs_human"]),
            "it was escalated": any(r["stage"] == "escalate" for r in state["runs"]),
            "no request was lost": lost == 0,
        }
    if contain:
        checks["users were helped before the fix"] = _helped_first(state)
    lines += [f"{'✓' if passed else '✗'} {claim}" for claim, passed in checks.items()]
    return Outcome(all(checks.values()), tuple(lines))


def _opened(state: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(state["opened_at"])


def _helped_first(state: dict[str, Any]) -> bool:
    """Tell whether the last good version was verified in production before a fix was deployed."""
    ended = {run["stage"]: run for run in state["runs"] if run["outcome"]}
    contained, deployed = ended.get("contain"), ended.get("deploy")
    if contained is None or contained["outcome"] != models.Outcome.VERIFIED:
        return False
    return deployed is None or contained["finished_at"] <= deployed["finished_at"]


def _is_patch(entry: dict[str, Any]) -> bool:
    report = entry["content"].get("report")
    return isinstance(report, dict) and report.get("kind") == "patch"


def _on_main(production: Production, revision: str) -> bool:
    done = subprocess.run(
        ["git", "-C", str(production.history.repository), "merge-base", "--is-ancestor",
         revision, "main"],
        check=False, capture_output=True,
    )  # fmt: skip
    return done.returncode == 0


def table(state: dict[str, Any], outcome: Outcome, confirmed: float | None, address: str) -> Table:
    """Return the closing table: stages against their targets, verdict, culprit, cost, address."""
    shown = Table(title=f"{state['id']} · {state['severity']} · {state['title']}")
    for name in ("stage", "target", "working", "waiting"):
        shown.add_column(name, justify="left" if name == "stage" else "right")
    for clock in state["stages"]:
        target = clock["target_seconds"]
        shown.add_row(
            clock["stage"],
            "–" if target is None else f"{target / 60:.0f} min",
            f"{clock['working_seconds']:.1f} s",
            f"{clock['waiting_seconds']:.1f} s",
        )
    took = "" if confirmed is None else f" after {confirmed:.1f} s"
    shown.caption = (
        f"verdict {state['verdict']}{took} · culprit {(state['culprit'] or 'none')[:12]} · "
        f"cost ${float(state['cost']):.2f}\nwar room {address}\n"
        f"{'ended as it must' if outcome.right else 'DID NOT END AS IT MUST'}"
    )
    return shown
