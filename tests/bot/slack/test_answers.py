"""Who may say yes and no in Slack, and what becomes of every answer that is none."""

import asyncio

import pytest

from bot.slack.place import action_id
from incidents.models import ApprovalState, EntryKind, Incident
from tests import slack_double
from tests.bot.slack import desk
from tests.bot.slack.desk import ADA, EXT, GUS, HOME, RITA, SAM, Desk, play
from tests.slack_double import BOT, button, callback, reaction, slash

YES, NO = "white_check_mark", "x"
MESSAGE = "100.5"  # the one that asks


def react(emoji: str, user: str, at: str = "1.0", *, gone: bool = False) -> slack_double.Json:
    """Return a reaction on the message that asks."""
    event = reaction(emoji, user, HOME, MESSAGE, at=at, gone=gone)
    return callback(event, f"Ev-{emoji}-{user}-{at}-{gone}")


def state(one: Desk, approval: str) -> ApprovalState:
    return one.office.bot.room.approvals.get(approval).state


@pytest.fixture
def asked(one: Desk) -> tuple[Incident, str]:
    """An incident whose message asks whether the canary may start."""
    incident = one.open()
    return incident, one.ask(incident, MESSAGE)


def test_an_approvers_tick_approves(one: Desk, asked: tuple[Incident, str]) -> None:
    play(one, react(YES, ADA))

    assert ApprovalState.GRANTED is state(one, asked[1])
    assert f"slack:{ADA}" == str(one.office.bot.room.approvals.get(asked[1]).decided_by)
    assert [] == one.told()  # the message itself tells


def test_any_skin_approves_and_a_cross_refuses(one: Desk, asked: tuple[Incident, str]) -> None:
    play(one, react("+1::skin-tone-3", ADA))
    assert ApprovalState.GRANTED is state(one, asked[1])

    play(one, react(NO, RITA, "2.0"))
    assert ApprovalState.REFUSED is state(one, asked[1])


@pytest.mark.parametrize(
    ("user", "why"),
    [
        (RITA, "'start' is for the approvers"),
        (SAM, "'start' is for the approvers"),
        (GUS, "Guests and people from outside"),
        (EXT, "Guests and people from outside"),
    ],
)
def test_a_tick_of_who_may_not_is_refused_and_told_why(
    one: Desk, asked: tuple[Incident, str], user: str, why: str
) -> None:
    play(one, react(YES, user))

    assert ApprovalState.ASKED is state(one, asked[1])
    (told,) = one.told()
    assert why in told
    (whispered,) = one.double.called("chat.postEphemeral")
    assert (user, HOME) == (whispered["user"], whispered["channel"])


def test_bots_do_not_approve_and_neither_do_we(one: Desk, asked: tuple[Incident, str]) -> None:
    one.double.users["UROBOT"] = {"is_bot": True}

    play(one, react(YES, BOT), react(YES, "UROBOT", "2.0"))

    assert ApprovalState.ASKED is state(one, asked[1])
    (told,) = one.told()
    assert "Bots may do nothing here" in told


def test_a_person_whom_slack_does_not_show_is_a_guest(
    one: Desk, asked: tuple[Incident, str]
) -> None:
    one.double.answers["users.info"] = lambda said: {"ok": False, "error": "user_not_visible"}

    play(one, react(YES, ADA))

    assert ApprovalState.ASKED is state(one, asked[1])


def test_a_tick_on_a_message_that_asks_nothing_says_nothing(
    one: Desk, asked: tuple[Incident, str]
) -> None:
    event = reaction(YES, ADA, HOME, "999.9")

    play(one, callback(event, "Ev1"))

    assert ApprovalState.ASKED is state(one, asked[1])
    assert [] == one.told()


def test_a_tick_on_an_expired_question_is_told_so(one: Desk, asked: tuple[Incident, str]) -> None:
    one.office.clock.move(31 * 60)

    play(one, react(YES, ADA))

    assert ApprovalState.GRANTED is not state(one, asked[1])
    assert "expired" in one.told()[0]


def test_a_tick_on_a_superseded_question_does_not_approve_the_new_one(
    one: Desk, asked: tuple[Incident, str]
) -> None:
    newer = one.ask(asked[0], "100.6", plan_hash="n" * 64, key="another")

    play(one, react(YES, ADA))

    assert [ApprovalState.SUPERSEDED, ApprovalState.ASKED] == [
        state(one, asked[1]),
        state(one, newer),
    ]
    assert "superseded" in one.told()[0]


def test_two_ticks_of_one_person_are_one_vote(one: Desk, asked: tuple[Incident, str]) -> None:
    play(one, react(YES, ADA), react(YES, ADA), react("+1", ADA, "2.0"))

    approved = [kind for kind in one.kinds(asked[0]) if kind is EntryKind.APPROVED]
    assert [EntryKind.APPROVED] == approved


def test_added_removed_added_is_a_yes(one: Desk, asked: tuple[Incident, str]) -> None:
    play(one, react(YES, ADA, "1.0"), react(YES, ADA, "2.0", gone=True))
    assert ApprovalState.WITHDRAWN is state(one, asked[1])

    play(one, react(YES, ADA, "3.0"))

    assert ApprovalState.GRANTED is state(one, asked[1])
    about = (EntryKind.APPROVED, EntryKind.WITHDRAWN)
    assert [EntryKind.APPROVED, EntryKind.WITHDRAWN, EntryKind.APPROVED] == [
        kind for kind in one.kinds(asked[0]) if kind in about
    ]


