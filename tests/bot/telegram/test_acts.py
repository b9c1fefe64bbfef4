"""What people do in the group, through the real client: done once, by whom it may be done."""

import asyncio
from collections.abc import Iterator

import pytest

from incidents import entries
from incidents.models import MACHINE, ApprovalState, EntryKind, Person, Platform
from tests.bot.office import Office
from tests.bot.telegram.botapi import BOT, GROUP, Chat
from tests.bot.telegram.desk import ADA, Desk
from tests.bot.telegram.people import Someone
from tests.bot.telegram.seam import lost

LINE = "/incident P0 checkout failing"
GROUP_ITSELF = {"id": GROUP, "type": "supergroup", "title": "On call"}
CHANNEL = {"id": -100777, "type": "channel", "title": "News"}


@pytest.fixture
def desk(office: Office) -> Iterator[Desk]:
    made = Desk(office)
    yield made
    made.runner.close()


def incidents(desk: Desk) -> list[str]:
    return [one.title for one in desk.bot.room.incidents.list()]


def kinds(desk: Desk, number: int = 1) -> list[EntryKind]:
    return [one.kind for one in desk.bot.room.timeline.entries(number)]


def test_a_command_opens_an_incident_in_a_topic_and_is_nodded_at(desk: Desk) -> None:
    said = desk.sam.say(LINE)
    desk.hear(said)
    desk.post_all()

    assert ["checkout failing"] == incidents(desk)
    assert ["👌"] == desk.api.reactions[GROUP, said["message"]["message_id"]]
    (topic,) = desk.api.group.topics.values()
    assert "INC-0001 P0 checkout" == topic.name
    assert "Opened by telegram:9 at 14:30 UTC" in desk.texts(topic.id)[1]


@pytest.mark.parametrize(
    "line", ["/incident@halon_test_bot P0 checkout failing", "@halon_test_bot P0 checkout failing"]
)
def test_a_command_with_our_name_and_a_mention_mean_the_same(desk: Desk, line: str) -> None:
    desk.hear(desk.sam.say(line))

    assert ["checkout failing"] == incidents(desk)


@pytest.mark.parametrize("line", ["/incident@other_bot P0 checkout failing", "P0 checkout", "/x"])
def test_what_is_said_to_others_is_none_of_our_business(desk: Desk, line: str) -> None:
    desk.hear(desk.sam.say(line))

    assert ([], []) == (incidents(desk), desk.texts())


def test_another_plan_is_pressed_and_approved_in_one(desk: Desk) -> None:
    _, rollout, asked = desk.office.thin()
    desk.post_all()
    desk.hear(desk.ada.press(desk.find("Start the canary"), "Instead: 10 % for 21 minutes"))

    newest = desk.office.bot.room.approvals.of_rollout(rollout.id)[-1]
    assert (ApprovalState.SUPERSEDED, ApprovalState.GRANTED) == (desk.state(asked), newest.state)


def test_the_same_update_twice_and_the_same_message_under_two_ids_are_one(desk: Desk) -> None:
    said = desk.sam.say(LINE)
    desk.hear(said, said, said | {"update_id": 999_999})

    assert ["checkout failing"] == incidents(desk)


def test_a_line_that_is_not_understood_is_answered_with_one_that_is(desk: Desk) -> None:
    said = desk.sam.say("/incident P9 checkout failing")
    desk.hear(said)
    (answer,) = desk.messages()

    assert said["message"]["message_id"] == answer.reply_to
    assert "'P9' is no severity" in answer.text
    assert "<code>/incident P1 checkout failing</code>" in answer.html


def test_which_service_is_asked_by_buttons_and_the_first_press_opens_it(desk: Desk) -> None:
    desk.hear(desk.sam.say("/incident P0 `nothing` *works*"))
    (asked,) = desk.messages()
    desk.hear(desk.rita.press(asked, "search"), desk.sam.press(asked, "checkout"))
    (opened,) = desk.bot.room.incidents.list()

    assert ["checkout", "search"] == asked.buttons
    named = (opened.title, opened.service, str(opened.reporter))
    assert ("`nothing` *works*", "search", "telegram:8") == named
    assert 2 * ["INC-1 is open as P0"] == [text[:19] for _, text, _ in desk.api.answers]


def test_another_bot_chooses_nothing(desk: Desk) -> None:
    desk.hear(desk.sam.say("/incident P0 nothing works"))
    (asked,) = desk.messages()
    desk.hear(Someone(desk.api, 44, is_bot=True).press(asked, "search"))

    assert [] == incidents(desk)


def test_an_edited_command_is_not_carried_out_again_and_says_so(desk: Desk) -> None:
    said = desk.sam.say(LINE)
    changed = desk.sam.edit(said, "/incident P1 search failing")
    desk.hear(said, changed, changed)

    assert ["checkout failing"] == incidents(desk)
    assert ["An edited command is not read again: send it as a new message."] == desk.texts()


