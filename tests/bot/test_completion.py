"""What could be typed next."""

import pytest

from bot import completion
from incidents.models import Severity


def test_completion_offers_commands_of_the_thread_first() -> None:
    offers = [row.insert for row in completion.complete("/incident s", ["checkout"], "INC-3")]

    assert ["/incident status ", "/incident severity "] == offers


def test_completion_outside_a_thread_offers_only_what_works_there() -> None:
    offers = [row.insert.strip() for row in completion.complete("/", ["checkout"])]

    assert "/incident P0" == offers[0]
    assert "/incident ack" not in offers
    assert "/incident list" in offers


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/incident P0 service:ch", ["/incident P0 service:checkout"]),
        ("/incident severity P", [f"/incident severity {severity}" for severity in Severity]),
        ("/incident P0 check", []),
        ("hello", []),
        ("/deploy", []),
    ],
)
def test_completion_of_what_follows(line: str, expected: list[str]) -> None:
    assert expected == [row.insert for row in completion.complete(line, ["checkout"], "INC-3")]


def test_every_row_of_the_completion_shows_its_words_and_an_example() -> None:
    rows = completion.complete("/incident ", ["checkout"], "INC-3")

    assert all(row.does and row.example.startswith("/incident") for row in rows)
