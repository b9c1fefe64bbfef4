"""Approvals: asked, decided, withdrawn, expired, used. `decide` is the one way to say yes.

Reactions, buttons and commands all come here. The MAC key is held by bot and controller only;
built without a key, this class can ask but neither decide nor verify, and without the lists of
people (as in the controller) it cannot decide.
"""

import hashlib
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import or_, select, update

from incidents import entries, errors, knowledge, mac, policy, rows, schema, timeline, votes
from incidents.columns import canonical
from incidents.models import (
    MACHINE,
    Act,
    Answer,
    Approval,
    ApprovalState,
    EntryKind,
    Incident,
    Person,
    Result,
    Rollout,
    Verdict,
)
from incidents.policy import Access
from incidents.store import Store, Tx
from incidents.votes import Decision, Vote

_A, _R = schema.approval, schema.rollout
_S = ApprovalState
TAKES_ANSWERS = (_S.ASKED, _S.WITHDRAWN)
# How long a spent yes is looked at again, for its end may not have been seen.
REMEMBERED = timedelta(hours=2)
REVIEWED_WITHIN = timedelta(days=3)  # that somebody answered alone
THROUGH = "through "  # a scope that covers every phase up to its figure, while every gate passes


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


class Approvals:
    """Asks for and decides approvals."""

    def __init__(
        self, store: Store, access: Access | None = None, key: bytes | None = None
    ) -> None:
        self._store, self._access, self._key = store, access, key

    def ask(self, question: Question) -> Approval:
        """Ask people; an older open question of the same rollout (or act) is superseded."""
        with self._store.write() as tx:
            rows.lock_incident(tx, question.incident)
            made = hashlib.sha256(question.key.encode()).hexdigest()[:16]
            named = asdict(question) | {"id": made, "author": question.author}
            del named["key"], named["expires"]
            asked = {
                "state": _S.ASKED,
                "asked_at": tx.now,
                "expires_at": tx.now + question.expires,
            }
            if tx.insert_new(_A, named | asked) is not None:
                approval = votes.get(tx, made)
                _supersede(tx, approval)
                timeline.append(tx, approval.incident, votes.question(approval), MACHINE)
            return votes.get(tx, made)

    def get(self, approval_id: str) -> Approval:
        """Return an approval; raises `errors.NotFound`."""
        with self._store.read() as tx:
            return votes.get(tx, approval_id)

    def pending(self, incident: int) -> list[Approval]:
        """Return the questions that still take an answer, newest last."""
        with self._store.read() as tx:
            where = (_A.c.incident == incident, _A.c.state.in_(TAKES_ANSWERS))
            found = tx.run(
                select(_A).where(*where, _A.c.expires_at > tx.now).order_by(_A.c.asked_at, _A.c.id)
            )
            return [rows.approval(row) for row in found]

    def of_rollout(self, rollout: str) -> list[Approval]:
        """Return every question of a rollout, newest last, answered or not."""
        with self._store.read() as tx:
            found = tx.run(
                select(_A).where(_A.c.rollout == rollout).order_by(_A.c.asked_at, _A.c.id)
            )
            return [rows.approval(row) for row in found]

    def decide(
        self,
        approval_id: str,
        person: Person,
        answer: Answer,
        expected: Expected | None,
        event_key: str,
        alone: str | None = None,
    ) -> Decision:
        """Record a vote or refuse it with its reason; one event is one vote.

        `expected` is what the voter's message showed; None only where the place itself shows the
        current question (a typed command), and then the stored one is taken. Where a quorum is
        asked for, a yes is accepted and the question stays open until enough people have said it.
        `alone` breaks the glass: why a responder says yes past the list of approvers, quorum, four
        eyes and an INCONCLUSIVE, never past a FAIL; an action item asks for a look at it.
        """
        access, key = self._judges()
        with self._store.write() as tx:
            approval, incident = _honest(tx, approval_id, key)
            vote = Vote(tx, approval, person, event_key)
            if (seen := vote.seen()) is not None:
                return seen
            if approval.state is _S.GRANTED and answer is Answer.YES:
                return vote.again(_is_mine(approval, person, access))
            refusal = _stale(tx, approval, answer, expected)
            if refusal is None:
                allowed = (
                    policy.may_answer(approval, person, answer, incident, access)
                    if alone is None
                    else policy.may_break_glass(approval, person, access)
                )
                refusal = allowed.reason if isinstance(allowed, policy.Refused) else None
            if refusal is not None:
                return vote.refuse(answer, refusal)
            if answer is Answer.NO:
                return vote.no()
            if alone is not None:
                decision = vote.yes(key, (person,), 1, alone)
                _ask_for_a_look(tx, incident, approval, alone, access)
                return decision
            agreed = _agreeing(approval, person, incident, access)
            needed = policy.quorum(approval.act, approval.service, incident.severity, access)
            return vote.yes(key, agreed, needed)

    def withdraw(self, approval_id: str, person: Person, event_key: str) -> Decision:
        """Take one's yes back; accepted only before the step has started."""
        access, key = self._judges()
        with self._store.write() as tx:
            approval, _ = _honest(tx, approval_id, key)
            vote = Vote(tx, approval, person, event_key)
            if (seen := vote.seen()) is not None:
                return seen
            mine = _is_mine(approval, person, access)
            if approval.state is _S.USED and mine:
                return vote.refuse(
                    None, "The step has started; say `hold` or `rollback` to stop it."
                )
            if approval.state not in (*TAKES_ANSWERS, _S.GRANTED) or not mine:
                return Decision(False, "There is no yes of yours to take back.", approval)
            voice = access.voice(person)
            left = tuple(one for one in approval.agreed if access.voice(one) != voice)
            return vote.withdraw(key, left)

    def drop(self, rollout: str) -> bool:
        """Supersede the open question of a rollout; False when somebody has said yes to it."""
        with self._store.write() as tx:
            mine = tx.run(select(_A).where(_A.c.rollout == rollout)).all()
            for approval in map(rows.approval, mine):
                rows.lock_incident(tx, approval.incident)
            given = _A.c.state.in_((_S.GRANTED, _S.USED))
            if tx.run(select(_A.c.id).where(_A.c.rollout == rollout, given)).first() is not None:
                return False
            open_ = (_A.c.rollout == rollout, _A.c.state.in_(TAKES_ANSWERS))
            tx.run(update(_A).where(*open_).values(state=_S.SUPERSEDED))
            return True

    def expire_due(self) -> list[Approval]:
        """Expire what is past its time, a yes that was never used included, and return it."""
        states = (*TAKES_ANSWERS, _S.GRANTED)
        with self._store.write() as tx:
            where = (_A.c.state.in_(states), _A.c.expires_at <= tx.now)
            found = tx.run(select(_A.c.id).where(*where).order_by(_A.c.incident)).scalars().all()
            expired = []
            for approval_id in found:
                approval, _ = _locked(tx, approval_id)
                if approval.state in states:
                    votes.put(tx, approval, state=_S.EXPIRED)
                    votes.say(tx, approval, EntryKind.REFUSED, MACHINE, {"reason": "expired"})
                    expired.append(votes.get(tx, approval_id))
            return expired

    def granted(self, rollout: str, scope: str, step: str) -> Approval | None:
        """Return a verified yes that covers a phase ("50" or "100"), unused or used for `step`.

        A forged row, or one for another plan than the rollout now has, is nobody's yes; the first
        is told in the timeline once.
        """
        key = self._verifies()
        with self._store.write() as tx:
            named = tx.run(select(_R).where(_R.c.id == rollout)).first()
            found = tx.run(
                select(_A)
                .where(_A.c.rollout == rollout, _A.c.state.in_((_S.GRANTED, _S.USED)))
                .order_by(_A.c.asked_at.desc(), _A.c.id)
            ).all()
            for approval in map(rows.approval, found):
                if not covers(approval.scope, scope) or not _usable(tx, approval, step):
                    continue
                if not mac.verify(key, approval):
                    _tell_forged(tx, approval)
                elif named is None or _is_about(rows.rollout(named), approval):
                    return approval
            return None

    def of_act(self, act: Act) -> list[Approval]:
        """Return every verified yes to an act without a rollout, spent or not, oldest first."""
        key = self._verifies()
        with self._store.read() as tx:
            where = (_A.c.act == act, _A.c.rollout.is_(None), _A.c.state.in_((_S.GRANTED, _S.USED)))
            fresh = or_(_A.c.asked_at > tx.now - REMEMBERED, _A.c.expires_at > tx.now)
            found = tx.run(select(_A).where(*where, fresh).order_by(_A.c.asked_at, _A.c.id)).all()
        asked = [rows.approval(row) for row in found]
        if forged := [one for one in asked if not mac.verify(key, one)]:
            with self._store.write() as tx:
                for one in forged:
                    _tell_forged(tx, one)
        return [one for one in asked if one not in forged]

    def use(self, approval_id: str, step: str) -> Approval:
        """Spend a yes on a step, the same step again is fine; raises `NotAllowed`, `WrongState`."""
        key = self._verifies()
        with self._store.write() as tx:
            approval, incident = _locked(tx, approval_id)
            if not _usable(tx, approval, step):
                raise errors.WrongState(
                    f"Approval {approval_id!r} is {approval.state.value}; it cannot be used "
                    f"for {step!r}. Ask again.",
                    incident_id=incident.id,
                )
            if not mac.verify(key, approval):
                raise errors.NotAllowed(
                    f"Approval {approval_id!r} does not carry the seal of what it says; "
                    "somebody wrote it past `decide`. Ask again, and look at who can write to the "
                    "database.",
                    incident_id=incident.id,
                )
            votes.put(tx, approval, state=_S.USED, used_for=step)
            return votes.get(tx, approval_id)

    def _judges(self) -> tuple[Access, bytes]:
        if self._access is None:
            raise errors.NotAllowed("Without the lists of people a process may ask, never decide.")
        return self._access, self._verifies()

    def _verifies(self) -> bytes:
        if self._key is None:
            raise errors.NotAllowed("Without the approval key a process may ask, never decide.")
        return self._key