def test_a_topic_names_its_incident_and_help_and_status_are_answered_in_it(desk: Desk) -> None:
    desk.hear(desk.sam.say(LINE))
    desk.post_all()
    (topic,) = desk.api.group.topics
    desk.hear(desk.rita.say("/incident status", topic), desk.rita.say("/incident ack", topic))

    assert "INC-1 · P0 · checkout failing: open since" in desk.last()
    assert EntryKind.STATUS in kinds(desk)


def test_a_reply_to_a_message_of_ours_is_a_note_and_talk_is_not(desk: Desk) -> None:
    desk.hear(desk.sam.say(LINE))
    desk.post_all()
    (topic,) = desk.api.group.topics
    opened = desk.messages(topic)[1]
    desk.hear(
        desk.rita.say("cache is cold", topic, reply_to=opened), desk.rita.say("is it?", topic)
    )
    notes = [
        one.content["text"]
        for one in desk.bot.room.timeline.entries(1)
        if one.kind is EntryKind.NOTE
    ]

    assert ["cache is cold"] == notes


def test_in_a_chain_of_replies_the_reply_names_the_incident(desk: Desk) -> None:
    desk.api.group.forum = False
    desk.hear(desk.sam.say(LINE))
    desk.post_all()
    desk.hear(desk.rita.say("/incident ack", reply_to=desk.messages()[1]))

    assert EntryKind.STATUS in kinds(desk)


@pytest.mark.parametrize(
    ("who", "why"),
    [(GROUP_ITSELF, "An anonymous administrator is nobody"), (CHANNEL, "A channel is no person")],
)
def test_what_is_said_in_the_name_of_a_chat_is_refused(
    desk: Desk, who: dict[str, object], why: str
) -> None:
    desk.hear(Someone(desk.api, 0, in_name_of=who).say(LINE))

    assert [] == incidents(desk)
    assert why in desk.last()


def test_another_bot_is_not_listened_to(desk: Desk) -> None:
    desk.hear(Someone(desk.api, 55, is_bot=True).say(LINE))

    assert ([], []) == (incidents(desk), desk.texts())


def test_who_writes_to_the_bot_alone_is_sent_to_the_group(desk: Desk) -> None:
    desk.api.chats[ADA] = Chat(ADA, forum=False, kind="private")
    desk.hear(Someone(desk.api, ADA, chat=ADA).say(LINE))

    assert [] == incidents(desk)
    (answer,) = (one for one in desk.api.chats[ADA].messages.values() if one.sender == BOT)
    assert answer.text.startswith("I listen in the group of this team only")
    assert "Your user id, for halon.toml: 7." in answer.text


# --- approvals


@pytest.mark.parametrize(
    ("label", "state", "told"),
    [
        ("Start the canary", ApprovalState.GRANTED, "Approved."),
        ("Do not deploy", ApprovalState.REFUSED, "Refused."),
    ],
)
def test_a_button_decides_and_the_message_shows_it(
    desk: Desk, label: str, state: ApprovalState, told: str
) -> None:
    asked, message = desk.ask(desk.office.open())
    desk.hear(desk.ada.press(message, label))
    desk.post_all()

    assert state == desk.state(asked)
    assert (told, False) == desk.api.answers[0][1:]
    assert [] == message.buttons
    assert "telegram:7" in message.text


@pytest.mark.parametrize(
    ("new", "state"), [("👍", ApprovalState.GRANTED), ("👎", ApprovalState.REFUSED)]
)
def test_a_reaction_decides(desk: Desk, new: str, state: ApprovalState) -> None:
    asked, message = desk.ask(desk.office.open())
    desk.hear(desk.ada.react(message, new))

    assert state == desk.state(asked)


@pytest.mark.parametrize("new", ["👀", "❤", "🔥"])
def test_any_other_reaction_is_nothing(desk: Desk, new: str) -> None:
    asked, message = desk.ask(desk.office.open())
    desk.hear(desk.ada.react(message, new))

    assert (ApprovalState.ASKED, EntryKind.QUESTION) == (desk.state(asked), kinds(desk)[-1])


def test_a_yes_is_withdrawn_by_taking_it_away_and_changed_into_a_no(desk: Desk) -> None:
    asked, message = desk.ask(desk.office.open())
    states = []
    for new, old in (("👍", ""), ("", "👍"), ("👍👀", ""), ("👎👀", "👍👀")):
        desk.hear(desk.ada.react(message, new, old))
        states.append(desk.state(asked).value)

    assert ["granted", "withdrawn", "granted", "refused"] == states


def test_a_reaction_that_comes_late_does_not_undo_a_newer_one(desk: Desk) -> None:
    """Put on at second 1 and off at second 2, and the second update comes first."""
    asked, message = desk.ask(desk.office.open())
    on = desk.ada.react(message, "👍", at=1_800_000_001)
    off = desk.ada.react(message, "", "👍", at=1_800_000_002)
    desk.hear(off, on)

    assert ApprovalState.ASKED == desk.state(asked)


