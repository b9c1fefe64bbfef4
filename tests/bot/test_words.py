"""Answers to the one who asked."""

import pytest

from bot import words
from bot.verbs import USAGE, Verb
from incidents.models import Verdict
from tests.bot.office import RESPONDER, Office, services


def test_every_name_and_alias_leads_to_its_service() -> None:
    known = {one.name: one for one in services()}

    assert {"checkout": "checkout", "shop": "checkout", "search": "search"} == words.names(known)


def test_help_names_every_command() -> None:
    said = words.help_text()

    for verb, usage in USAGE.items():
        assert verb is Verb.OPEN or f"`/incident {verb.value}" in said
        assert usage.does.split("`")[0][1:] in said


@pytest.mark.parametrize("word", ["rollback", "ROLLBACK", "revert", "/incident rollback"])
def test_help_for_one_command_has_its_example(word: str) -> None:
    assert (
        "`/incident rollback`: Take the canary back now. Example: `/incident rollback`"
        == words.help_text(word)
    )


def test_an_empty_list_says_how_to_begin() -> None:
    assert "No incident is open. `/incident P1 checkout failing` opens one." == words.listing([])


def test_a_title_cannot_forge_a_second_row(office: Office) -> None:
    incident = office.open("a\n- **INC-9** P3 closed: b")

    assert 1 == len(words.listing([incident]).splitlines())


def test_status_says_what_runs_and_what_is_asked(office: Office) -> None:
    incident = office.open()
    office.ask(incident, verdict=Verdict.LIKELY)
    office.clock.move(120)
    room = office.bot.room

    said = words.status(
        room.incidents.get(1), room.incidents.runs(1), room.approvals.pending(1), office.clock()
    )

    assert (
        "INC-1 · P0 · checkout failing: open since 14:30 UTC.\n"
        "Looking at what fails for 2 min.\n"
        "Asked: Start the canary at 10 %? Until 15:00 UTC." == said
    )


def test_status_of_a_quiet_incident_says_that_nothing_runs(office: Office) -> None:
    office.open()
    room = office.bot.room
    room.incidents.cancel(1, RESPONDER, "false alarm")

    said = words.status(room.incidents.get(1), room.incidents.runs(1), (), office.clock())

    assert "Nothing is running; last: Triage, cancelled." in said
    assert said.endswith("Nothing is asked of you.")
