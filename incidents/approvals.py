"""Approvals: asked, decided, withdrawn, expired, used. `decide` is the one way to say yes.

Reactions, buttons and commands all come here. The MAC key is held by bot and controller only;
built without a key, this class can ask but neither decide nor verify.
"""

from dataclasses import dataclass
from datetime import timedelta

from incidents.models import Act, Answer, Approval, Person, Result, Verdict
from incidents.policy import Access
from incidents.store import Store


@dataclass(frozen=True)
class Question:
    """What is asked; the same `key` is the same question."""

    incident: int
    service: str
    act: Act
    scope: str  # "10", "50", "100" or "through 100"
    patch_digest: str
    plan_hash: str
    key: str
    rollout: str | None = None
    artefact_digest: str | None = None
    verdict: Verdict | None = None
    gate: Result | None = None
    author: Person | None = None
    expires: timedelta = timedelta(minutes=30)


@dataclass(frozen=True)
class Expected:
    """What the voter saw; everything named must still match."""

    patch_digest: str
    plan_hash: str
    rollout: str | None
    scope: str


@dataclass(frozen=True)
class Decision:
    """Whether a vote was accepted, why not, and the approval as it stands."""

    accepted: bool
    reason: str
    approval: Approval


class Approvals:
    """Asks for and decides approvals."""

    def __init__(
        self, store: Store, access: Access | None = None, key: bytes | None = None
    ) -> None:
        raise NotImplementedError

    def ask(self, question: Question) -> Approval:
        """Ask people; an older open question of the same rollout (or act) is superseded."""
        raise NotImplementedError

    def get(self, approval_id: str) -> Approval:
        """Return an approval; raises `errors.NotFound`."""
        raise NotImplementedError

    def pending(self, incident: int) -> list[Approval]:
        """Return the questions that still take an answer, newest last."""
        raise NotImplementedError

    def decide(
        self,
        approval_id: str,
        person: Person,
        answer: Answer,
        expected: Expected | None,
        event_key: str,
    ) -> Decision:
        """Record a vote or refuse it with its reason; one event is one vote, however often it comes.

        `expected` is what the voter's message showed; None only where the place itself shows the
        current question (a typed command), and then the stored one is taken.
        """
        raise NotImplementedError

    def withdraw(self, approval_id: str, person: Person, event_key: str) -> Decision:
        """Take one's yes back; accepted only before the step has started."""
        raise NotImplementedError

    def expire_due(self) -> list[Approval]:
        """Expire what is past its time and return it."""
        raise NotImplementedError

    def granted(self, rollout: str, scope: str, step: str) -> Approval | None:
        """Return a verified yes that covers a phase ("50" or "through 100"), unused or used for `step`."""
        raise NotImplementedError

    def use(self, approval_id: str, step: str) -> Approval:
        """Spend a yes on a step, again for the same step is fine; raises `NotAllowed`, `WrongState`."""
        raise NotImplementedError
