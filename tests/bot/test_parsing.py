"""What a typed line means."""

import random

import pytest

from bot import completion, parsing
from bot.parsing import Command, Misunderstood
from bot.verbs import ALIASES, USAGE, Verb
from incidents.models import Severity

ONE = {"checkout": "checkout", "shop": "checkout"}
TWO = {**ONE, "search": "search"}
P0, P1 = Severity.P0, Severity.P1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "/incident checkout failing",
            Command(Verb.OPEN, None, "checkout failing", None, "checkout"),
        ),
        ("/incident P0 all down", Command(Verb.OPEN, None, "all down", P0, "checkout")),
        ("/incident p1: slow", Command(Verb.OPEN, None, "slow", P1, "checkout")),
        ("/incident P0! all down", Command(Verb.OPEN, None, "all down", P0, "checkout", True)),
        (
            "/incident open rollback fails",
            Command(Verb.OPEN, None, "rollback fails", None, "checkout"),
        ),
        (
            "/incident status page down",
            Command(Verb.OPEN, None, "status page down", None, "checkout"),
        ),
        ("@halon P1 slow", Command(Verb.OPEN, None, "slow", P1, "checkout")),
        ("/INCIDENT  list ", Command(Verb.LIST)),
        ("/incident help", Command(Verb.HELP)),
        ("/incident help ack", Command(Verb.HELP, None, "ack")),
        ("/incident ?", Command(Verb.HELP)),
        ("/incident status INC-7", Command(Verb.STATUS, "INC-7")),
        ("/incident status inc-007", Command(Verb.STATUS, "INC-7")),
        ("/hotfix guests crash", Command(Verb.HOTFIX, None, "guests crash", None, "checkout")),
        ("/hotfix P0 all down", Command(Verb.HOTFIX, None, "all down", P0, "checkout")),
        ("@halon hotfix down", Command(Verb.HOTFIX, None, "down", None, "checkout")),
        ("/hotfix ship INC-7", Command(Verb.HOTFIX, "INC-7", "ship")),
        ("/hotfix a\n  b: 1\n", Command(Verb.HOTFIX, None, "a\n  b: 1", None, "checkout")),
        ("/incident note INC-7 cache  cold", Command(Verb.NOTE, "INC-7", "cache cold")),
        ("/incident severity INC-7 p0", Command(Verb.SEVERITY, "INC-7", "", P0)),
    ],
)
def test_a_line_outside_a_thread(line: str, expected: Command) -> None:
    assert expected == parsing.parse(line, ONE)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/incident ack", Command(Verb.ACK, "INC-3")),
        ("/hotfix verify", Command(Verb.HOTFIX, "INC-3", "verify")),
        ("/hotfix drop", Command(Verb.HOTFIX, "INC-3", "drop")),
        ("/hotfix still down", Command(Verb.HOTFIX, "INC-3", "still down", None, "checkout")),
        ("/incident acknowledge", Command(Verb.ACK, "INC-3")),
        ("/incident claim", Command(Verb.OWN, "INC-3")),
        ("/incident yes", Command(Verb.APPROVE, "INC-3")),
        ("/incident approve longer", Command(Verb.APPROVE, "INC-3", text="longer")),
        ("/incident no", Command(Verb.REFUSE, "INC-3")),
        ("/incident hold", Command(Verb.HOLD, "INC-3")),
        ("/incident revert", Command(Verb.ROLLBACK, "INC-3")),
        ("/incident resolve it is over", Command(Verb.RESOLVE, "INC-3", "it is over")),
        ("/incident escalate", Command(Verb.ESCALATE, "INC-3")),
        ("/incident changed flag x on", Command(Verb.CHANGED, "INC-3", "flag x on")),
        ("/incident ack INC-9", Command(Verb.ACK, "INC-9")),
        ("/incident break-glass INC-3 now", Command(Verb.BREAK_GLASS, "INC-3", "now")),
        ("cache is cold", Command(Verb.NOTE, "INC-3", "cache is cold")),
    ],
)
def test_a_line_in_a_thread(line: str, expected: Command) -> None:
    assert expected == parsing.parse(line, ONE, "INC-3")


@pytest.mark.parametrize(
    ("line", "thread", "word", "instead"),
    [
        ("", None, "nothing", "/incident P0 checkout failing"),
        ("/incident", None, "nothing", "/incident P0 checkout failing"),
        ("/incident P0", None, "Say what fails", "/incident P0 checkout failing"),
        ("/incident P7 slow", None, "no severity", "/incident P1 slow"),
        ("/incident service:nope slow", None, "no service 'nope'", "/incident service:checkout …"),
        ("/incident stauts", None, "'status'", "/incident status"),
        ("/incident serverity P1", "INC-3", "'severity'", "/incident severity P1"),
        ("/incident nte INC-3 x", None, "'note'", "/incident note INC-3 x"),
        ("/incident rollback now", "INC-3", "nothing was done", "/incident rollback"),
        ("/incident approve not yet", "INC-3", "nothing was done", "/incident approve"),
        ("/incident break-glass", "INC-3", "number", "/incident break-glass INC-3 WHY"),
        ("/incident break-glass now", "INC-3", "number", "/incident break-glass INC-3 now"),
        ("/incident break-glass INC-3", "INC-3", "reason", "/incident break-glass INC-3 WHY"),
        ("/incident severity", "INC-3", "needs", "/incident severity P1"),
        ("/incident severity high", "INC-3", "no severity", "/incident severity P1"),
        ("/incident note", "INC-3", "needs TEXT", "/incident note cache is cold"),
        ("/incident ack", None, "belongs to an incident", "/incident ack INC-1"),
        ("/deploy now", None, "'/deploy'", "/incident help"),
        ("checkout failing", None, "starts with /incident", "/incident checkout failing"),
    ],
)
def test_what_cannot_be_understood_says_what_to_type(
    line: str, thread: str | None, word: str, instead: str
) -> None:
    found = parsing.parse(line, ONE, thread)

    assert isinstance(found, Misunderstood)
    assert word in found.reason
    assert instead == found.try_this


