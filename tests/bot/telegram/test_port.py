"""Every message once, whatever the network does; what people delete or rename is followed."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from telegram.error import NetworkError

from bot.port import Button, File, Message, PostRef, ThreadRef
from bot.telegram.group import Group
from incidents import errors
from tests.bot.office import RESPONDER, Office
from tests.bot.telegram.botapi import BOT, GROUP, Chat
from tests.bot.telegram.desk import CARD, Desk
from tests.bot.telegram.seam import lost

NEWS = Message("News", ("and why",))
PAPER = File("INC-1-diagnosis.md", "text/markdown", "Diagnosis", b"# Diagnosis")
PICTURE = File("c.png", "image/png", "The error rate", b"one")


@pytest.fixture
def desk(office: Office) -> Iterator[Desk]:
    made = Desk(office)
    yield made
    made.runner.close()


def post(desk: Desk, place: ThreadRef, message: Message = NEWS, key: str = "delivery-1") -> PostRef:
    async def posting() -> PostRef:
        made: PostRef = await desk.port.post(place, message, key)
        return made

    return desk.run(posting)


def edit(desk: Desk, ref: PostRef, message: Message) -> None:
    desk.run(lambda: desk.port.edit(ref, message))


def test_an_incident_is_a_topic_with_its_card_pinned_and_a_line_that_leads_there(
    office: Office, desk: Desk
) -> None:
    opened = desk.open_thread(office.open())
    (topic,) = desk.api.group.topics.values()
    (card,) = desk.messages(topic.id)
    _, line = desk.messages()  # the first of a group is a greeting

    assert ("INC-0001 P0 checkout", 0xFB6F5F) == (topic.name, topic.colour)
    assert f"{GROUP}:{topic.id}" == opened.thread.place
    assert [card.id] == desk.api.group.pinned
    assert "INC-1 · P0 · checkout failing" in card.text
    assert f"https://t.me/c/1234/{topic.id}" == line.keys[0][0]["url"]


def test_where_topics_are_off_the_card_begins_a_chain_of_replies(
    office: Office, desk: Desk
) -> None:
    desk.api.group.forum = False
    opened = desk.open_thread(office.open())
    post(desk, opened.thread)
    _, card, news = desk.messages()

    assert f"{GROUP}:r{card.id}" == opened.thread.place
    assert (card.id, None) == (news.reply_to, card.reply_to)


def test_opening_twice_makes_one_topic_and_brings_the_card_up_to_date(
    office: Office, desk: Desk
) -> None:
    incident = office.open()
    first = desk.open_thread(incident)

    async def again() -> Any:
        return await desk.port.open_thread(incident, "", Message("INC-1 · P1 · checkout failing"))

    assert first == desk.run(again)
    assert 1 == len(desk.api.group.topics)
    assert "P1" in desk.messages(int(first.thread.place.split(":")[1]))[0].text


@pytest.mark.parametrize("method", ["createForumTopic", "sendMessage", "pinChatMessage"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_thread_is_made_once_whichever_answer_is_lost(
    office: Office, desk: Desk, method: str, when: str
) -> None:
    incident = office.open()
    desk.telegram.outward.saw(GROUP, desk.rita.say("good morning")["message"]["message_id"])
    desk.seam.fate = lost(method, when)
    with pytest.raises(errors.OutcomeUnknown):
        desk.open_thread(incident)
    desk.open_thread(incident)
    (topic,) = desk.api.group.topics

    assert (1, 1) == (len(desk.messages(topic)), len(desk.messages()))


@pytest.mark.parametrize("topics", [True, False])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_in_a_group_that_was_never_seen_only_the_greeting_may_come_twice(
    office: Office, desk: Desk, topics: bool, after: int
) -> None:
    """The poster speaks first, and one of its first answers is lost."""
    desk.api.group.forum = topics
    answers = iter(range(100))

    def fate(now: str, method: str) -> None:
        counted = now == "after" and method in ("sendMessage", "createForumTopic")
        if counted and next(answers) == after:
            lost(method)(now, method)

    office.open()
    desk.seam.fate = fate
    desk.post_all()
    mine = [one for one in desk.api.group.messages.values() if one.sender == BOT]
    hellos = [one for one in mine if one.text.startswith("Halon is here")]
    told = [(one.kind, one.html) for one in mine if one not in hellos]

    assert len(hellos) == (2 if after == 0 else 1)
    assert sorted(told) == sorted(set(told))
    assert (1 if topics else 0) == len(desk.api.group.topics)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("method", ["sendMessage", "sendDocument"])
def test_a_message_whose_answer_is_lost_is_found_and_not_sent_again(
    office: Office, desk: Desk, method: str, when: str
) -> None:
    opened = desk.open_thread(office.open())
    report = Message("Cause CONFIRMED", markdown="# Diagnosis", files=(PAPER,))
    desk.seam.fate = lost(method, when)
    with pytest.raises(errors.OutcomeUnknown):
        post(desk, opened.thread, report)
    desk.rita.say("somebody talks")
    again = post(desk, opened.thread, report)
    topic = int(opened.thread.place.split(":")[1])

    assert ["text", "text", "document"] == [one.kind for one in desk.messages(topic)]
    assert f"{GROUP}/{desk.messages(topic)[1].id}" == again.id
    found = desk.run(lambda: desk.port.find(opened.thread, "delivery-1"))
    assert again == found


def test_a_call_that_never_left_is_no_riddle(office: Office, desk: Desk) -> None:
    opened = desk.open_thread(office.open())

    def refused(now: str, name: str) -> None:
        if (now, name) == ("before", "sendMessage"):
            try:
                raise httpx.ConnectError("refused")
            except httpx.ConnectError as error:
                raise NetworkError("httpx.ConnectError: refused") from error

    desk.seam.fate = refused
    with pytest.raises(errors.TemporaryFailure) as told:
        post(desk, opened.thread)
    desk.seam.fate = lambda when, method: None
    edits = len(desk.api.made("editMessageText"))
    post(desk, opened.thread)

    assert not isinstance(told.value, errors.OutcomeUnknown)
    assert edits == len(desk.api.made("editMessageText"))  # nothing was looked for


def test_an_edit_changes_the_message_and_only_those_files_that_changed(
    office: Office, desk: Desk
) -> None:
    opened = desk.open_thread(office.open())
    ref = post(desk, opened.thread, Message("Plan", files=(PAPER,)))
    edit(desk, ref, Message("Plan, rehearsed", files=(PAPER,)))
    edit(desk, ref, Message("Plan, rehearsed", files=(PAPER,)))
    _, text, paper = desk.messages(int(opened.thread.place.split(":")[1]))

    assert ("Plan, rehearsed", 1, 0) == (text.text, text.edits, paper.edits)


def test_a_phase_gets_its_chart_in_the_same_message(office: Office, desk: Desk) -> None:
    opened = desk.open_thread(office.open())
    ref = post(desk, opened.thread, Message("10 %", ("No requests yet.",)))
    edit(desk, ref, Message("10 %", ("3 of 40.",), files=(PICTURE,)))
    other = File("c.png", "image/png", "The error rate", b"two")
    edit(desk, ref, Message("10 %", ("5 of 80.",), files=(other,)))
    _, phase = desk.messages(int(opened.thread.place.split(":")[1]))

    assert ("photo", b"two", 2) == (phase.kind, (phase.file or ("", b""))[1], phase.edits)
    assert "5 of 80." in phase.text


def test_marks_that_telegram_refuses_are_left_out(office: Office, desk: Desk) -> None:
    opened = desk.open_thread(office.open())

    def picky(method: str, params: dict[str, Any]) -> None:
        if params.get("parse_mode") == "HTML" and "<code>" in str(params.get("text")):
            params["text"] += "</u>"

    desk.api.before = picky
    post(desk, opened.thread, Message("Cause: commit `3f2a91c`"))

    assert "Cause: commit 3f2a91c" == desk.last()


def test_a_message_deleted_by_hand_is_missed_by_its_edit(office: Office, desk: Desk) -> None:
    opened = desk.open_thread(office.open())
    ref = post(desk, opened.thread)
    del desk.api.group.messages[int(ref.id.split("/")[1])]
    with pytest.raises(errors.NotFound):
        edit(desk, ref, Message("Other news"))


def test_a_topic_deleted_by_hand_is_made_anew_and_what_is_asked_is_said_again(
    office: Office, desk: Desk
) -> None:
    incident = office.open()
    _, first = desk.ask(incident)
    assert first.thread is not None
    desk.api.delete_topic(desk.api.group, first.thread)
    office.bot.room.incidents.note(incident.number, RESPONDER, "cache is cold")
    desk.post_all()
    (topic,) = desk.api.group.topics
    shown = [text.split("\n")[0] for text in desk.texts(topic)]

    assert topic != first.thread
    assert "🔴 INC-1 · P0 · checkout failing" != shown[0]  # the card says that something is asked
    assert {"cache is cold", "🟡 Start the canary at 10 %?"} <= set(shown)


def test_a_group_that_becomes_a_supergroup_is_followed_and_remembered(
    office: Office, desk: Desk
) -> None:
    incident = office.open()
    desk.api.group.forum, desk.api.group.kind = False, "group"
    opened = desk.open_thread(incident)
    new = -1009999
    desk.api.chats[new] = Chat(new)
    desk.api.group.moved_to = new

    async def going_on() -> Any:
        with pytest.raises(errors.TemporaryFailure):
            await desk.port.post(opened.thread, NEWS, "delivery-1")
        with pytest.raises(errors.NotFound):
            await desk.port.post(opened.thread, NEWS, "delivery-1")
        return await desk.port.open_thread(incident, str(GROUP), CARD)

    assert new == int(desk.run(going_on).thread.place.split(":")[0])
    later = Group(GROUP, desk.sendings)
    later.recall()
    assert (new, f"telegram:{GROUP}") == (later.chat, later.conversation)


def test_without_the_right_to_pin_the_incident_goes_on_and_says_so(
    office: Office, desk: Desk
) -> None:
    desk.api.group.may_pin = False

    assert ("The card is not pinned: give the bot the right to pin messages.",) == (
        desk.open_thread(office.open()).left_out
    )


def test_a_bot_outside_of_the_group_waits_to_be_added(office: Office, desk: Desk) -> None:
    opened = desk.open_thread(office.open())

    async def thrown_out() -> None:
        desk.api.group.status = "kicked"
        with pytest.raises(errors.TemporaryFailure, match="add it again"):
            await desk.port.post(opened.thread, NEWS, "delivery-1")
        desk.api.group.status = "administrator"
        await desk.port.post(opened.thread, NEWS, "delivery-1")

    desk.run(thrown_out)
    assert "News\nand why" == desk.last()


def test_telegram_is_heard_when_it_asks_to_wait(office: Office, desk: Desk) -> None:
    opened = desk.open_thread(office.open())
    desk.api.per_minute = 0
    with pytest.raises(errors.TemporaryFailure) as told:
        post(desk, opened.thread)

    assert 50 < told.value.retry_after.total_seconds() <= 61
    desk.api.per_minute = None
    post(desk, opened.thread)
    assert 1 == sum(text.startswith("News") for text in desk.texts(int(opened.thread.place[9:])))


def test_the_topic_is_closed_in_the_end_and_opened_again(office: Office, desk: Desk) -> None:
    opened = desk.open_thread(office.open())
    topic = desk.api.group.topics[int(opened.thread.place.split(":")[1])]

    async def ended() -> bool:
        await desk.port.end_thread(opened)
        await desk.port.end_thread(opened)
        return topic.closed

    async def resumed() -> bool:
        await desk.port.resume_thread(opened)
        await desk.port.resume_thread(opened)
        return topic.closed

    assert (True, False) == (desk.run(ended), desk.run(resumed))


def test_a_button_of_the_poster_is_pressed_by_its_id(office: Office, desk: Desk) -> None:
    opened = desk.open_thread(office.open())
    post(desk, opened.thread, Message("Held", buttons=(Button("Take back", "rollback", "R1"),)))
    (held,) = (one for one in desk.api.group.messages.values() if one.text == "Held")

    assert [[{"text": "Take back", "callback_data": "c:rollback"}]] == held.keys


def test_short_buttons_stand_in_pairs_and_long_ones_alone(office: Office, desk: Desk) -> None:
    opened = desk.open_thread(office.open())
    labels = ("I have seen it", "Take command", "Start the canary at 10 %", "No", "Later")
    buttons = tuple(Button(label, "ack", "") for label in labels)
    post(desk, opened.thread, Message("Pick", buttons=buttons))
    (pick,) = (one for one in desk.api.group.messages.values() if one.text == "Pick")

    assert [2, 1, 2] == [len(row) for row in pick.keys]