@pytest.mark.parametrize("by", ["button", "reaction"])
def test_an_answer_to_a_message_that_telegram_has_not_confirmed_is_kept(
    desk: Desk, by: str
) -> None:
    """Telegram shows the question and its answer to us is lost: nobody must answer twice."""
    incident = desk.office.open()
    desk.post_all()
    asked = desk.office.ask(incident)
    desk.telegram.acts.between_looks = 0.01
    desk.seam.fate = lost("sendMessage")

    async def turns() -> None:
        while not desk.deliveries.sends_in("telegram", str(GROUP)):
            await desk.poster.turn()

    desk.run(turns)
    message = desk.find("Start the canary at 10 %?")
    pressed = desk.ada.press(message, "Start") if by == "button" else desk.ada.react(message, "👍")
    desk.hear(pressed, desk.sam.say("/incident note INC-1 seen"))
    before = (desk.state(asked), EntryKind.NOTE in kinds(desk))
    desk.post_all()

    async def decided() -> None:
        while desk.state(asked) is ApprovalState.ASKED:
            await asyncio.sleep(0.01)

    desk.run(lambda: asyncio.wait_for(decided(), 20))

    assert (ApprovalState.ASKED, True) == before
    assert ApprovalState.GRANTED is desk.state(asked)


def test_the_same_reaction_update_twice_is_one_vote(desk: Desk) -> None:
    _, message = desk.ask(desk.office.open())
    update = desk.ada.react(message, "👍")
    desk.hear(update, update)

    assert 1 == kinds(desk).count(EntryKind.APPROVED)


@pytest.mark.parametrize("by", ["button", "reaction"])
def test_who_is_not_listed_is_refused_with_the_reason(desk: Desk, by: str) -> None:
    asked, message = desk.ask(desk.office.open())
    update = (
        desk.sam.press(message, "Start the canary")
        if by == "button"
        else desk.sam.react(message, "👍")
    )
    desk.hear(update)
    desk.post_all()

    assert ApprovalState.ASKED == desk.state(asked)
    assert "telegram:9 is not among them" in desk.find("An answer of telegram:9").text
    if by == "button":
        ((_, told, alert),) = desk.api.answers
        assert alert
        assert "is for the approvers" in told


@pytest.mark.parametrize("who", [GROUP_ITSELF, CHANNEL])
def test_a_reaction_in_the_name_of_a_chat_is_no_vote_and_is_told_so(
    desk: Desk, who: dict[str, object]
) -> None:
    asked, message = desk.ask(desk.office.open())
    desk.hear(Someone(desk.api, 0, in_name_of=who).react(message, "👍"))

    assert ApprovalState.ASKED == desk.state(asked)
    assert "was not counted" in desk.last()


def test_another_bots_reaction_and_press_are_no_votes(desk: Desk) -> None:
    asked, message = desk.ask(desk.office.open())
    other = Someone(desk.api, ADA, is_bot=True)
    desk.hear(other.react(message, "👍"), other.press(message, "Start the canary"))

    assert ApprovalState.ASKED == desk.state(asked)


def test_a_button_of_an_approval_long_gone_says_so(desk: Desk) -> None:
    incident = desk.office.open()
    _, message = desk.ask(incident)
    pressed = message.keys[0][0]["callback_data"]
    desk.hear(desk.ada.press(message, "Do not deploy"))
    desk.post_all()
    gone = desk.api.group.messages[min(desk.api.group.messages)]
    desk.hear(desk.ada.press_data(message, pressed), desk.ada.press_data(gone, "y:" + "f" * 16))
    told = [text for _, text, alert in desk.api.answers if alert]

    assert "This question is refused; answer the newest one." == told[0]
    assert told[1].startswith("This message asks nothing any more")


@pytest.mark.parametrize(
    "data", ["", "x", "y:", "s:0", "s:x", "c:drop table", "c:approve", "z:1", "y:" + "é" * 30]
)
def test_a_forged_button_does_nothing(desk: Desk, data: str) -> None:
    asked, message = desk.ask(desk.office.open())
    desk.hear(desk.sam.press_data(message, data))

    assert ApprovalState.ASKED == desk.state(asked)
    assert 1 == len(desk.api.answers)


def test_two_accounts_of_one_person_are_one_voice(office: Office) -> None:
    """An approver of the war room votes from a Telegram account that an admin has linked."""
    account, voice = Person(Platform.TELEGRAM, "9"), Person(Platform.WEB, "ada")
    desk = Desk(office, identities={account: voice})
    asked, message = desk.ask(office.open())
    desk.hear(desk.sam.react(message, "👍"))

    assert ApprovalState.GRANTED == desk.state(asked)
    desk.runner.close()


def test_a_button_beside_a_question_acts_on_its_incident(desk: Desk) -> None:
    incident = desk.office.open()
    rollout = desk.office.rollout(incident)
    told = entries.held(rollout, "too little traffic")
    desk.office.bot.room.timeline.append(1, told, MACHINE)
    desk.post_all()
    message = desk.find("Held at 10 %")
    desk.hear(desk.rita.press(message, "Take back"))

    assert (["Take back"], "Taking the canary back.") == (message.buttons, desk.api.answers[0][1])
