"""A platform with limits: what goes first, what is left out, what is waited for; to the second."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.outbox import Pace, Rank, Tap, wait
from bot.port import Message, PostRef, ThreadRef
from bot.poster import Poster
from incidents import entries, errors
from incidents.models import MACHINE, Answer, EntryKind, Platform, Stage
from incidents.timeline import Draft
from tests.bot.office import APPROVER, RESPONDER, FakeChat, Office

SLOW = Pace(every=timedelta(seconds=1), burst=3, edits=timedelta(seconds=3))
SLACK = "slack:C1"


class Chat(FakeChat):
    """A platform in memory that notes each call and when it came."""

    def __init__(self, office: Office) -> None:
        super().__init__(Platform.SLACK)
        self.office, self.calls = office, []  # type: ignore[var-annotated]
        self.begun = office.clock()

    async def post(self, thread: ThreadRef, message: Message, key: str) -> PostRef:
        made = await super().post(thread, message, key)
        self._note("post", message)
        return made

    async def edit(self, post: PostRef, message: Message) -> None:
        await super().edit(post, message)
        self._note("edit", message)

    def begin(self) -> None:
        """Forget what was called, and count the seconds from now."""
        self.calls.clear()
        self.begun = self.office.clock()

    def _note(self, what: str, message: Message) -> None:
        seconds = (self.office.clock() - self.begun).total_seconds()
        self.calls.append((seconds, what, message.headline))

    def said(self, what: str) -> list[tuple[float, str]]:
        return [(at, headline) for at, how, headline in self.calls if how == what]


@pytest.fixture
def chat(office: Office) -> Chat:
    office.chat = Chat(office)
    return office.chat


def follow(office: Office, pace: Pace = SLOW) -> Poster:
    return office.poster(pace=pace, follows=SLACK)


def pass_(office: Office, poster: Poster, seconds: int) -> None:
    """Let this time pass, looking every second."""
    office.post_all(poster)
    for _ in range(seconds):
        office.clock.move(1)
        office.post_all(poster)


def notes(office: Office, *said: str) -> None:
    for one in said:
        office.bot.room.incidents.note(1, RESPONDER, one)


def down(office: Office, *names: str, seconds: float = 0) -> None:
    def refuse(name: str) -> None:
        if name in names:
            raise errors.TemporaryFailure("down", retry_after=timedelta(seconds=seconds))

    office.chat.before = refuse


def up(office: Office) -> None:
    office.chat.before = lambda name: None


def test_a_short_burst_then_one_message_a_second(office: Office, chat: Chat) -> None:
    office.open()
    poster = follow(office)
    pass_(office, poster, 5)
    chat.begin()
    notes(office, *"abcde")
    pass_(office, poster, 4)

    assert [(0, "a"), (0, "b"), (0, "c"), (1, "d"), (2, "e")] == chat.said("post")


def test_what_shares_a_limit_shares_it_and_what_does_not_is_not_held_up(
    office: Office, chat: Chat
) -> None:
    for number in range(6):
        office.open(f"number {number}", key=f"k{number}")
    poster = follow(office)
    chat.limits = lambda place: "one channel"
    office.post_all(poster)
    shared = len(chat.said("post"))

    assert 3 == shared


def test_of_the_edits_of_a_message_the_last_is_made_every_three_seconds(
    office: Office, chat: Chat
) -> None:
    incident = office.open()
    office.claim(incident, Stage.TRIAGE)
    poster = follow(office)
    pass_(office, poster, 9)
    chat.begin()
    run = office.bot.room.incidents.runs(1)[0]
    for second in range(7):
        office.bot.room.timeline.append(1, entries.progress(run, f"{second} read"), MACHINE)
        office.post_all(poster)
        office.clock.move(1)

    edited = [at for at, headline in chat.said("edit") if headline == "Looking at what fails"]
    assert [0, 3, 6] == edited
    assert [0, 3, 6] == [at for at, headline in chat.said("edit") if headline.startswith("INC-1")]
    assert ("6 read.",) == chat.thread(incident)[1].lines


def test_a_question_goes_before_progress_and_after_the_news_before_it(
    office: Office, chat: Chat
) -> None:
    incident = office.open()
    run_id = office.claim(incident, Stage.TRIAGE)
    poster = follow(office)
    pass_(office, poster, 9)
    chat.begin()
    run = office.bot.room.stages.get(run_id)
    office.bot.room.timeline.append(1, entries.progress(run, "reading"), MACHINE)
    notes(office, "news")
    office.ask(incident)
    pass_(office, poster, 5)

    order = [headline for _, _, headline in chat.calls]
    assert ["news", "Start the canary at 10 %?", "Looking at what fails"] == order[:3]


def test_the_most_pressing_conversation_of_a_channel_goes_first(office: Office, chat: Chat) -> None:
    chat.limits = lambda place: "one channel"
    office.open()
    asked = office.open("search slow", key="k2")
    poster = follow(office, replace(SLOW, burst=1))
    pass_(office, poster, 9)
    chat.begin()
    notes(office, "a", "b", "c")
    office.ask(asked)
    pass_(office, poster, 9)

    assert "Start the canary at 10 %?" == chat.said("post")[0][1]


def test_retry_after_is_honoured_and_holds_up_nobody_else(office: Office, chat: Chat) -> None:
    first = office.open()
    office.open("search slow", key="k2")
    poster = follow(office)
    pass_(office, poster, 5)

    def limited(name: str) -> None:
        if name == "post" and chat.asked == first.id:  # type: ignore[attr-defined]
            raise errors.TemporaryFailure("429", retry_after=timedelta(seconds=20))

    class Picky(Chat):
        """Limits one thread only."""

        async def post(self, thread: ThreadRef, message: Message, key: str) -> PostRef:
            self.asked = thread.place
            return await super().post(thread, message, key)

    chat.__class__ = Picky
    chat.before = limited
    chat.begin()
    notes(office, "held up")
    office.bot.room.incidents.note(2, RESPONDER, "not held up")
    office.post_all(poster)
    up(office)
    pass_(office, poster, 25)

    assert (0, "not held up") in chat.said("post")
    assert (20, "held up") in chat.said("post")


def test_a_refused_edit_holds_up_no_news(office: Office, chat: Chat) -> None:
    incident = office.open()
    run_id = office.claim(incident, Stage.TRIAGE)
    poster = follow(office)
    pass_(office, poster, 9)
    chat.begin()
    down(office, "edit", seconds=60)
    run = office.bot.room.stages.get(run_id)
    office.bot.room.timeline.append(1, entries.progress(run, "reading"), MACHINE)
    office.post_all(poster)
    notes(office, "news")
    office.post_all(poster)

    assert [(0, "news")] == chat.said("post")


def test_an_outage_is_waited_out_ever_longer_and_then_told_in_order(
    office: Office, chat: Chat
) -> None:
    office.open()
    poster = follow(office)
    pass_(office, poster, 5)
    tries = []

    def refuse(name: str) -> None:
        if name == "post":
            tries.append((office.clock() - begun).total_seconds())
            raise errors.TemporaryFailure("down", retry_after=timedelta())

    begun = office.clock()
    chat.before = refuse
    notes(office, *"abcdefg")
    pass_(office, poster, 100)
    up(office)
    pass_(office, poster, 40)

    assert [0, 1, 3, 7, 15, 31, 61, 91] == tries
    assert list("abcdefg") == [headline for _, headline in chat.said("post")][1:]


def test_what_was_overtaken_during_an_outage_is_said_once_as_it_is_now(
    office: Office, chat: Chat
) -> None:
    incident = office.open()
    poster = follow(office)
    pass_(office, poster, 5)
    down(office, "post")
    office.post_all(poster)
    asked = office.ask(incident)
    office.post_all(poster)
    office.bot.room.approvals.decide(asked, APPROVER, Answer.YES, None, "one")
    notes(office, "after")
    up(office)
    pass_(office, poster, 60)

    shown = [message.headline for message in chat.thread(incident)][1:]
    assert ["Approved: Start the canary at 10 %", "after"] == shown
    assert [] == [one for one in chat.thread(incident)[1:] if one.buttons]


def test_an_outage_of_one_platform_disturbs_no_other(office: Office, chat: Chat) -> None:
    office.open()
    down(office, "open_thread", "post", "edit", "find")
    slack = follow(office)
    web = office.bot.poster
    notes(office, "news")
    office.post_all(slack)
    office.post_all(web)

    assert [] == chat.posts
    assert 3 == len(office.posts.since(1))


def test_a_message_that_somebody_deleted_is_said_again(office: Office, chat: Chat) -> None:
    incident = office.open()
    asked = office.ask(incident)
    poster = follow(office)
    pass_(office, poster, 9)

    def gone(name: str) -> None:
        if name == "edit":
            raise errors.NotFound("message_not_found")

    chat.before = gone
    office.bot.room.approvals.decide(asked, APPROVER, Answer.NO, None, "one")
    office.post_all(poster)

    assert "Refused: Start the canary at 10 %" == chat.said("post")[-1][1]


def test_a_lost_answer_is_looked_for_and_the_message_brought_up_to_date(
    office: Office, chat: Chat
) -> None:
    incident = office.open()
    poster = follow(office)
    pass_(office, poster, 5)
    asked = office.ask(incident)

    def lost(name: str) -> None:
        if name == "post":
            raise errors.OutcomeUnknown("no answer", retry_after=timedelta())

    chat.after = lost
    office.post_all(poster)
    chat.after = lambda name: None
    office.bot.room.approvals.decide(asked, APPROVER, Answer.YES, None, "one")
    pass_(office, poster, 5)

    shown = [message.headline for message in chat.thread(incident)][1:]
    assert ["Approved: Start the canary at 10 %"] == shown


def test_the_thread_of_what_has_ended_is_put_away_and_brought_back(
    office: Office, chat: Chat
) -> None:
    office.open()
    poster = follow(office)
    pass_(office, poster, 5)
    office.bot.room.incidents.cancel(1, RESPONDER, "false alarm")
    pass_(office, poster, 5)
    assert ["INC-1"] == chat.ended

    office.bot.room.incidents.reopen(1, RESPONDER, "it was none")
    pass_(office, poster, 5)
    assert [] == chat.ended


def test_what_a_platform_did_not_allow_is_said_once(office: Office, chat: Chat) -> None:
    incident = office.open()
    chat.left_out = ("The card is not pinned: the scope pins:write is missing.",)
    pass_(office, follow(office), 5)
    pass_(office, follow(office), 5)  # another life

    said = [one.headline for one in chat.thread(incident) if "pins:write" in one.headline]
    assert 1 == len(said)


def test_a_deleted_card_is_made_anew(office: Office, chat: Chat) -> None:
    incident = office.open()
    poster = follow(office)
    pass_(office, poster, 5)
    chat.posts[:] = [replace(one, key="gone") if one.pinned else one for one in chat.posts]
    for one in chat.posts:
        one.pinned = False

    def gone(name: str) -> None:
        if name == "edit":
            up(office)
            raise errors.NotFound("message_not_found")

    chat.before = gone
    office.clock.move(60)
    pass_(office, poster, 5)

    assert chat.card(incident).headline.startswith("INC-1")


def test_an_entry_that_fits_nothing_is_given_up_and_the_thread_goes_on(
    office: Office, chat: Chat
) -> None:
    office.open()
    poster = follow(office)
    office.bot.room.timeline.append(1, Draft(EntryKind.REFUSED, {"answer": "yes"}), MACHINE)
    notes(office, "goes on")
    pass_(office, poster, 30)

    said = [headline for _, headline in chat.said("post")]
    assert "goes on" in said
    assert said[-1].startswith("Trouble: Entry 2 (refused) could not be shown")


def test_the_card_is_not_written_when_it_says_the_same(office: Office, chat: Chat) -> None:
    office.open()
    poster = follow(office, replace(SLOW, card=timedelta(seconds=1)))
    pass_(office, poster, 3)
    office.bot.room.incidents.cancel(1, RESPONDER, "x")
    pass_(office, poster, 10)
    chat.begin()
    pass_(office, poster, 200)

    assert [] == chat.calls


@pytest.mark.parametrize(
    ("misses", "told", "seconds"),
    [(1, 0, 1), (2, 0, 2), (4, 0, 8), (9, 0, 30), (1, 45, 45), (500, 0, 30)],
)
def test_one_waits_as_long_as_told_and_ever_longer_without(
    misses: int, told: int, seconds: int
) -> None:
    assert seconds == wait(Pace(), misses, timedelta(seconds=told))


def test_a_tap_fills_with_time_and_never_over(office: Office) -> None:
    tap = Tap(1.0, 2)
    for _ in range(2):
        assert tap.allows(0, Rank.NEWS)
        tap.take(0)

    assert not tap.allows(0.5, Rank.NEWS)
    assert tap.allows(1.0, Rank.NEWS)
    assert not tap.allows(1.0, Rank.PROGRESS)  # the last one is kept for news
    assert tap.allows(2.0, Rank.PROGRESS)
    tap.allows(100, Rank.NEWS)
    assert 2 == tap.tokens


def test_a_hanging_platform_ends_with_the_process(office: Office, chat: Chat) -> None:
    office.open()

    async def life() -> None:
        stop, asked = asyncio.Event(), asyncio.Event()

        async def hang(thread: ThreadRef, message: Message, key: str) -> PostRef:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError

        chat.post = hang  # type: ignore[method-assign]
        running = asyncio.create_task(follow(office).run(stop))
        await asked.wait()
        stop.set()
        await running

    asyncio.run(asyncio.wait_for(life(), 30))