def covers(scope: str, phase: str) -> bool:
    """Return whether a scope covers a phase: "50" covers "50", "through 50" covers "10" as well."""
    if not scope.startswith(THROUGH):
        return scope == phase
    limit, wanted = scope.removeprefix(THROUGH), phase.removeprefix(THROUGH)
    return limit.isdecimal() and wanted.isdecimal() and int(wanted) <= int(limit)


def digest(plan: Any) -> str:
    """Return the hash of a plan by which approvals name it."""
    return hashlib.sha256(canonical(plan).encode()).hexdigest()


def _usable(tx: Tx, approval: Approval, step: str) -> bool:
    if approval.state is _S.GRANTED:
        return approval.expires_at > tx.now
    # A used one: the same step after a crash, or the next phase of a "through".
    through = approval.scope.startswith(THROUGH)
    return approval.state is _S.USED and (approval.used_for == step or through)


def _is_about(rollout: Rollout, approval: Approval) -> bool:
    """Tell whether a yes was asked for this rollout as it is, of those who may start one."""
    # Whoever may write to the database asks what it likes: everybody may say yes to a note.
    if policy.WHO_MAY[approval.act] is not policy.Who.APPROVERS:
        return False
    # The plan itself is hashed again: its stored hash could be kept while the plan was changed.
    is_ = (rollout.incident, rollout.service, digest(rollout.plan), rollout.patch_digest)
    named = (approval.incident, approval.service, approval.plan_hash, approval.patch_digest)
    return named == is_


