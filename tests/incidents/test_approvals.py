"""One way to say yes, bound to everything that was asked; nobody can write a yes past it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from incidents import approvals as module
from incidents import errors, mac, schema
from incidents.approvals import Approvals, Expected
from incidents.knowledge import ActionItems
from incidents.models import Act, Answer, Approval, ApprovalState, Person, Platform, Result, Verdict
from incidents.policy import Access
from tests.incidents.builders import (
    ACCESS,
    APPROVER,
    CHECKOUT,
    KEY,
    REPORTER,
    RESPONDER,
    SECOND_APPROVER,
    World,
)

YES, NO = Answer.YES, Answer.NO


def asked(world: World, **values: object) -> Approval:
    """A question about the first phase of a rollout, in the first incident."""
    known = world.incidents.list(live_only=False)
    rollout = world.rollouts.get("r1") if known else world.rollout(world.open(stage=None))
    return world.approvals.ask(world.question(rollout, **values))


def seen(approval: Approval, **values: Any) -> Expected:
    shown = Expected(approval.patch_digest, approval.plan_hash, approval.rollout, approval.scope)
    return replace(shown, **values)


def state(world: World, approval: Approval) -> ApprovalState:
    return world.approvals.get(approval.id).state


def test_a_question_names_everything_it_asks(world: World) -> None:
    approval = asked(world, verdict=Verdict.LIKELY)
    entry = world.timeline.entries(approval.incident)[-1]

    assert ("question", True) == (entry.kind, entry.content["likely"])
    assert (approval.id, "10", "d" * 64, approval.plan_hash, "r1") == tuple(
        entry.content[name]
        for name in ("approval", "scope", "patch_digest", "plan_hash", "rollout")
    )


def test_the_same_question_is_asked_once(world: World) -> None:
    assert asked(world) == asked(world)
    assert ["opened", "question"] == world.kinds(world.incidents.get(1))


def test_a_yes_is_sealed_and_told(world: World) -> None:
    approval = asked(world)
    decision = world.approvals.decide(approval.id, APPROVER, YES, seen(approval), "e1")

    assert (True, ApprovalState.GRANTED) == (decision.accepted, decision.approval.state)
    assert APPROVER == decision.approval.decided_by
    assert mac.verify(KEY, decision.approval)
    assert "approved" == world.kinds(world.incidents.get(1))[-1]


def test_a_no_is_a_responders_right_and_ends_the_question(world: World) -> None:
    approval = asked(world)

    assert world.approvals.decide(approval.id, RESPONDER, NO, None, "e1").accepted
    assert ApprovalState.REFUSED is state(world, approval)
    assert not world.approvals.decide(approval.id, APPROVER, YES, None, "e2").accepted


REFUSALS: dict[str, tuple[Callable[[Approval], Expected], Person, dict[str, object]]] = {
    "a reporter": (seen, REPORTER, {}),
    "a responder": (seen, RESPONDER, {}),
    "a bot": (seen, replace(APPROVER, bot=True), {}),
    "a guest": (seen, replace(APPROVER, guest=True), {}),
    "the machine": (seen, Person(Platform.MACHINE, "halon"), {}),
    "another patch": (lambda a: seen(a, patch_digest="e" * 64), APPROVER, {}),
    "another plan": (lambda a: seen(a, plan_hash="0" * 64), APPROVER, {}),
    "another rollout": (lambda a: seen(a, rollout="r2"), APPROVER, {}),
    "another scope": (lambda a: seen(a, scope="through 100"), APPROVER, {}),
    "a FAIL": (seen, APPROVER, {"gate": Result.FAIL}),
    "an INCONCLUSIVE": (seen, APPROVER, {"gate": Result.INCONCLUSIVE}),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_yes_is_refused_with_its_reason(world: World, case: str) -> None:
    shown, person, named = REFUSALS[case]
    approval = asked(world, **named)
    decision = world.approvals.decide(approval.id, person, YES, shown(approval), "e1")
    entry = world.timeline.entries(approval.incident)[-1]

    assert not decision.accepted
    assert decision.reason
    assert (ApprovalState.ASKED, None) == (decision.approval.state, decision.approval.mac)
    assert ("refused", decision.reason) == (entry.kind, entry.content["reason"])


def test_an_inconclusive_is_granted_to_the_approver_who_commands(world: World) -> None:
    approval = asked(world, gate=Result.INCONCLUSIVE)
    world.incidents.own(approval.incident, APPROVER)

    assert world.approvals.decide(approval.id, APPROVER, YES, None, "e1").accepted


def test_a_responder_may_break_the_glass_and_that_is_looked_at_afterwards(world: World) -> None:
    approval = asked(world, gate=Result.INCONCLUSIVE)
    decision = world.approvals.decide(
        approval.id, RESPONDER, YES, None, "e1", alone="no approver answers"
    )
    told = world.timeline.entries(approval.incident)[-2:]
    (item,) = ActionItems(world.store).list(approval.incident)

    assert (True, RESPONDER) == (decision.accepted, decision.approval.decided_by)
    assert ["approved", "note"] == [entry.kind for entry in told]
    assert "no approver answers" == told[0].content["alone"]
    assert "no approver answers" in item.text
    assert world.approvals.granted("r1", "10", "s") is not None


@pytest.mark.parametrize(
    ("person", "named"),
    [
        (RESPONDER, {"gate": Result.FAIL}),
        (REPORTER, {}),
        (replace(RESPONDER, bot=True), {}),
        (replace(RESPONDER, guest=True), {}),
        (Person(Platform.MACHINE, "halon"), {}),
    ],
)
def test_the_glass_is_not_broken_over_a_fail_nor_by_a_stranger(
    world: World, person: Person, named: dict[str, object]
) -> None:
    approval = asked(world, **named)
    decision = world.approvals.decide(approval.id, person, YES, None, "e1", alone="now")

    assert not decision.accepted
    assert ApprovalState.ASKED is state(world, approval)
    assert [] == ActionItems(world.store).list(approval.incident)


def test_a_yes_in_the_last_minute_has_time_to_be_carried_out(world: World) -> None:
    approval = asked(world)
    world.clock.pass_(minutes=29)
    world.approvals.decide(approval.id, APPROVER, YES, None, "e1")
    world.clock.pass_(minutes=4)  # production needs as long to make a canary ready
    assert [] == world.approvals.expire_due()

    assert world.approvals.granted("r1", "10", "10") is not None
    world.clock.pass_(minutes=2)
    assert [approval.id] == [one.id for one in world.approvals.expire_due()]
    assert world.approvals.granted("r1", "10", "10") is None


def test_an_expired_question_takes_no_answer(world: World) -> None:
    approval = asked(world)
    world.clock.pass_(minutes=30)
    late = world.approvals.decide(approval.id, APPROVER, YES, None, "e1")

    assert (False, "This question has expired; `/incident retry` asks again.") == (
        late.accepted,
        late.reason,
    )
    assert [approval.id] == [one.id for one in world.approvals.expire_due()]
    assert ApprovalState.EXPIRED is state(world, approval)
    assert [] == world.approvals.expire_due()
    assert [] == world.approvals.pending(approval.incident)


def test_a_newer_question_supersedes_the_older(world: World) -> None:
    old = asked(world)
    new = asked(world, key="r1-50", scope="50")

    assert (ApprovalState.SUPERSEDED, ApprovalState.ASKED) == (state(world, old), state(world, new))
    assert not world.approvals.decide(old.id, APPROVER, YES, seen(old), "e1").accepted
    assert [new.id] == [one.id for one in world.approvals.pending(1)]


def test_a_yes_to_one_plan_is_void_once_another_is_asked_about(world: World) -> None:
    old = asked(world)
    world.approvals.decide(old.id, APPROVER, YES, None, "e1")
    asked(world, key="again", patch_digest="e" * 64)

    assert ApprovalState.SUPERSEDED is state(world, old)


def test_one_event_is_one_vote_however_often_it_comes(world: World) -> None:
    approval = asked(world)
    first, second = (
        world.approvals.decide(approval.id, APPROVER, YES, None, "e1") for _ in range(2)
    )

    assert (first.accepted, first.reason) == (second.accepted, second.reason)
    assert 1 == world.kinds(world.incidents.get(1)).count("approved")


def test_a_refused_event_is_told_once(world: World) -> None:
    approval = asked(world)
    for _ in range(3):
        assert not world.approvals.decide(approval.id, REPORTER, YES, None, "e1").accepted

    assert 1 == world.kinds(world.incidents.get(1)).count("refused")


def test_a_second_yes_of_the_same_person_changes_nothing(world: World) -> None:
    approval = asked(world)
    world.approvals.decide(approval.id, APPROVER, YES, None, "e1")
    before = world.approvals.get(approval.id)

    assert world.approvals.decide(approval.id, APPROVER, YES, None, "e2").accepted
    other = world.approvals.decide(approval.id, SECOND_APPROVER, YES, None, "e3")
    assert (False, f"Already approved by {APPROVER}.") == (other.accepted, other.reason)
    assert before == world.approvals.get(approval.id)


def test_a_yes_taken_back_before_the_step_is_gone_and_may_be_given_again(world: World) -> None:
    approval = asked(world)
    world.approvals.decide(approval.id, APPROVER, YES, None, "e1")

    assert world.approvals.withdraw(approval.id, APPROVER, "e2").accepted
    assert world.approvals.granted("r1", "10", "s") is None
    with pytest.raises(errors.WrongState):
        world.approvals.use(approval.id, "s")
    assert world.approvals.decide(approval.id, APPROVER, YES, None, "e3").accepted
    assert world.approvals.granted("r1", "10", "s") is not None


def test_a_yes_can_be_taken_back_only_by_its_voice_and_before_the_step(world: World) -> None:
    approval = asked(world)
    assert not world.approvals.withdraw(approval.id, APPROVER, "e0").accepted
    world.approvals.decide(approval.id, APPROVER, YES, None, "e1")

    assert not world.approvals.withdraw(approval.id, SECOND_APPROVER, "e2").accepted
    world.approvals.use(approval.id, "s")
    late = world.approvals.withdraw(approval.id, APPROVER, "e3")
    assert not late.accepted
    assert "has started" in late.reason


def test_a_yes_is_spent_on_one_step(world: World) -> None:
    approval = asked(world)
    world.approvals.decide(approval.id, APPROVER, YES, None, "e1")
    used = world.approvals.use(approval.id, "shift-10")

    assert (ApprovalState.USED, "shift-10") == (used.state, used.used_for)
    assert used == world.approvals.use(approval.id, "shift-10")  # the same step after a crash
    assert used == world.approvals.granted("r1", "10", "shift-10")
    assert world.approvals.granted("r1", "10", "shift-50") is None
    with pytest.raises(errors.WrongState):
        world.approvals.use(approval.id, "shift-50")


def test_a_yes_that_was_not_used_in_time_is_worth_nothing(world: World) -> None:
    approval = asked(world)
    world.approvals.decide(approval.id, APPROVER, YES, None, "e1")
    world.clock.pass_(minutes=31)

    assert world.approvals.granted("r1", "10", "s") is None
    with pytest.raises(errors.WrongState):
        world.approvals.use(approval.id, "s")


def test_through_covers_every_later_phase_once_it_has_begun(world: World) -> None:
    approval = asked(world, scope="through 100", expires=timedelta(minutes=30))
    world.approvals.decide(approval.id, APPROVER, YES, None, "e1")
    world.approvals.use(approval.id, "shift-10")
    world.clock.pass_(hours=2)

    assert world.approvals.granted("r1", "50", "shift-50") is not None
    assert world.approvals.use(approval.id, "shift-50").used_for == "shift-50"


@pytest.mark.parametrize(
    ("scope", "phase", "expected"),
    [
        ("10", "10", True),
        ("10", "50", False),
        ("10", "through 100", False),
        ("through 100", "50", True),
        ("through 100", "through 100", True),
        ("through 50", "100", False),
        ("through x", "10", False),
    ],
)
def test_what_a_scope_covers(scope: str, phase: str, expected: bool) -> None:
    assert expected == module.covers(scope, phase)


FORGERIES: dict[str, dict[str, Any]] = {
    "a yes without a seal": {"mac": None},
    "a made-up seal": {"mac": "0" * 64},
    "a wider scope": {"scope": "through 100"},
    "another patch": {"patch_digest": "e" * 64},
    "another artefact": {"artefact_digest": "f" * 64},
    "another plan": {"plan_hash": "0" * 64},
    "another act": {"act": Act.SHIP},
    "another voter": {"decided_by": SECOND_APPROVER},
    "another time": {"expires_at": None},
    "a better gate": {"gate": Result.PASS},
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_row_forged_without_the_key_is_refused(world: World, forgery: str) -> None:
    """A worker may write to the database; it still cannot say yes."""
    approval = asked(world)
    world.approvals.decide(approval.id, APPROVER, YES, None, "e1")
    forged = dict(FORGERIES[forgery])
    if "expires_at" in forged:
        forged["expires_at"] = approval.expires_at + timedelta(days=1)
    with world.store.write() as tx:
        tx.run(update(schema.approval).values(**forged))

    assert world.approvals.granted("r1", "10", "s") is None
    with pytest.raises(errors.NotAllowed, match="seal"):
        world.approvals.use(approval.id, "s")


def test_a_row_written_whole_without_the_key_is_refused_and_told_once(world: World) -> None:
    approval = asked(world)
    forger = Approvals(world.store, ACCESS, b"a worker's guess")
    forger.decide(approval.id, APPROVER, YES, None, "e1")
    for _ in range(2):
        assert world.approvals.granted("r1", "10", "s") is None

    assert 1 == world.kinds(world.incidents.get(1)).count("trouble")


def test_a_seal_cannot_be_moved_to_another_approval(world: World) -> None:
    first = asked(world)
    world.approvals.decide(first.id, APPROVER, YES, None, "e1")
    sealed = world.approvals.get(first.id)
    second = asked(world, key="other", scope="50")
    stolen = {
        "state": ApprovalState.GRANTED,
        "mac": sealed.mac,
        "decided_by": sealed.decided_by,
        "decided_at": sealed.decided_at,
    }
    with world.store.write() as tx:
        tx.run(update(schema.approval).where(schema.approval.c.id == second.id).values(**stolen))

    assert world.approvals.granted("r1", "50", "s") is None


def test_a_plan_changed_after_the_yes_is_not_what_was_approved(world: World) -> None:
    """Also when its stored hash was kept as it was."""
    approval = asked(world)
    world.approvals.decide(approval.id, APPROVER, YES, None, "e1")
    assert world.approvals.granted("r1", "10", "s") is not None
    with world.store.write() as tx:
        tx.run(update(schema.rollout).values(plan={"phases": [100]}))

    assert world.approvals.granted("r1", "10", "s") is None


def test_a_process_without_the_key_may_ask_and_never_decide(world: World) -> None:
    approval = asked(world)
    worker = Approvals(world.store)

    assert approval == worker.ask(world.question(world.rollouts.get("r1")))
    for act in (
        lambda: worker.decide(approval.id, APPROVER, YES, None, "e1"),
        lambda: worker.withdraw(approval.id, APPROVER, "e1"),
        lambda: worker.granted("r1", "10", "s"),
        lambda: worker.use(approval.id, "s"),
    ):
        with pytest.raises(errors.NotAllowed, match="may ask"):
            act()


def test_two_accounts_of_one_person_are_one_voice_in_a_withdrawal(world: World) -> None:
    phone = Person(Platform.TELEGRAM, "77")
    linked = Access({"checkout": CHECKOUT}, chat_configured=True, identities={phone: APPROVER})
    approvals = Approvals(world.store, linked, KEY)
    approval = asked(world)
    approvals.decide(approval.id, APPROVER, YES, None, "e1")

    assert approvals.withdraw(approval.id, phone, "e2").accepted


def test_cancelling_the_incident_drops_its_questions(world: World) -> None:
    approval = asked(world)
    world.incidents.cancel(approval.incident, RESPONDER, "a false alarm")

    assert ApprovalState.SUPERSEDED is state(world, approval)
