"""`/hotfix` opens an incident of its own, queues one urgent stage, and asks each thing once."""

from bot import render
from bot.said import Said
from incidents import entries
from incidents.models import EntryKind, Outcome, Person, Stage
from incidents.stages import Ending
from tests.bot.office import APPROVER, DIFF, RESPONDER, STRANGER, Office, contained

TRACE = 'Traceback (most recent call last):\n  File "shop/pay.py", line 3, in pay\nKeyError: 1'


def say(office: Office, line: str, person: Person, key: str, thread: str | None = None) -> Said:
    return office.bot.commands.say(line, person, thread, key)


def runs(office: Office, number: int = 1) -> list[Stage]:
    return [run.stage for run in office.bot.room.incidents.runs(number)]


def test_words_open_an_incident_with_one_stage_and_keep_their_lines(office: Office) -> None:
    said = say(office, f"/hotfix P0 service:checkout {TRACE}", RESPONDER, "a")

    assert said.accepted
    assert [Stage.HOTFIX] == runs(office)
    asked = [e for e in office.bot.room.timeline.entries(1) if e.kind is EntryKind.HOTFIX]
    assert ["contain"] == [one.content["act"] for one in asked]
    assert "\n" in asked[0].content["text"]
    assert "KeyError: 1" in asked[0].content["text"]


def test_the_same_act_asks_once(office: Office) -> None:
    for _ in range(2):
        say(office, "/hotfix service:checkout guests crash", RESPONDER, "a")

    assert [Stage.HOTFIX] == runs(office)
    assert 1 == len(office.bot.room.incidents.list())


def test_strangers_contain_nothing_and_responders_do_not_ship(office: Office) -> None:
    assert not say(office, "/hotfix service:checkout guests crash", STRANGER, "a").accepted
    say(office, "/hotfix service:checkout guests crash", RESPONDER, "b")

    assert not say(office, "/hotfix ship", RESPONDER, "c", "INC-1").accepted
    assert [Stage.HOTFIX] == runs(office)


def test_what_is_under_way_is_waited_for(office: Office) -> None:
    say(office, "/hotfix service:checkout guests crash", RESPONDER, "a")

    said = say(office, "/hotfix ship", APPROVER, "b", "INC-1")

    assert not said.accepted
    assert "under way" in said.text


def test_verify_needs_a_hotfix_to_belong_to(office: Office) -> None:
    said = say(office, "/hotfix verify", RESPONDER, "a")

    assert not said.accepted
    assert "INC-1" in said.try_this


def test_the_answer_carries_the_patch_and_the_line_that_puts_it_in(office: Office) -> None:
    say(office, "/hotfix service:checkout guests crash", RESPONDER, "a")
    made = contained()
    content = made.model_dump(mode="json")
    entry = entries.report(Stage.HOTFIX, content)
    office.run_stage(office.bot.room.incidents.get(1), Ending(Outcome.PATCHED, content, (entry,)))

    told = office.bot.room.timeline.entries(1)
    report = next(one for one in told if one.kind is EntryKind.REPORT)
    message = render.message(report, office.bot.poster.gathering.context(report))

    assert message.headline.startswith("Contained by a guard")
    assert "`git apply INC-1.diff`, checked against `bbbbbbb`" in message.lines[0]
    assert DIFF == message.diff
    assert "INC-1.diff" in [file.name for file in message.files]
    assert "`/hotfix ship`" in message.lines[2]