def _locked(tx: Tx, approval_id: str) -> tuple[Approval, Incident]:
    incident = rows.lock_incident(tx, votes.get(tx, approval_id).incident)
    return votes.get(tx, approval_id), incident


def _honest(tx: Tx, approval_id: str, key: bytes) -> tuple[Approval, Incident]:
    """Return an approval, held, without those whom a forger wrote among the people who agreed."""
    approval, incident = _locked(tx, approval_id)
    if approval.agreed and not mac.is_signed(key, approval):
        approval = replace(approval, agreed=())
    return approval, incident


def _agreeing(
    approval: Approval, person: Person, incident: Incident, access: Access
) -> tuple[Person, ...]:
    """Return who says yes with this one, each voice once; who may no longer answer is left out."""

    def still(one: Person) -> bool:
        may = policy.may_answer(approval, one, Answer.YES, incident, access)
        return isinstance(may, policy.Allowed) and access.voice(one) != access.voice(person)

    return (*filter(still, approval.agreed), person)


def _is_mine(approval: Approval, person: Person, access: Access) -> bool:
    said_yes = (approval.decided_by, *approval.agreed)
    return access.voice(person) in {access.voice(one) for one in said_yes if one is not None}


def _supersede(tx: Tx, newer: Approval) -> None:
    alike = (_A.c.act == newer.act) & (_A.c.scope == newer.scope) & _A.c.rollout.is_(None)
    same = _A.c.rollout == newer.rollout if newer.rollout else alike
    other_plan = or_(_A.c.plan_hash != newer.plan_hash, _A.c.patch_digest != newer.patch_digest)
    open_ = _A.c.state.in_(TAKES_ANSWERS)
    # What was used without a rollout has run to its end: a newer question does not undo that.
    given = (_S.GRANTED, _S.USED) if newer.rollout else (_S.GRANTED,)
    voided = _A.c.state.in_(given) & other_plan
    where = (_A.c.incident == newer.incident, _A.c.id != newer.id, same, or_(open_, voided))
    tx.run(update(_A).where(*where).values(state=_S.SUPERSEDED))


