"""Who may do what: the table, line by line."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from incidents.models import (
    MACHINE,
    Act,
    Answer,
    Approval,
    ApprovalState,
    Incident,
    Person,
    Platform,
    Result,
    Severity,
    Status,
    Verdict,
)
from incidents.policy import (
    MACHINE_MAY,
    OPERATOR,
    WHO_MAY,
    Access,
    Allowed,
    Refused,
    Who,
    may,
    may_answer,
)
from incidents.settings import People, Service
from tests.incidents.builders import (
    ACCESS,
    ADMIN,
    APPROVER,
    CHECKOUT,
    REPORTER,
    RESPONDER,
    START,
    access,
)

MAY = {
    REPORTER: {Who.ANYONE},
    RESPONDER: {Who.ANYONE, Who.RESPONDERS},
    APPROVER: {Who.ANYONE, Who.RESPONDERS, Who.APPROVERS},
    ADMIN: {Who.ANYONE, Who.ADMINS},
}


def allowed(
    act: Act, person: Person, on: Access = ACCESS, service: str | None = "checkout"
) -> bool:
    return isinstance(may(act, person, service, on), Allowed)


def test_every_act_has_its_line() -> None:
    assert set(Act) == set(WHO_MAY)


@pytest.mark.parametrize(("act", "person"), list(product(Act, MAY)))
def test_the_table_holds_for_everyone(act: Act, person: Person) -> None:
    assert (WHO_MAY[act] in MAY[person]) == allowed(act, person)


@pytest.mark.parametrize("act", Act)
def test_an_empty_list_is_nobody(act: Act) -> None:
    nobody = access(Service(name="checkout", repository="x"))

    assert (WHO_MAY[act] is Who.ANYONE) == allowed(act, APPROVER, nobody)


@pytest.mark.parametrize("act", Act)
def test_guests_and_bots_may_do_nothing_even_when_listed(act: Act) -> None:
    assert not allowed(act, replace(APPROVER, guest=True))
    assert not allowed(act, replace(APPROVER, bot=True))


@pytest.mark.parametrize("act", Act)
def test_the_machine_takes_back_and_never_approves(act: Act) -> None:
    assert (act in MACHINE_MAY) == allowed(act, MACHINE)
    assert not allowed(act, Person(Platform.MACHINE, "other"))
    assert {Act.START, Act.EXPAND, Act.SHIP, Act.REDEPLOY}.isdisjoint(MACHINE_MAY)
    assert {Act.TAKE_BACK, Act.HOLD} <= MACHINE_MAY


@pytest.mark.parametrize("act", Act)
def test_the_operator_is_everybody_while_no_chat_is_configured(act: Act) -> None:
    assert allowed(act, OPERATOR, access(chat_configured=False))
    assert (WHO_MAY[act] is Who.ANYONE) == allowed(act, OPERATOR)


def test_another_web_user_is_not_the_operator() -> None:
    assert not allowed(Act.START, Person(Platform.WEB, "ann"), access(chat_configured=False))


def test_an_operator_who_is_listed_may_approve_beside_a_chat() -> None:
    service = CHECKOUT.model_copy(update={"approvers": People(web=("operator",))})

    assert allowed(Act.START, OPERATOR, access(service))


def test_an_id_counts_only_on_its_own_platform() -> None:
    assert not allowed(Act.START, Person(Platform.TELEGRAM, APPROVER.user))


def test_the_lists_of_one_service_say_nothing_about_another() -> None:
    assert not allowed(Act.START, APPROVER, service="payment")


def test_before_a_service_is_named_the_responders_of_any_may_act() -> None:
    assert allowed(Act.CANCEL, RESPONDER, service=None)
    assert not allowed(Act.CANCEL, REPORTER, service=None)


def test_two_accounts_of_one_person_are_one_voice() -> None:
    phone = Person(Platform.TELEGRAM, "77")

    assert allowed(Act.START, phone, access(identities={phone: APPROVER}))
    assert allowed(Act.START, APPROVER, access(identities={APPROVER: phone}), service="checkout")
    assert not allowed(Act.START, replace(phone, guest=True), access(identities={phone: APPROVER}))


def test_a_refusal_says_what_to_do() -> None:
    refused = may(Act.START, REPORTER, "checkout", ACCESS)

    assert isinstance(refused, Refused)
    assert "approvers" in refused.reason
    assert "halon.toml" in refused.reason


INCIDENT = Incident(1, "t", Severity.P0, Status.OPEN, "checkout", START, REPORTER)
APPROVAL = Approval(
    id="a",
    incident=1,
    service="checkout",
    act=Act.START,
    scope="10",
    patch_digest="d",
    plan_hash="p",
    rollout="r",
    state=ApprovalState.ASKED,
    asked_at=START,
    expires_at=START,
)


def answers(person: Person, answer: Answer = Answer.YES, on: Access = ACCESS, **named: Any) -> bool:
    commander = named.pop("commander", None)
    incident = replace(INCIDENT, commander=commander)
    approval = replace(APPROVAL, **named)
    return isinstance(may_answer(approval, person, answer, incident, on), Allowed)


def test_only_an_approver_says_yes_and_any_responder_says_no() -> None:
    assert [False, False, True, False] == [answers(person) for person in MAY]
    assert [False, True, True, False] == [answers(person, Answer.NO) for person in MAY]


def test_the_machine_never_says_yes() -> None:
    assert not answers(MACHINE)


def test_a_fail_is_never_approved() -> None:
    assert not answers(APPROVER, gate=Result.FAIL, commander=APPROVER)
    assert not answers(OPERATOR, on=access(chat_configured=False), gate=Result.FAIL)
    assert answers(RESPONDER, Answer.NO, gate=Result.FAIL)


@pytest.mark.parametrize(
    "named", [{"gate": Result.INCONCLUSIVE}, {"verdict": Verdict.INCONCLUSIVE}]
)
def test_an_inconclusive_is_approved_by_an_approver_who_is_the_commander(
    named: dict[str, Any],
) -> None:
    assert not answers(APPROVER, **named)
    assert not answers(APPROVER, commander=RESPONDER, **named)
    assert not answers(RESPONDER, commander=RESPONDER, **named)
    assert answers(APPROVER, commander=APPROVER, **named)


def test_a_commander_is_a_voice_and_not_an_account() -> None:
    phone = Person(Platform.TELEGRAM, "77")
    linked = access(identities={phone: APPROVER})

    assert answers(APPROVER, on=linked, gate=Result.INCONCLUSIVE, commander=phone)


def test_a_likely_cause_and_a_pass_are_approved_as_usual() -> None:
    assert answers(APPROVER, verdict=Verdict.LIKELY, gate=Result.PASS)


def test_four_eyes_refuses_the_author_in_every_account() -> None:
    phone = Person(Platform.TELEGRAM, "77")
    careful = access(CHECKOUT.model_copy(update={"four_eyes": True}), identities={phone: APPROVER})

    assert answers(APPROVER, author=APPROVER)  # off by default
    assert not answers(APPROVER, on=careful, author=APPROVER)
    assert not answers(APPROVER, on=careful, author=phone)
    assert answers(APPROVER, on=careful, author=MACHINE)
    assert answers(APPROVER, on=careful, author=RESPONDER)
