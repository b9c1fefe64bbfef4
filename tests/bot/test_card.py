"""The card: five lines, true at every moment."""

from bot import card
from bot.port import Message, Tone
from incidents import entries
from incidents.entries import Suggestion
from incidents.models import MACHINE, Severity
from tests.bot.office import RESPONDER, Office


def shown(office: Office) -> Message:
    return card.card(office.bot.poster.gathering.view(1))


def test_a_new_incident_in_five_lines(office: Office) -> None:
    office.open()
    office.clock.move(360)

    assert "INC-1 · P0 · checkout failing" == shown(office).headline
    assert (
        "Open; began 14:30 UTC, 6 min ago.",
        "How many requests fail is not measured.",
        "Looking at what fails: 6 min.",
        "Nothing is asked of you.",
    ) == shown(office).lines
    assert Tone.FAILING is shown(office).tone


def test_triage_gives_the_rate_and_its_age(office: Office) -> None:
    office.open()
    found = Suggestion(Severity.P0, 0.45, 0.002, 45, 100, None)
    office.bot.room.timeline.append(1, entries.suggested(found), MACHINE)
    office.clock.move(300)

    expected = "45 % of requests fail, 0.2 % before; measured 5 min ago."
    assert expected == shown(office).lines[1]


def test_traffic_gives_the_rate_of_now(office: Office) -> None:
    office.rollout(office.open())
    office.clock.move(125)

    assert "40 % of requests fail →." == shown(office).lines[1]
    assert shown(office).lines[2].startswith("Watching 10 %:")


def test_what_is_asked_is_said_with_whom_and_until_when(office: Office) -> None:
    office.ask(office.open())

    assert "Asked of web:ada: Start the canary at 10 %? Until 15:00 UTC." == shown(office).lines[3]
    assert Tone.WAITING is shown(office).tone


def test_a_needed_human_is_the_loudest(office: Office) -> None:
    office.open()
    office.bot.room.incidents.needs_human(1, "Decide, then `/incident resolve`.")

    assert "Asked of its people: Decide, then `/incident resolve`." == shown(office).lines[3]
    assert Tone.WAITING is shown(office).tone


def test_a_mitigated_incident_has_another_tone(office: Office) -> None:
    office.open()
    office.bot.room.incidents.mitigated(1, RESPONDER, "x")

    assert shown(office).lines[0].startswith("Mitigated;")
    assert Tone.PASSING is shown(office).tone
