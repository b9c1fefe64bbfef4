"""`/hotfix TEXT` in the group: opened by whom it may be, and answered with what a shell takes."""

from collections.abc import Iterator

import pytest

from incidents import entries
from incidents.models import Outcome, Stage
from incidents.stages import Ending
from tests.bot.office import DIFF, Office, contained
from tests.bot.telegram.desk import Desk

LINE = "/hotfix service:checkout guests crash"


@pytest.fixture
def desk(office: Office) -> Iterator[Desk]:
    made = Desk(office)
    yield made
    made.runner.close()


def test_a_responders_words_are_contained_in_a_topic_of_their_own(desk: Desk) -> None:
    typed = desk.rita.say(f"{LINE}\nKeyError: 'sku'")
    desk.hear(typed)
    desk.post_all()
    (incident,) = desk.bot.room.incidents.list()
    (topic,) = desk.api.group.topics.values()

    assert [Stage.HOTFIX] == [run.stage for run in desk.bot.room.incidents.runs(incident.number)]
    assert "INC-0001 P1 checkout" == topic.name
    assert any("guests crash" in text for text in desk.texts(topic.id))
    assert ["👌"] in desk.api.reactions.values()  # on what was typed


def test_who_may_not_is_told_so_and_nothing_begins(desk: Desk) -> None:
    desk.hear(desk.sam.say(LINE))

    assert [] == desk.bot.room.incidents.list()
    assert "telegram:9 is not among them" in desk.last()


def test_the_answer_carries_the_patch_as_a_document_and_the_line_that_applies_it(
    desk: Desk,
) -> None:
    desk.hear(desk.rita.say(LINE))
    (incident,) = desk.bot.room.incidents.list()
    content = contained().model_dump(mode="json")
    entry = entries.report(Stage.HOTFIX, content)
    desk.office.run_stage(incident, Ending(Outcome.PATCHED, content, (entry,)))
    desk.post_all()
    told = desk.find("Contained by a guard")
    documents = [one for one in desk.messages(told.thread) if one.kind == "document"]

    assert "<code>git apply INC-1.diff</code>, checked against <code>bbbbbbb</code>" in told.html
    assert ("INC-1.diff", DIFF.encode()) in [one.file for one in documents]
    assert all(line in told.text for line in ("/hotfix ship", "/hotfix verify", "/hotfix drop"))


def test_its_next_step_is_typed_in_the_topic(desk: Desk) -> None:
    desk.hear(desk.rita.say(LINE))
    (incident,) = desk.bot.room.incidents.list()
    content = contained().model_dump(mode="json")
    desk.office.run_stage(incident, Ending(Outcome.PATCHED, content, ()))
    desk.post_all()
    (topic,) = desk.api.group.topics
    desk.hear(desk.rita.say("/hotfix ship", topic=topic), desk.rita.say("/hotfix verify", topic))
    runs = desk.bot.room.incidents.runs(incident.number)

    assert [Stage.HOTFIX, Stage.HOTFIX] == [run.stage for run in runs]  # a responder ships nothing
