"""What stands beside the thread: figures that are missing are unknown, never zero."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from bot import parsing
from bot.port import Tone
from bot.web import figure, pages, view
from bot.web.facts import Facts
from incidents.models import (
    Bucket,
    EntryKind,
    Incident,
    Person,
    Platform,
    RolloutState,
    Severity,
    Stage,
    StageClock,
    Status,
    TimelineEntry,
    Version,
)
from tests.bot.web import rooms
from tests.incidents.builders import REPORTER, START, World

OPEN = Incident(1, "t", Severity.P0, Status.OPEN, "checkout", START, REPORTER)
EMPTY = Facts(OPEN, START, (), (), (), (), None, (), Decimal(0))


def bucket(second: int, requests: int | None, errors: int | None) -> Bucket:
    return Bucket(Version.STABLE, START + timedelta(seconds=second), 10, requests, errors)


def entry(kind: EntryKind, content: dict[str, object]) -> TimelineEntry:
    who = Person(Platform.MACHINE, "halon")
    return TimelineEntry(1, 1, 1, kind, START, who, content, None, "", "", "")


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("rollback", "/incident rollback INC-3"),
        ("take back", "/incident rollback INC-3"),
        ("approve longer", "/incident approve INC-3 longer"),
    ],
)
def test_a_button_stands_for_a_line_that_is_understood(command: str, line: str) -> None:
    assert line == pages.as_line(command, "INC-3")
    assert isinstance(parsing.parse(line, {}, None), parsing.Command)


def test_without_a_measurement_the_error_rate_is_unknown() -> None:
    assert view.rate(EMPTY) is None
    assert view.rate(replace(EMPTY, buckets=(bucket(0, None, None), bucket(10, 0, 0)))) is None


def test_the_rate_is_of_the_newest_buckets_and_says_where_it_goes() -> None:
    first = [bucket(second, 100, 50) for second in (0, 10, 20)]
    last = [bucket(second, 100, 10) for second in (30, 40, 50)]
    read = view.rate(replace(EMPTY, buckets=(*first, *last)))

    assert read is not None
    assert (0.1, "falling") == (read.now, read.word)
    assert START + timedelta(seconds=60) == read.at


def test_the_card_says_when_it_ended_and_not_that_it_was_resolved_since_the_onset() -> None:
    mitigated, resolved = START + timedelta(minutes=5), START + timedelta(minutes=9)
    ended = replace(OPEN, mitigated_at=mitigated, resolved_at=resolved)

    assert resolved == view.over(replace(ended, status=Status.RESOLVED))
    assert mitigated == view.over(replace(ended, status=Status.MITIGATED))
    assert view.over(replace(ended, status=Status.REOPENED)) is None


def test_purged_content_tells_nothing() -> None:
    purged = entry(EntryKind.SUGGESTED, {"purged": True})

    assert view.rate(replace(EMPTY, entries=(purged,))) is None


def test_a_stage_past_its_target_shows_where_the_target_was() -> None:
    (bar,) = view.bars(
        [StageClock(Stage.TEST, timedelta(minutes=1), timedelta(minutes=3), timedelta(minutes=1))]
    )

    assert (75.0, 25.0, 25.0, True) == (
        bar.working_share,
        bar.waiting_share,
        bar.target_share,
        bar.late,
    )


def test_what_the_gate_needs_is_said_in_requests(world: World) -> None:
    rollout = world.rollout(world.open())
    gate = {
        "result": "INCONCLUSIVE",
        "missing_requests": 240,
        "gates": [{"name": "error rate", "result": "FAIL", "detail": "d"}],
    }
    phase = entry(EntryKind.PHASE, {"rollout": rollout.id, "percent": 10, "gate": gate})
    baking = replace(rollout, state=RolloutState.BAKING)
    lines, needed = view.gates(replace(EMPTY, entries=(phase,), rollout=baking))

    assert "240 more requests are needed for a verdict." == needed
    assert [("error rate", Tone.FAILING)] == [(line.name, line.tone) for line in lines]


def test_the_way_back_that_works_without_halon_is_offered_to_copy(world: World) -> None:
    rollout = replace(
        world.rollout(world.open()),
        state=RolloutState.BAKING,
        plan={"rollback_command": "hostctl back"},
    )

    assert ["/incident rollback INC-1", "hostctl back"] == view.take_back(
        replace(EMPTY, rollout=rollout)
    )


def test_who_may_approve_is_the_operator_until_a_chat_is_configured() -> None:
    without = view.approvers(EMPTY, rooms.ACCESS)
    with_chat = view.approvers(EMPTY, replace(rooms.ACCESS, chat_configured=True))

    assert ("web:operator", "web:ann") == without
    assert ("web:ann",) == with_chat


def test_a_picture_in_light_colours_follows_the_system() -> None:
    drawn = figure.following(
        b'<svg a="b"><rect fill="#ffffff"/><text fill="#1f2328">x</text></svg>'
    )

    assert b"color-scheme:light dark" in drawn
    assert b'fill="light-dark(#1f2328, #e8ebef)"' in drawn
    assert b'fill="#' not in drawn


def test_durations_are_spoken_in_their_largest_units() -> None:
    said = [
        pages.spoken(timedelta(seconds=seconds)) for seconds in (0, 59, 200, 900, 7500, 400_000)
    ]

    assert ["0 s", "59 s", "3 min 20 s", "15 min", "2 h 5 min", "4 days"] == said


def test_every_page_template_is_used() -> None:
    sources = [path.read_text() for path in pages.FOLDER.glob("*.j2")]
    sources += [path.read_text() for path in (pages.FOLDER.parents[1] / "bot" / "web").glob("*.py")]
    used = "\n".join(sources)
    unused = [
        path.name
        for path in pages.FOLDER.glob("*.j2")
        if f'"{path.name}"' not in used and f'"{path.name.removesuffix(".html.j2")}"' not in used
    ]

    assert [] == unused