@pytest.mark.parametrize(
    ("line", "service"),
    [
        ("/incident the shop is down", "checkout"),
        ("/incident P0 Search: no results", "search"),
        ("/incident service:search checkout links dead", "search"),
        ("/incident service:SHOP dead", "checkout"),
    ],
)
def test_a_word_of_the_text_or_the_key_names_the_service(line: str, service: str) -> None:
    found = parsing.parse(line, TWO)

    assert isinstance(found, Command)
    assert service == found.service


@pytest.mark.parametrize(
    "line", ["/incident P1! all is slow", "/incident P1! shop and search slow"]
)
def test_a_doubtful_service_is_asked_for_with_all_that_was_typed(line: str) -> None:
    found = parsing.parse(line, TWO)

    assert isinstance(found, Misunderstood)
    assert ("checkout", "search") == found.choices
    assert found.try_this.startswith("/incident P1! service:checkout ")
    assert isinstance(parsing.parse(found.try_this, TWO), Command)


def test_without_services_nothing_is_opened() -> None:
    assert isinstance(parsing.parse("/incident P0 all down", {}), Misunderstood)


def test_a_title_has_an_end() -> None:
    found = parsing.parse("/incident " + "x" * 5000, ONE)

    assert isinstance(found, Command)
    assert parsing.TITLE_LIMIT == len(found.text)


def test_what_no_database_keeps_is_left_out() -> None:
    assert Command(Verb.NOTE, "INC-3", "a b") == parsing.parse(
        "/incident note a\x00 \ud800b", ONE, "INC-3"
    )


@pytest.mark.parametrize("verb", [verb for verb in Verb if verb is not Verb.OPEN])
def test_the_example_of_every_command_is_understood(verb: Verb) -> None:
    found = parsing.parse(USAGE[verb].example, ONE, "INC-3")

    assert isinstance(found, Command)
    assert verb is found.verb


def test_no_line_breaks_the_parser() -> None:
    """Ten thousand lines of garbage: each is a command of the table or says what to type."""
    seed = 20260304
    source = random.Random(seed)
    words = "/incident @halon / P0 P1! P99 service: service:x INC-1 INC-99999999999 inc- checkout"
    odd = "`rm -rf`|$(id)|'; DROP x; --|<!channel>|\u202e|\x00|\n|\t|é|🔥|\ud83d|{{ 7*7 }}|%s|\\|  "
    bits = [*Verb, *ALIASES, *words.split(), *odd.split("|")]
    for turn in range(10_000):
        line = source.choice(("", " ")).join(source.choices(bits, k=source.randrange(8)))
        thread = source.choice((None, "INC-3"))
        found = parsing.parse(line, source.choice((ONE, TWO, {})), thread)
        told = f"seed {seed}, turn {turn}: {line!r}"
        assert isinstance(found, Command | Misunderstood), told
        if isinstance(found, Misunderstood):
            assert found.reason, told
            assert found.try_this, told
        else:
            assert len(found.text) <= parsing.LINE_LIMIT, told
        completion.complete(line, ["checkout"], thread)


def test_a_long_hotfix_keeps_its_end() -> None:
    parsed = parsing.parse("/hotfix it fails\n" + "x\n" * 40_000 + "KeyError: 'sku'", ONE)

    assert isinstance(parsed, Command)
    assert len(parsed.text) <= parsing.HOTFIX_LIMIT
    assert parsed.text.startswith("it fails")
    assert parsed.text.endswith("KeyError: 'sku'")


@pytest.mark.parametrize(
    ("line", "verb", "text"),
    [
        ("@halon diagnose", Verb.DIAGNOSE, ""),
        ("@halon diagnose\nTraceback:\n  File x", Verb.DIAGNOSE, "Traceback:\n  File x"),
        ("@halon hotfix-tester --- a/x\n+++ b/x", Verb.TEST, "--- a/x\n+++ b/x"),
        ("/incident patch 3f2a91c", Verb.PATCH, "3f2a91c"),
        ("@Halon deployment-coordinator", Verb.DEPLOY, ""),
    ],
)
def test_a_role_alone_keeps_the_lines_that_are_pasted(line: str, verb: Verb, text: str) -> None:
    found = parsing.parse(line, {}, "INC-1")

    assert Command(verb, "INC-1", text) == found


def test_a_role_names_its_incident_outside_of_a_thread() -> None:
    found = parsing.parse("/incident test INC-4 --- a/x", {}, None)

    assert Command(Verb.TEST, "INC-4", "--- a/x") == found


def test_words_of_roles_are_a_title_where_no_incident_is_meant() -> None:
    found = parsing.parse("/incident test payment fails", {"shop": "shop"}, None)

    assert isinstance(found, Command)
    assert (Verb.OPEN, "test payment fails") == (found.verb, found.text)