def _stale(tx: Tx, approval: Approval, answer: Answer, expected: Expected | None) -> str | None:
    """Return why the question no longer takes this answer, None when it does."""
    open_states = (*TAKES_ANSWERS, _S.GRANTED) if answer is Answer.NO else TAKES_ANSWERS
    if approval.state not in open_states:
        return f"This question is {approval.state.value}; answer the newest one."
    if approval.expires_at <= tx.now:
        again = "; `/incident retry` asks again." if approval.act is Act.START else "."
        return f"This question has expired{again}"
    if expected is None:
        return None
    changed = [name for name, seen in asdict(expected).items() if getattr(approval, name) != seen]
    if changed:
        return f"What you saw is not what would be done: other {', '.join(changed)}. Look again."
    return None


def _ask_for_a_look(
    tx: Tx, incident: Incident, approval: Approval, why: str, access: Access
) -> None:
    """Leave an open action item: a lone yes is right at 2 a.m. and looked at by day."""
    service = access.services.get(approval.service)
    owner = ", ".join(service.owners) if service and service.owners else "the service's approvers"
    text = (
        f"Look at why {incident.id} was approved past the approvers ({approval.act.value} "
        f"{approval.scope}), and what would have let one of them answer: {why}"
    )
    due = tx.now + REVIEWED_WITHIN
    knowledge.add_item(tx, incident.number, text, owner, due, None, MACHINE)


def _tell_forged(tx: Tx, approval: Approval) -> None:
    subject = f"forged-{approval.id}"
    rows.lock_incident(tx, approval.incident)
    if not timeline.said_before(tx, approval.incident, EntryKind.TROUBLE, subject):
        told = entries.trouble(
            f"Approval {approval.id} does not carry the seal of what it says and was ignored.",
            "Ask again, and look at who can write to the database.",
        )
        timeline.append(tx, approval.incident, replace(told, subject=subject), MACHINE)
