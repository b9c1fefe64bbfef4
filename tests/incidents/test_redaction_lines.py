"""Rules see only the lines that hold one of their signs, and lose nothing by it."""

import random

import pytest

from incidents import redaction_rules
from incidents.redaction import Counting, redact
from incidents.redaction_lines import Lines, Sign, View
from incidents.redaction_rules import Rule
from tests.incidents import private

KINDS = private.SECRETS | private.PERSONAL
RULES = (*redaction_rules.SECRETS, *redaction_rules.PERSONAL)
ROUNDS = 5


def lines_of(kind: str) -> list[str]:
    make, line = KINDS[kind]
    rng = random.Random(kind)
    return [line.format(make(rng)) for _ in range(ROUNDS)]


def finds(rule: Rule, line: str) -> bool:
    """Whether a rule replaces something in a line that it is given whole."""
    values = (
        next((got for name, got in found.groupdict().items() if got and name in "vw"), found[0])
        for found in rule.pattern.finditer(line)
    )
    return any(rule.check(value) for value in values)


def test_every_line_in_which_a_rule_finds_something_holds_one_of_its_signs() -> None:
    told = [line for kind in KINDS for line in lines_of(kind) if "\n" not in line]
    missed = [
        (rule.kind, line)
        for rule in RULES
        for line in told
        if finds(rule, line) and not Lines(line).holding(rule.signs)
    ]

    assert [] == missed


def test_every_rule_finds_something() -> None:
    told = [line for kind in KINDS for line in lines_of(kind)]

    assert [] == [rule.kind for rule in RULES if not any(finds(rule, line) for line in told)]


@pytest.mark.parametrize("view", View)
def test_a_line_keeps_its_number_in_every_view(view: View) -> None:
    told = ["", "İstanbul - AB 12", "x" * 20, "ff:ff -- 00", "", "+49 ١٢٣"]
    lines = Lines("\n".join(told))
    marked = Lines("\n".join([*told, "~" + "q" * 20]))
    sign = "~" + {View.RUN: "w"}.get(view, "q") * 20

    assert [] == lines.holding([Sign(view, sign)])
    assert [len(told)] == marked.holding([Sign(view, sign)])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("call (555) ١٢٣-٤٥٦٧", "call <phone-1>"),
        ("one\nAuthorization: Bearer\n  abcdef123456789\ntwo",
         "one\nAuthorization: Bearer\n  <bearer-1>\ntwo"),
        ("machine x\n\nlogin deploy\n\npassword hunter22",
         "machine x\n\nlogin deploy\n\npassword <secret-1>"),
        ("a@example.com\nb@example.com\n\na@example.com", "<email-1>\n<email-2>\n\n<email-1>"),
    ],
    ids=["digits of another script", "a folded header", "over several lines", "many lines"],
)  # fmt: skip
def test_what_lies_on_other_lines_is_found_where_it_is(text: str, expected: str) -> None:
    assert expected == redact(text, Counting())
