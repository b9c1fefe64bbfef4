"""What left for a model is kept as it left, once, and can be purged."""

import re

import pytest

from incidents import errors
from incidents.models import EntryKind, Stage
from incidents.numbering import Numbers
from incidents.redaction import Redactor
from incidents.sent import Sent
from incidents.timeline import Draft
from tests.incidents.builders import REPORTER, World

ASKED = {"role": "user", "content": "log"}
FIRST = {"model": "m-1", "system": "be brief", "messages": [ASKED]}
SECOND = FIRST | {"messages": [ASKED, {"role": "assistant", "content": "why"}]}


def test_a_request_is_told_in_its_parts_and_each_text_is_new_once(world: World) -> None:
    incident = world.open()
    run = world.stage(incident, Stage.DIAGNOSE)
    sent = Sent(world.store)
    record = sent.recorder(run.id)
    record(FIRST)
    record(SECOND)

    first, second = sent.requests(incident.number)

    assert (run.id, Stage.DIAGNOSE, world.clock.at) == (first.stage_run, first.stage, first.at)
    assert [
        ("model", "m-1", True),
        ("system", "be brief", True),
        ("messages[0]", {"role": "user", "content": "log"}, True),
    ] == [(part.where, part.content, part.first) for part in first.parts]
    assert [False, False, False, True] == [part.first for part in second.parts]


def test_incidents_do_not_share_their_texts(world: World) -> None:
    one, other = world.open("k1"), world.open("k2")
    sent = Sent(world.store)
    for incident in (one, other):
        sent.record(world.stage(incident, Stage.DIAGNOSE).id, FIRST)

    assert 3 == sent.purge(one.number)
    assert [None, None, None] == [p.content for p in sent.requests(one.number)[0].parts]
    assert "m-1" == sent.requests(other.number)[0].parts[0].content


def test_a_run_that_does_not_exist_records_nothing(world: World) -> None:
    with pytest.raises(errors.NotFound):
        Sent(world.store).record(99, FIRST)


def test_a_value_has_one_token_in_the_thread_and_for_the_model(world: World) -> None:
    incident = world.open()
    world.timeline.append(
        incident.number, Draft(EntryKind.NOTE, {"text": "a@example.com, b@example.com"}), REPORTER
    )

    redactor = Redactor(Numbers(world.store, incident.number))

    assert "<email-2> <email-3>" == redactor.text("b@example.com c@example.com")
    entry = world.timeline.append(
        incident.number, Draft(EntryKind.NOTE, {"text": "c@example.com"}), REPORTER
    )
    assert {"text": "<email-3>"} == entry.content


def test_what_only_the_team_knows_to_be_personal_goes_as_well(world: World) -> None:
    world.store.private = (re.compile(r"CUST-\d+"),)
    incident = world.open(title="CUST-77 cannot pay")

    assert "<private-1> cannot pay" == incident.title
