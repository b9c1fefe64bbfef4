"""A sending is written down before it is made, done once, and found again by what it became."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from incidents.sendings import Sending, Sendings
from incidents.store import Store


@pytest.fixture
def sendings(tmp_path: Path) -> Iterator[Sendings]:
    store = Store(f"sqlite:///{tmp_path / 'halon.db'}")
    store.migrate()
    yield Sendings(store)
    store.close()


def test_what_was_begun_and_not_done_says_where_to_look(sendings: Sendings) -> None:
    begun = [sendings.begin("telegram:-1/a:0", after) for after in (100, 105)]

    assert [Sending(True, None, 100), Sending(False, None, 100)] == begun


def test_what_is_done_is_never_begun_again(sendings: Sendings) -> None:
    sendings.begin("telegram:-1/a:0", 100)
    sendings.done("telegram:-1/a:0", "101/text/x")

    assert "101/text/x" == sendings.begin("telegram:-1/a:0", 102).reference
    assert "101/text/x" == sendings.get("telegram:-1/a:0")


def test_what_surely_did_not_happen_is_fresh_again_and_what_did_is_kept(
    sendings: Sendings,
) -> None:
    sendings.begin("telegram:-1/a:0", 100)
    sendings.drop("telegram:-1/a:0")
    sendings.done("telegram:-1/b:0", "101/text/x")
    sendings.drop("telegram:-1/b:0")

    assert sendings.begin("telegram:-1/a:0", 100).fresh
    assert {"telegram:-1/b:0": "101/text/x"} == sendings.of("telegram:-1/")


def test_a_message_is_found_by_its_id_and_by_no_longer_one(sendings: Sendings) -> None:
    sendings.done("telegram:-1/a:0", "1012/text/x")
    sendings.done("telegram:-1/b:0", "101/text/x")

    assert "telegram:-1/b:0" == sendings.key_of("telegram:-1/", "101/")
    assert sendings.key_of("telegram:-2/", "101/") is None


def test_what_is_set_aside_is_sent_anew_and_nothing_beside_it(sendings: Sendings) -> None:
    for key in ("INC-1/card:0", "INC-10/card:0", "delivery-1:0"):
        sendings.done(f"telegram:-1/{key}", "101/text/x")
    sendings.set_aside(["telegram:-1/INC-1/"])
    sendings.set_aside(["telegram:-1/INC-1/"])

    assert sendings.begin("telegram:-1/INC-1/card:0", 1).fresh
    assert not sendings.begin("telegram:-1/INC-10/card:0", 1).fresh
