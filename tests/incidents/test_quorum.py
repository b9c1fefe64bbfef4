"""A quorum: several people have to say yes, each once, and nobody can write a voice beside it."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from incidents import errors, schema
from incidents.approvals import Approvals
from incidents.models import Answer, Approval, ApprovalState, Person, Platform, Severity, Verdict
from incidents.settings import People
from tests.incidents.builders import (
    APPROVER,
    CHECKOUT,
    KEY,
    RESPONDER,
    SECOND_APPROVER,
    World,
    access,
)

YES, NO = Answer.YES, Answer.NO


def asked(world: World, **values: object) -> Approval:
    """A question about the first phase of a rollout, in the first incident."""
    rollout = world.rollout(world.open(stage=None))
    return world.approvals.ask(world.question(rollout, **values))


def state(world: World, approval: Approval) -> ApprovalState:
    return world.approvals.get(approval.id).state


def several(world: World, count: int = 2) -> None:
    """Ask for so many yes, whatever the severity."""
    service = CHECKOUT.model_copy(update={"quorum": dict.fromkeys(Severity, count)})
    world.access = access(service)
    world.approvals = Approvals(world.store, world.access, KEY)


def test_of_a_quorum_the_first_yes_is_kept_and_the_second_one_grants(world: World) -> None:
    several(world)
    approval = asked(world)
    first = world.approvals.decide(approval.id, APPROVER, YES, None, "e1")
    granted_by_one = world.approvals.granted("r1", "10", "s")
    second = world.approvals.decide(approval.id, SECOND_APPROVER, YES, None, "e2")

    assert (True, ApprovalState.ASKED) == (first.accepted, first.approval.state)
    assert "Your yes is 1 of 2; nothing moves before it is enough." == first.reason
    assert granted_by_one is None
    assert (True, ApprovalState.GRANTED) == (second.accepted, second.approval.state)
    assert world.approvals.granted("r1", "10", "s") == second.approval
    assert ["seconded", "approved"] == world.kinds(world.incidents.get(1))[-2:]
    told = world.timeline.entries(1)[-1].content
    assert ([str(APPROVER), str(SECOND_APPROVER)], 2) == (told["agreed"], told["needed"])


def test_one_person_is_one_voice_of_a_quorum_in_every_account(world: World) -> None:
    several(world)
    phone = Person(Platform.TELEGRAM, "7")
    linked = replace(world.access, identities={phone: APPROVER})
    world.approvals = Approvals(world.store, linked, KEY)
    approval = asked(world)
    for number, person in enumerate((APPROVER, phone, APPROVER)):
        said = world.approvals.decide(approval.id, person, YES, None, f"e{number}")
        assert (True, ApprovalState.ASKED) == (said.accepted, said.approval.state)

    again = world.approvals.decide(approval.id, APPROVER, YES, None, "e9")

    assert "You have said yes already, 1 of 2; it takes another person." == again.reason


def test_a_yes_of_a_quorum_is_taken_back_and_the_other_one_stays(world: World) -> None:
    several(world)
    approval = asked(world)
    for number, person in enumerate((APPROVER, SECOND_APPROVER)):
        world.approvals.decide(approval.id, person, YES, None, f"e{number}")
    back = world.approvals.withdraw(approval.id, APPROVER, "e5")

    assert (True, ApprovalState.WITHDRAWN) == (back.accepted, back.approval.state)
    assert (SECOND_APPROVER,) == back.approval.agreed
    assert world.approvals.granted("r1", "10", "s") is None
    nothing = world.approvals.withdraw(approval.id, APPROVER, "e6")
    assert "There is no yes of yours to take back." == nothing.reason
    world.approvals.decide(approval.id, APPROVER, YES, None, "e7")
    assert ApprovalState.GRANTED == state(world, approval)


def test_a_no_ends_what_one_of_two_has_said_yes_to(world: World) -> None:
    several(world)
    approval = asked(world)
    world.approvals.decide(approval.id, APPROVER, YES, None, "e1")
    world.approvals.decide(approval.id, RESPONDER, NO, None, "e2")

    assert ApprovalState.REFUSED == state(world, approval)


def test_who_is_no_approver_any_more_does_not_count_for_a_quorum(world: World) -> None:
    several(world)
    approval = asked(world)
    world.approvals.decide(approval.id, APPROVER, YES, None, "e1")
    left = world.access.services["checkout"].model_copy(update={"approvers": People(slack=("U3",))})
    world.approvals = Approvals(world.store, access(left), KEY)
    second = world.approvals.decide(approval.id, SECOND_APPROVER, YES, None, "e2")

    assert ApprovalState.ASKED == second.approval.state
    assert (SECOND_APPROVER,) == second.approval.agreed


def test_an_unsure_verdict_takes_the_commander_among_those_of_a_quorum(world: World) -> None:
    several(world)
    approval = asked(world, verdict=Verdict.INCONCLUSIVE)
    early = world.approvals.decide(approval.id, SECOND_APPROVER, YES, None, "e1")
    world.incidents.own(1, APPROVER)
    for number, person in enumerate((APPROVER, SECOND_APPROVER)):
        world.approvals.decide(approval.id, person, YES, None, f"f{number}")

    assert not early.accepted
    assert ApprovalState.GRANTED == state(world, approval)


def test_the_glass_is_broken_past_a_quorum(world: World) -> None:
    several(world)
    approval = asked(world)
    world.approvals.decide(approval.id, RESPONDER, YES, None, "e1", alone="nobody else is awake")

    assert ApprovalState.GRANTED == state(world, approval)
    assert world.approvals.granted("r1", "10", "s") is not None


QUORUM_FORGERIES: dict[str, dict[str, Any]] = {
    "one yes taken for enough": {"state": ApprovalState.GRANTED},
    "a smaller quorum": {"state": ApprovalState.GRANTED, "quorum": 1},
    "no quorum": {"state": ApprovalState.GRANTED, "quorum": None, "agreed": None},
    "another voice": {
        "state": ApprovalState.GRANTED,
        "agreed": [str(APPROVER), str(SECOND_APPROVER)],
    },
}


@pytest.mark.parametrize("forgery", QUORUM_FORGERIES)
def test_a_quorum_cannot_be_forged_without_the_key(world: World, forgery: str) -> None:
    several(world)
    approval = asked(world)
    world.approvals.decide(approval.id, APPROVER, YES, None, "e1")
    with world.store.write() as tx:
        tx.run(update(schema.approval).values(**QUORUM_FORGERIES[forgery]))

    assert world.approvals.granted("r1", "10", "s") is None
    with pytest.raises(errors.NotAllowed, match="seal"):
        world.approvals.use(approval.id, "s")


@pytest.mark.parametrize("act", ["yes", "withdraw"])
def test_a_voice_that_was_written_beside_is_never_sealed_by_the_next_vote(
    world: World, act: str
) -> None:
    """Nor by a withdrawal, which seals what is left."""
    several(world, 3 if act == "withdraw" else 2)
    approval = asked(world)
    world.approvals.decide(approval.id, APPROVER, YES, None, "e1")
    beside = {"agreed": [str(SECOND_APPROVER), str(APPROVER)]}
    with world.store.write() as tx:
        tx.run(update(schema.approval).values(**beside))
    if act == "yes":
        world.approvals.decide(approval.id, APPROVER, YES, None, "e2")
    else:
        world.approvals.withdraw(approval.id, APPROVER, "e2")

    stored = world.approvals.get(approval.id)
    assert stored.state in (ApprovalState.ASKED, ApprovalState.WITHDRAWN)
    assert SECOND_APPROVER not in stored.agreed
