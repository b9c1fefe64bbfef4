"""Every entry once and in order, whatever dies; edits where they belong; a card that is true."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest

from bot.outbox import Pace
from bot.poster import Poster
from bot.sender import TRIES
from incidents import crash, entries, errors
from incidents.models import (
    MACHINE,
    Answer,
    EntryKind,
    Outcome,
    Person,
    Platform,
    Severity,
    Stage,
)
from incidents.stages import Ending
from incidents.timeline import Draft
from tests.bot.office import (
    APPROVER,
    RESPONDER,
    STRANGER,
    FakeChat,
    Office,
    buckets,
    diagnosis,
    plan,
)


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    crash.disarm()


def headlines(office: Office) -> list[str]:
    return [message.headline for message in office.chat.thread(office.bot.room.incidents.get(1))]


def test_a_thread_begins_with_its_card_then_every_entry_in_order(office: Office) -> None:
    incident = office.open()
    for text in "abc":
        office.bot.room.incidents.note(incident.number, RESPONDER, text)

    office.post_all()

    assert office.chat.posts[0].pinned
    assert ["INC-1 · P0 · checkout failing", "a", "b", "c"] == headlines(office)


def test_the_work_of_a_stage_edits_its_message(office: Office) -> None:
    incident = office.open()
    office.post_all()
    room = office.bot.room
    run = room.incidents.runs(1)[0]
    office.claim(incident, Stage.TRIAGE)
    room.timeline.append(1, entries.progress(run, "reading 3 logs"), MACHINE)
    office.post_all()

    assert ["Looking at what fails"] == headlines(office)[1:]
    assert ("Reading 3 logs.",) == office.chat.thread(incident)[1].lines

    room.stages.finish(run.id, 1, Ending(Outcome.DONE))
    office.post_all()

    assert ["Triage: done"] == headlines(office)[1:]


def test_progress_that_is_overtaken_is_not_shown(office: Office) -> None:
    incident = office.open()
    office.claim(incident, Stage.TRIAGE)
    office.post_all()
    run = office.bot.room.incidents.runs(1)[0]
    edits = office.chat.posts[2].edits
    for text in ("one", "two", "three"):
        office.bot.room.timeline.append(1, entries.progress(run, text), MACHINE)

    office.post_all()

    assert edits + 1 == office.chat.posts[2].edits
    assert ("Three.",) == office.chat.thread(incident)[1].lines


def test_one_message_per_phase_edited_while_it_bakes(office: Office) -> None:
    incident = office.open()
    rollout = office.rollout(incident)
    for seconds in (300, 200):
        draft = entries.phase(
            rollout,
            buckets(office.clock()),
            left=timedelta(seconds=seconds),
            gate={"result": "PASS"},
            following="nothing new",
        )
        office.bot.room.timeline.append(1, draft, MACHINE)
        office.post_all()

    shown = [one for one in office.chat.thread(incident) if "10 %" in one.headline]
    assert 1 == len(shown)
    assert "At most 3 min left, as of 14:30 UTC." == shown[0].lines[-1]
    assert ["image/png", "image/svg+xml"] == [file.media for file in shown[0].files]


def test_the_plan_and_its_rehearsal_are_one_message(office: Office) -> None:
    incident = office.open()
    for told in ("", "went back in 2 s"):
        content = plan(told).model_dump(mode="json")
        office.bot.room.timeline.append(1, entries.plan("R1", content), MACHINE)
        office.post_all()

    assert 2 == len(office.chat.thread(incident))
    assert "The way back: went back in 2 s." == office.chat.thread(incident)[1].lines[-1]


def test_an_answer_closes_the_question_that_it_answers(office: Office) -> None:
    incident = office.open()
    asked = office.ask(incident)
    office.post_all()
    question = office.chat.thread(incident)[1]
    office.bot.room.approvals.decide(asked, APPROVER, Answer.YES, None, "one")
    office.post_all()
    answered = office.chat.thread(incident)[1]

    assert ["approve", "refuse"] == [button.command for button in question.buttons]
    assert ("✅", "❌") == question.reactions
    assert "Approved: Start the canary at 10 %" == answered.headline
    assert () == answered.buttons
    assert asked == answered.approval
    assert 2 == len(office.chat.thread(incident))


def test_a_withdrawn_yes_opens_the_question_again(office: Office) -> None:
    incident = office.open()
    asked = office.ask(incident)
    office.bot.room.approvals.decide(asked, APPROVER, Answer.YES, None, "one")
    office.bot.room.approvals.withdraw(asked, APPROVER, "two")
    office.post_all()

    (question,) = office.chat.thread(incident)[1:]
    assert "Still open" in question.headline
    assert 2 == len(question.buttons)


def test_of_two_who_are_asked_the_second_one_reads_what_the_first_one_read(office: Office) -> None:
    office.takes(two=True)
    incident = office.open()
    asked = office.ask(incident)
    office.post_all()
    (before,) = office.chat.thread(incident)[1:]
    office.bot.room.approvals.decide(asked, APPROVER, Answer.YES, None, "one")
    office.post_all()
    (open_,) = office.chat.thread(incident)[1:]
    office.bot.room.approvals.decide(asked, Person(Platform.WEB, "ben"), Answer.YES, None, "two")
    office.post_all()
    (granted,) = office.chat.thread(incident)[1:]

    assert "May answer: web:ada, web:ben; it takes the yes of 2 of them." == before.lines[-1]
    assert "Start the canary at 10 %? 1 of 2 have said yes" == open_.headline
    assert "Yes so far: web:ada, at 14:30 UTC; it takes 1 more." == open_.lines[0]
    assert (before.lines, before.buttons) == (open_.lines[1:], open_.buttons)
    assert "Approved: Start the canary at 10 %" == granted.headline
    assert granted.lines[0].startswith("By web:ada and web:ben at ")


def test_a_vote_that_does_not_count_is_a_message_of_its_own(office: Office) -> None:
    incident = office.open()
    asked = office.ask(incident)
    office.bot.room.approvals.decide(asked, STRANGER, Answer.YES, None, "one")
    office.post_all()

    _, question, refused = office.chat.thread(incident)
    assert "Start the canary at 10 %?" == question.headline
    assert "approvers of service" in refused.lines[0]
    assert refused.approval is None


def test_a_question_that_was_replaced_takes_no_answer(office: Office) -> None:
    incident = office.open()
    office.ask(incident)
    office.post_all()
    office.ask(incident, key="again", plan_hash="q" * 64)
    office.post_all()

    old, new = office.chat.thread(incident)[1:]
    assert "Start the canary at 10 %: superseded" == old.headline
    assert () == old.buttons
    assert "Start the canary at 10 %?" == new.headline


def test_a_cancelled_incident_asks_nothing_any_more(office: Office) -> None:
    incident = office.open()
    office.ask(incident)
    office.post_all()
    office.bot.room.incidents.cancel(1, RESPONDER, "false alarm")
    office.post_all()

    assert () == office.chat.thread(incident)[1].buttons
    assert "Nothing is asked of you." == office.chat.card(incident).lines[-1]


def test_a_platform_that_is_down_delays_and_loses_nothing(office: Office) -> None:
    office.open()
    other = office.open("search slow", key="k2", service="search")
    office.bot.room.incidents.note(1, RESPONDER, "a")
    office.bot.room.incidents.note(1, RESPONDER, "b")
    poster = office.poster()
    office.post_all(poster)
    office.bot.room.incidents.note(1, RESPONDER, "c")
    office.bot.room.incidents.note(1, RESPONDER, "d")

    def down(name: str) -> None:
        if name == "post":
            raise errors.TemporaryFailure("rate limited", retry_after=timedelta(seconds=30))

    office.chat.before = down
    office.post_all(poster)
    office.chat.before = lambda name: None
    office.post_all(poster)
    assert ["a", "b"] == headlines(office)[1:]  # its time has not come

    office.clock.move(31)
    office.post_all(poster)
    assert ["a", "b", "c", "d"] == headlines(office)[1:]
    assert 1 == len(office.chat.thread(other))


def test_a_post_whose_outcome_is_unknown_is_found_not_doubled(office: Office) -> None:
    incident = office.open()

    def lost(name: str) -> None:
        if name == "post" and len(office.chat.posts) == 2:
            raise errors.OutcomeUnknown("no answer", retry_after=timedelta(seconds=1))

    office.chat.after = lost
    office.post_all()
    office.chat.after = lambda name: None
    office.clock.move(2)
    office.post_all()

    assert 1 == len(office.chat.thread(incident))


@pytest.mark.parametrize("kind", [EntryKind.OPENED, EntryKind.NOTE, EntryKind.QUESTION])
@pytest.mark.parametrize("point", ["post.sending", "post.made", "post.recorded"])
def test_a_killed_poster_posts_each_entry_once(office: Office, point: str, kind: EntryKind) -> None:
    incident = office.open()
    office.bot.room.incidents.note(1, RESPONDER, "a")
    office.ask(incident)
    office.bot.room.incidents.note(1, RESPONDER, "b")
    crash.arm(f"{point}/{kind.value}", crash.raise_crash)
    with pytest.raises(crash.Crash):
        office.post_all()

    office.post_all()  # another life

    told = ["INC-1 · P0 · checkout failing", "a", "Start the canary at 10 %?", "b"]
    assert told == headlines(office)
    assert 1 == sum(stored.pinned for stored in office.chat.posts)


@pytest.mark.parametrize("call", ["open_thread", "post", "edit", "find"])
@pytest.mark.parametrize("when", range(3))
def test_a_poster_that_dies_in_any_call_leaves_one_thread(
    office: Office, call: str, when: int
) -> None:
    office.open()
    office.bot.room.incidents.note(1, RESPONDER, "a")
    counted = 0

    def die(name: str) -> None:
        nonlocal counted
        counted += name == call
        if name == call and counted == when + 1:
            raise crash.Crash

    office.chat.before = die
    try:
        office.post_all()
    except crash.Crash:
        office.chat.before = lambda name: None
        office.post_all()

    assert ["INC-1 · P0 · checkout failing", "a"] == headlines(office)
    assert 1 == sum(stored.pinned for stored in office.chat.posts)


def test_an_entry_that_cannot_be_shown_is_given_up_with_a_line_that_says_so(
    office: Office,
) -> None:
    office.open()
    office.bot.room.timeline.append(1, Draft(EntryKind.PHASE, {"nonsense": True}), MACHINE)
    office.bot.room.incidents.note(1, RESPONDER, "after")
    poster = office.poster()

    for _ in range(TRIES):
        office.post_all(poster)
        office.clock.move(60)

    opened, after, trouble = headlines(office)
    assert ("INC-1 · P0 · checkout failing", "after") == (opened, after)
    assert trouble.startswith("Trouble: Entry 2 (phase) could not be shown")


def test_the_card_follows_every_change(office: Office) -> None:
    incident = office.open()
    poster = office.poster()
    office.post_all(poster)
    office.bot.room.incidents.change_severity(1, Severity.P1, RESPONDER)
    office.post_all(poster)

    card = office.chat.card(incident)
    assert "INC-1 · P1 · checkout failing" == card.headline
    assert 4 == len(card.lines)


def test_a_card_of_a_live_incident_grows_no_older_than_its_pace(office: Office) -> None:
    incident = office.open()
    poster = office.poster()
    office.post_all(poster)
    office.clock.move(240)
    office.post_all(poster)

    assert "Open; began 14:30 UTC, 4 min ago." == office.chat.card(incident).lines[0]


def test_a_card_that_is_young_is_left_alone(office: Office) -> None:
    incident = office.open()
    poster = office.poster()
    office.post_all(poster)
    before = office.chat.card(incident)
    office.clock.move(30)
    office.post_all(poster)

    assert before == office.chat.card(incident)


def test_a_broken_chat_stops_no_other_conversation(office: Office) -> None:
    first = office.open()
    second = office.open("search slow", key="k2", service="search")

    class Picky(FakeChat):
        """Refuses one thread for good."""

        async def post(self, thread, message, key):  # type: ignore[no-untyped-def]  # as FakeChat
            if thread.place == first.id:
                raise errors.PermanentFailure("the channel was deleted")
            return await super().post(thread, message, key)

    office.chat = Picky()
    office.post_all()

    assert 1 == len(office.chat.thread(second))
    assert [] == office.chat.thread(first)


def test_the_loop_posts_what_comes_and_stops_when_told(office: Office) -> None:
    incident = office.open()

    async def life() -> None:
        stop = asyncio.Event()
        poster = Poster(
            office.chat,
            office.deliveries,
            office.bot.poster.gathering,
            Pace(look=timedelta(milliseconds=1)),
        )
        office.chat.after = lambda name: (
            stop.set() if len(office.chat.thread(incident)) == 1 else None
        )
        await poster.run(stop)

    asyncio.run(asyncio.wait_for(life(), 30))
    assert ["INC-1 · P0 · checkout failing"] == headlines(office)


def test_a_report_carries_the_head_of_the_timeline(office: Office) -> None:
    incident = office.open()
    content = diagnosis().model_dump(mode="json")
    entry = office.bot.room.timeline.append(1, entries.report(Stage.DIAGNOSE, content), MACHINE)
    office.post_all()

    shown = office.chat.thread(incident)[1]
    assert shown.markdown is not None
    assert entry.hash in shown.markdown
