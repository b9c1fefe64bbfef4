"""The words that can be typed: every verb with its usage, and what else is understood for it.

One table for parsing, help, completion and the pages under docs. It knows no line and no store.
"""

from dataclasses import dataclass
from enum import StrEnum


class Verb(StrEnum):
    """What can be typed after `/incident`."""

    OPEN = "open"
    STATUS = "status"
    LIST = "list"
    SEVERITY = "severity"
    ACK = "ack"
    OWN = "own"
    OPERATIONS = "operations"
    COMMUNICATIONS = "communications"
    NOTE = "note"
    CHANGED = "changed"
    APPROVE = "approve"
    REFUSE = "refuse"
    BREAK_GLASS = "break-glass"
    HOLD = "hold"
    ROLLBACK = "rollback"
    MITIGATED = "mitigated"
    MITIGATE = "mitigate"
    EMERGENCY = "emergency"
    RETRY = "retry"
    ESCALATE = "escalate"
    DIAGNOSE = "diagnose"
    PATCH = "patch"
    TEST = "test"
    DEPLOY = "deploy"
    REVIEW = "review"
    RESOLVE = "resolve"
    REOPEN = "reopen"
    CANCEL = "cancel"
    CLOSE = "close"
    PUBLISH = "publish"
    ACTIONS = "actions"
    MERGE = "merge"
    HOTFIX = "hotfix"
    HELP = "help"


@dataclass(frozen=True)
class Usage:
    """How a verb is typed, what it does, and an example that works."""

    words: str
    does: str
    example: str
    incident: bool = True  # it needs an incident: the thread's, or one named as INC-4
    text: bool = False  # it needs words after it


USAGE: dict[Verb, Usage] = {
    Verb.OPEN: Usage(
        "[P0..P3] [service:NAME] TEXT",
        "open an incident; `P0!` takes the emergency path",
        "/incident P0 checkout failing",
        incident=False,
        text=True,
    ),
    Verb.STATUS: Usage("", "what is known, what is done, what is asked", "/incident status"),
    Verb.LIST: Usage("", "the incidents that are open", "/incident list", incident=False),
    Verb.SEVERITY: Usage("P0..P3", "change the severity", "/incident severity P1", text=True),
    Verb.ACK: Usage("", "say that you have seen it", "/incident ack"),
    Verb.OWN: Usage("", "become its commander", "/incident own"),
    Verb.OPERATIONS: Usage("", "become the one who works on it", "/incident operations"),
    Verb.COMMUNICATIONS: Usage(
        "", "become the one who tells those outside", "/incident communications"
    ),
    Verb.NOTE: Usage(
        "TEXT", "add a line to the timeline", "/incident note cache is cold", text=True
    ),
    Verb.CHANGED: Usage(
        "WHAT",
        "record a change of the service that Halon cannot see",
        "/incident changed flag new-tax on",
        text=True,
    ),
    Verb.APPROVE: Usage(
        "[longer | larger | replayed]",
        "answer yes to what is asked, or to another plan that is offered",
        "/incident approve",
    ),
    Verb.REFUSE: Usage("", "answer no to what is asked", "/incident refuse"),
    Verb.BREAK_GLASS: Usage(
        "INC-n WHY",
        "as a responder, say yes alone where no approver answers; it is looked at afterwards",
        "/incident break-glass INC-4 no approver answers and sales stand still",
        text=True,
    ),
    Verb.HOLD: Usage("", "keep the canary at its present share", "/incident hold"),
    Verb.ROLLBACK: Usage("", "take the canary back now", "/incident rollback"),
    Verb.MITIGATED: Usage(
        "WHAT",
        "say what stopped the harm",
        "/incident mitigated payment provider switched",
        text=True,
    ),
    Verb.MITIGATE: Usage(
        "[undo] NAME",
        "run a named mitigation of the service, or undo it; an approver's word is the yes",
        "/incident mitigate no-recommendations",
        text=True,
    ),
    Verb.EMERGENCY: Usage(
        "", "it is an outage: P0, stabilise first, understand meanwhile", "/incident emergency"
    ),
    Verb.RETRY: Usage(
        "",
        "try again what Halon could not do: the last stage, or the escalation",
        "/incident retry",
    ),
    Verb.ESCALATE: Usage("[WHY]", "call for the specialist and for people", "/incident escalate"),
    Verb.DIAGNOSE: Usage(
        "[TRACEBACK]",
        "bug-diagnostician alone: find the cause, post the report, and stop",
        "/incident diagnose",
    ),
    Verb.PATCH: Usage(
        "[COMMIT]",
        "patch-developer alone: mend what the diagnosis, or you, name",
        "/incident patch 3f2a91c",
    ),
    Verb.TEST: Usage(
        "[DIFF]", "hotfix-tester alone: test the thread's patch, or yours", "/incident test"
    ),
    Verb.DEPLOY: Usage(
        "",
        "deployment-coordinator: plan the rollout of the patch and ask for it",
        "/incident deploy",
    ),
    Verb.REVIEW: Usage("", "incident-analyzer alone: write the review now", "/incident review"),
    Verb.RESOLVE: Usage(
        "[WHAT]", "say that it is over; the review is written", "/incident resolve"
    ),
    Verb.REOPEN: Usage("[WHY]", "it is back", "/incident reopen"),
    Verb.CANCEL: Usage("[WHY]", "a false alarm: stop, take back what is open", "/incident cancel"),
    Verb.CLOSE: Usage("", "nothing is left to do", "/incident close"),
    Verb.PUBLISH: Usage("", "publish the review as it stands", "/incident publish"),
    Verb.ACTIONS: Usage("", "its action items", "/incident actions"),
    Verb.MERGE: Usage(
        "INTO", "end it as a part of another incident", "/incident merge INC-4", text=True
    ),
    Verb.HOTFIX: Usage(
        "TEXT | verify | ship | drop",
        "contain it at once and leave a patch (/hotfix for short); then check, ship or drop it",
        "/incident hotfix checkout crashes for guests",
        incident=False,
        text=True,
    ),
    Verb.HELP: Usage("[WORD]", "this list, or one line of it", "/incident help", incident=False),
}

OFFERS = ("longer", "larger", "replayed")
ALIASES: dict[str, Verb] = {
    "acknowledge": Verb.ACK,
    "claim": Verb.OWN,
    "commander": Verb.OWN,
    "ops": Verb.OPERATIONS,
    "comms": Verb.COMMUNICATIONS,
    "yes": Verb.APPROVE,
    "ok": Verb.APPROVE,
    "no": Verb.REFUSE,
    "reject": Verb.REFUSE,
    "pause": Verb.HOLD,
    "revert": Verb.ROLLBACK,
    "?": Verb.HELP,
    # The roles by their own names.
    "bug-diagnostician": Verb.DIAGNOSE,
    "patch-developer": Verb.PATCH,
    "hotfix-tester": Verb.TEST,
    "deployment-coordinator": Verb.DEPLOY,
    "incident-analyzer": Verb.REVIEW,
    "production-fixer": Verb.ESCALATE,
}

# A role alone: what is pasted after it keeps its lines, as a traceback or a diff needs.
ROLES = (Verb.DIAGNOSE, Verb.PATCH, Verb.TEST, Verb.DEPLOY, Verb.REVIEW)


def named(word: str) -> Verb | None:
    """Return the verb that a word stands for, None for any other word."""
    lower = word.lower()
    return ALIASES.get(lower) or next((verb for verb in Verb if verb == lower), None)
