"""What an answer does to a question: not accepted, a no, a yes that waits for others, or enough.

Called by `approvals` with the question held and after policy has been asked; each event is recorded
once, with its reason, whether it was accepted or not.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from incidents import errors, mac, moves, rows, schema, timeline
from incidents.models import (
    Answer,
    Approval,
    ApprovalState,
    EntryKind,
    Person,
    Verdict,
)
from incidents.store import Tx
from incidents.timeline import Draft

_A, _V = schema.approval, schema.vote
GRACE_PART = 6  # of the time to answer: five minutes of half an hour


@dataclass(frozen=True)
class Decision:
    """Whether a vote was accepted, why not, and the approval as it stands."""

    accepted: bool
    reason: str
    approval: Approval


@dataclass(frozen=True)
class Vote:
    """One person's answer to one question; one event is one vote."""

    tx: Tx
    approval: Approval
    person: Person
    event_key: str

    def seen(self) -> Decision | None:
        """Return what became of this event when it came before."""
        seen = self.tx.run(select(_V).where(_V.c.event_key == self.event_key)).first()
        return None if seen is None else Decision(seen.accepted, seen.reason, self.approval)

    def again(self, mine: bool) -> Decision:
        """Answer a yes to what is approved already."""
        by = self.approval.decided_by
        said = (mine, "already approved" if mine else f"Already approved by {by}.")
        return self._noted(Answer.YES, *said)

    def refuse(self, answer: Answer | None, reason: str) -> Decision:
        """Say why the answer does not count."""
        say(self.tx, self.approval, EntryKind.REFUSED, self.person, {"reason": reason})
        return self._noted(answer, False, reason)

    def no(self) -> Decision:
        """End the question."""
        ended = {"state": ApprovalState.REFUSED, "decided_by": self.person}
        put(self.tx, self.approval, **ended, decided_at=self.tx.now, mac=None)
        self._tell(EntryKind.REFUSED, {"answer": Answer.NO.value, "reason": "refused"})
        return self._noted(Answer.NO, True, "refused")

    def yes(
        self, key: bytes, agreed: tuple[Person, ...], needed: int, alone: str | None = None
    ) -> Decision:
        """Grant what enough people have said yes to; else keep the yes and the question open.

        `agreed` holds everybody whose yes counts, this person last; `alone` is why one is enough.
        """
        count = f"{len(agreed)} of {needed}"
        several = {"agreed": [str(one) for one in agreed], "needed": needed} if needed > 1 else {}
        if len(agreed) >= needed:
            until = max(self.approval.expires_at, self.tx.now + _grace(self.approval))
            quorum = needed if several else None
            self._agree(key, ApprovalState.GRANTED, agreed, quorum, until)
            why = {"alone": alone} if alone else {}
            said = {"answer": Answer.YES.value, "reason": "approved"}
            self._tell(EntryKind.APPROVED, said | why | several)
            return self._noted(Answer.YES, True, "approved")
        if set(agreed) == set(self.approval.agreed):
            said_before = f"You have said yes already, {count}; it takes another person."
            return self._noted(Answer.YES, True, said_before)
        self._agree(key, self.approval.state, agreed, needed, self.approval.expires_at)
        reason = f"Your yes is {count}; nothing moves before it is enough."
        self._tell(EntryKind.SECONDED, {"answer": Answer.YES.value, "reason": reason} | several)
        return self._noted(Answer.YES, True, reason)

    def withdraw(self, key: bytes, left: tuple[Person, ...]) -> Decision:
        """Take a yes back; the question is open again, with the yes of those who are left."""
        quorum = self.approval.quorum if left else None
        self._agree(key, ApprovalState.WITHDRAWN, left, quorum, self.approval.expires_at)
        say(self.tx, self.approval, EntryKind.WITHDRAWN, self.person, {})
        return self._noted(None, True, "withdrawn")

    def _agree(
        self,
        key: bytes,
        state: ApprovalState,
        agreed: tuple[Person, ...],
        quorum: int | None,
        expires_at: datetime,
    ) -> None:
        """Write who has said yes, sealed; where nobody has, there is nothing to seal."""
        last = agreed[-1] if agreed else None
        decided = replace(
            self.approval,
            decided_by=last,
            decided_at=self.tx.now if last else None,
            expires_at=expires_at,
            agreed=agreed if quorum else (),
            quorum=quorum,
        )
        put(
            self.tx,
            decided,
            state=state,
            decided_by=last,
            decided_at=decided.decided_at,
            expires_at=expires_at,
            agreed=mac.agreed(decided) or None,
            quorum=quorum,
            mac=mac.sign(key, decided) if last else None,
        )

    def _tell(self, kind: EntryKind, said: dict[str, Any]) -> None:
        moves.heard(self.tx, rows.get_incident(self.tx, self.approval.incident), self.person)
        say(self.tx, self.approval, kind, self.person, said)

    def _noted(self, answer: Answer | None, accepted: bool, reason: str) -> Decision:
        """Record the vote; the approval is given as it now stands."""
        row = {"approval": self.approval.id, "person": self.person, "answer": answer}
        noted = row | {"event_key": self.event_key, "accepted": accepted, "reason": reason}
        self.tx.run(_V.insert().values(at=self.tx.now, **noted))
        return Decision(accepted, reason, get(self.tx, self.approval.id))


def get(tx: Tx, approval_id: str) -> Approval:
    """Return an approval; raises `errors.NotFound`."""
    row = tx.run(select(_A).where(_A.c.id == approval_id)).first()
    if row is None:
        raise errors.NotFound(f"There is no approval {approval_id!r}.")
    return rows.approval(row)


def put(tx: Tx, approval: Approval, **values: Any) -> None:
    """Write columns of an approval."""
    tx.run(update(_A).where(_A.c.id == approval.id).values(**values))


def question(approval: Approval) -> Draft:
    """Return the entry that asks."""
    return Draft(EntryKind.QUESTION, _content(approval), f"approval-{approval.id}")


def say(tx: Tx, approval: Approval, kind: EntryKind, actor: Person, extra: dict[str, Any]) -> None:
    """Tell what became of a question."""
    timeline.append(tx, approval.incident, Draft(kind, _content(approval) | extra), actor)


def _content(approval: Approval) -> dict[str, Any]:
    return {
        "approval": approval.id,
        "act": approval.act.value,
        "service": approval.service,
        "scope": approval.scope,
        "patch_digest": approval.patch_digest,
        "artefact_digest": approval.artefact_digest,
        "plan_hash": approval.plan_hash,
        "rollout": approval.rollout,
        "verdict": approval.verdict.value if approval.verdict else None,
        "gate": approval.gate.value if approval.gate else None,
        "likely": approval.verdict is Verdict.LIKELY,
        "expires_at": approval.expires_at.isoformat(),
    }


def _grace(approval: Approval) -> timedelta:
    """Return how long a yes holds at least: one in the last minute has time to be carried out."""
    return (approval.expires_at - approval.asked_at) / GRACE_PART
