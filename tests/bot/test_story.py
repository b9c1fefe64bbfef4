"""What a timeline tells of a rollout."""

from datetime import timedelta

from bot.chart import Mark, MarkKind, Phase
from bot.story import told
from incidents import entries
from incidents.models import MACHINE
from tests.bot.office import FIX, RESPONDER, START, Office


def test_phases_follow_each_other_and_end_where_it_was_taken_back(office: Office) -> None:
    rollout = office.rollout(office.open())
    room = office.bot.room
    for percent in (10, 50):
        moved = type(rollout)(**(vars(rollout) | {"phase": percent}))
        for _ in range(2):
            draft = entries.phase(moved, (), left=None, gate={}, following="x")
            room.timeline.append(1, draft, MACHINE)
            office.clock.move(60)
    room.timeline.append(1, entries.taken_back(rollout, FIX, "x", broken=False), MACHINE)

    minutes = [START + timedelta(minutes=number) for number in range(5)]
    found = told(room.timeline.entries(1), rollout.id)
    assert (Phase(10, START, minutes[2]), Phase(50, minutes[2], minutes[4])) == found.phases
    assert (Mark(MarkKind.TAKEN_BACK, minutes[4]),) == found.marks


def test_another_rollout_is_another_story(office: Office) -> None:
    rollout = office.rollout(office.open())
    draft = entries.phase(rollout, (), left=None, gate={}, following="x")
    office.bot.room.timeline.append(1, draft, MACHINE)

    assert () == told(office.bot.room.timeline.entries(1), "R99").phases


def test_mitigated_counts_once_traffic_has_moved(office: Office) -> None:
    rollout = office.rollout(office.open())
    draft = entries.phase(rollout, (), left=None, gate={}, following="x")
    office.bot.room.timeline.append(1, draft, MACHINE)
    office.clock.move(60)
    office.bot.room.incidents.mitigated(1, RESPONDER, "x")

    marks = told(office.bot.room.timeline.entries(1), rollout.id).marks
    assert (Mark(MarkKind.MITIGATED, START + timedelta(minutes=1)),) == marks
