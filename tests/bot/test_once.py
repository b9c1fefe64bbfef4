"""Acts that wait together are stored together, and one of them troubles no other."""

from datetime import datetime

import pytest

from bot.once import Deed, Once
from bot.said import Said
from incidents import crash
from incidents.inbox import Inbox
from tests.bot.office import RESPONDER, Office


def deed(key: str, done: list[str]) -> Deed:
    """Return an act that writes its key down."""

    def act(at: datetime) -> Said:
        done.append(key)
        return Said(key)

    return Deed(key, RESPONDER, {"what": key}, act, lambda: Said("again"))


def broken(key: str) -> Deed:
    """Return an act with a mistake in it."""

    def act(at: datetime) -> Said:
        raise ZeroDivisionError(key)

    return Deed(key, RESPONDER, {"what": key}, act, lambda: Said("again"))


def test_acts_are_carried_out_in_their_order_and_each_has_its_answer(office: Office) -> None:
    done: list[str] = []

    answers = Once(Inbox(office.store)).do([deed(key, done) for key in "bac"])

    assert ["b", "a", "c"] == done == [one.result(0).text for one in answers]
    assert [] == Inbox(office.store).undone()


def test_all_are_stored_before_the_first_is_begun(office: Office) -> None:
    inbox, done, at_first = Inbox(office.store), list[str](), list[str]()

    def look(at: datetime) -> Said:
        at_first.extend(item.event_id for item in inbox.undone())
        return Said("looked")

    first = Deed("a", RESPONDER, {}, look, lambda: Said("again"))
    Once(inbox).do([first, deed("b", done)])

    assert ["a", "b"] == at_first


def test_a_key_that_comes_twice_at_once_is_one_act(office: Office) -> None:
    done: list[str] = []

    answers = Once(Inbox(office.store)).do([deed("a", done), deed("a", done)])

    assert ["a"] == done
    assert ["a", "a"] == [one.result(0).text for one in answers]


def test_what_an_earlier_life_received_is_answered_and_not_done_again(office: Office) -> None:
    done: list[str] = []
    Once(Inbox(office.store)).do([deed("a", done)])

    answers = Once(Inbox(office.store)).do([deed("a", done), deed("b", done)])

    assert ["a", "b"] == done
    assert ["again", "b"] == [one.result(0).text for one in answers]


def test_a_mistake_in_one_act_ends_that_act_alone(office: Office) -> None:
    done: list[str] = []

    first, second = Once(Inbox(office.store)).do([broken("a"), deed("b", done)])

    assert isinstance(first.exception(0), ZeroDivisionError)
    assert "b" == second.result(0).text
    assert [] == Inbox(office.store).undone()


@pytest.mark.parametrize(("point", "begun"), [("act.received", []), ("act.done", ["a", "b"])])
def test_a_crash_leaves_all_that_was_received_and_not_marked(
    office: Office, point: str, begun: list[str]
) -> None:
    done: list[str] = []
    crash.arm(point, crash.raise_crash)

    with pytest.raises(crash.Crash):
        Once(Inbox(office.store)).do([deed("a", done), deed("b", done)])

    crash.disarm()
    assert begun == done
    assert ["a", "b"] == [item.event_id for item in Inbox(office.store).undone()]