def test_what_another_took_away_withdraws_nothing(one: Desk, asked: tuple[Incident, str]) -> None:
    play(one, react(YES, ADA), react(YES, RITA, "2.0", gone=True))

    assert ApprovalState.GRANTED is state(one, asked[1])


def test_a_button_approves_what_its_message_shows(one: Desk, asked: tuple[Incident, str]) -> None:
    pressed = button(action_id("approve"), asked[1], ADA, HOME, MESSAGE, one.double.response_url())

    play(one, pressed)

    assert ApprovalState.GRANTED is state(one, asked[1])


def test_another_plan_is_pressed_and_approved_in_one(one: Desk) -> None:
    incident, rollout, asked = one.office.thin(one.open())
    one.post(incident, MESSAGE)
    url = one.double.response_url()

    play(one, button(action_id("approve longer"), asked, ADA, HOME, MESSAGE, url))

    newest = one.office.bot.room.approvals.of_rollout(rollout.id)[-1]
    assert (ApprovalState.SUPERSEDED, ApprovalState.GRANTED) == (state(one, asked), newest.state)


def test_a_tick_on_the_refusal_of_a_vote_is_no_vote(one: Desk, asked: tuple[Incident, str]) -> None:
    play(one, react(YES, SAM))
    one.post(asked[0], "100.9")  # that it was refused is a message of its own

    play(one, callback(reaction(YES, ADA, HOME, "100.9"), "Ev9"))

    assert ApprovalState.ASKED is state(one, asked[1])


def test_a_button_of_an_older_question_does_not_answer_the_newer_one(
    one: Desk, asked: tuple[Incident, str]
) -> None:
    newer = one.ask(asked[0], MESSAGE, plan_hash="n" * 64, key="another")
    url = one.double.response_url()

    play(one, button(action_id("approve"), asked[1], ADA, HOME, MESSAGE, url))

    assert ApprovalState.ASKED is state(one, newer)
    assert "superseded" in one.told()[0]


def test_a_button_of_somebody_from_another_workspace_is_refused(
    one: Desk, asked: tuple[Incident, str]
) -> None:
    url = one.double.response_url()
    pressed = button(action_id("approve"), asked[1], ADA, HOME, MESSAGE, url, team="T2")

    play(one, pressed)

    assert ApprovalState.ASKED is state(one, asked[1])
    assert "people from outside" in one.told()[0]


def test_a_reaction_that_comes_before_its_message_is_recorded_counts(one: Desk) -> None:
    """The bot offers the tick as it posts; whoever is quick presses before the row is written."""
    incident = one.open()
    approval = one.office.ask(incident)

    async def race() -> None:
        async with desk.running(one), desk.http(one) as client:
            await desk.send(client, react(YES, ADA))
            await desk.until(lambda: one.double.called("users.info"))
            one.post(incident, MESSAGE)
            await one.slack.acts.idle()

    asyncio.run(race())

    assert ApprovalState.GRANTED is state(one, approval)


def on_its_way(one: Desk, incident: Incident) -> int:
    """Do what the poster does before Slack has told it what people can already see."""
    one.slack.acts.between_looks = 0.001
    name = one.deliveries.conversations(incident.number)[0]
    *_, last = one.deliveries.pending(incident.number, name)
    assert one.deliveries.sending(last.delivery.id)
    return last.delivery.id


def test_a_tick_on_a_message_that_slack_has_not_confirmed_is_kept(one: Desk) -> None:
    """Slack shows the question and does not answer us: its approver must not press twice."""
    incident = one.open()
    approval = one.office.ask(incident)
    row = on_its_way(one, incident)

    async def hang() -> None:
        async with desk.running(one), desk.http(one) as client:
            await desk.send(client, react(YES, ADA))
            await desk.send(client, slash("/incident note INC-1 seen", ADA, ""))
            # The same person's next word is not held up by it.
            await desk.until(lambda: EntryKind.NOTE in one.kinds(incident))
            assert ApprovalState.ASKED is state(one, approval)
            one.deliveries.sent([row], MESSAGE)
            await one.slack.acts.idle()

    asyncio.run(hang())

    assert ApprovalState.GRANTED is state(one, approval)


def test_a_tick_and_its_removal_stay_in_their_order_while_they_wait(one: Desk) -> None:
    incident = one.open()
    approval = one.office.ask(incident)
    row = on_its_way(one, incident)

    async def hang() -> None:
        async with desk.running(one), desk.http(one) as client:
            await desk.send(client, react(YES, ADA))
            await desk.send(client, react(YES, ADA, "2.0", gone=True))
            await desk.until(lambda: one.double.called("users.info"))
            one.deliveries.sent([row], MESSAGE)
            await one.slack.acts.idle()

    asyncio.run(hang())

    assert ApprovalState.WITHDRAWN is state(one, approval)


def test_a_tick_on_anothers_message_waits_no_longer_than_ours_are_on_their_way(one: Desk) -> None:
    incident = one.open()
    one.office.ask(incident)
    row = on_its_way(one, incident)

    async def hang() -> None:
        async with desk.running(one), desk.http(one) as client:
            await desk.send(client, callback(reaction(YES, ADA, HOME, "999.9"), "Ev1"))
            await desk.until(lambda: one.double.called("users.info"))
            one.deliveries.sent([row], MESSAGE)
            await one.slack.acts.idle()

    asyncio.run(hang())

    assert [] == one.told()
