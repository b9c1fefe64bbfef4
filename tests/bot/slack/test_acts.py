"""Who may do what in Slack, and what becomes of every act that is none."""

import asyncio
from collections.abc import Iterator

import pytest

from bot.parsing import Verb
from bot.slack.place import action_id
from incidents.models import ApprovalState, EntryKind, Incident, Severity
from tests import slack_double
from tests.bot.office import Office
from tests.bot.slack import desk
from tests.bot.slack.desk import ADA, EXT, GUS, HOME, RITA, SAM, Desk
from tests.slack_double import BOT, button, callback, mention, reaction, slash

YES, NO = "white_check_mark", "x"
MESSAGE = "100.5"  # the one that asks


@pytest.fixture
def one(office: Office) -> Iterator[Desk]:
    """A desk that is spoken to through Bolt's own dispatch, without a socket in between."""
    with slack_double.running() as double:
        yield desk.desk(office, double, http=True)


def play(one: Desk, *payloads: slack_double.Json) -> None:
    """Send what people do, one after the other, and wait until all was acted on."""

    async def post() -> None:
        async with desk.running(one), desk.http(one) as client:
            for payload in payloads:
                answer = await desk.send(client, payload)
                assert 200 == answer.status_code
            await one.slack.acts.idle()

    asyncio.run(post())


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


# --- approvals


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


# --- commands

LINES = {
    Verb.SEVERITY: "severity P1",
    Verb.CHANGED: "changed flag on",
    Verb.MITIGATED: "mitigated switched",
    Verb.MITIGATE: "mitigate restart",
    Verb.MERGE: "merge INC-2",
    Verb.HOTFIX: "hotfix checkout crashes",
}
OPEN_TO_ALL = (
    Verb.OPEN, Verb.HELP, Verb.LIST, Verb.STATUS, Verb.ACTIONS, Verb.ACK, Verb.NOTE,
)  # fmt: skip


@pytest.mark.parametrize("verb", [verb for verb in Verb if verb not in OPEN_TO_ALL])
def test_a_command_of_who_is_not_on_its_list_is_refused(one: Desk, verb: Verb) -> None:
    incident = one.open(channel="C1", thread="")
    one.office.open("another", "k2")
    if verb in (Verb.APPROVE, Verb.REFUSE):
        one.ask(incident)
    before = one.office.bot.room.incidents.get(incident.number)

    play(one, slash(f"/incident {LINES.get(verb, verb.value)}", SAM, one.double.response_url()))

    (told,) = one.told()
    assert "Not done. " in told
    assert SAM in told
    assert before == one.office.bot.room.incidents.get(incident.number)


@pytest.mark.parametrize("user", [GUS, EXT])
@pytest.mark.parametrize("line", ["P0 checkout failing", "list", "status INC-1", "ack INC-1"])
def test_guests_and_people_from_outside_may_do_nothing(one: Desk, user: str, line: str) -> None:
    incident = one.open()
    kinds = one.kinds(incident)

    play(one, slash(f"/incident {line}", user, one.double.response_url()))

    assert "Guests and people from outside" in one.told()[0]
    assert 1 == len(one.incidents())
    assert kinds == one.kinds(incident)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/incident", "There was nothing after the command"),
        ("/incident P7 checkout failing", "'P7' is no severity"),
        ("/incident service:shopp checkout fails", "There is no service 'shopp'"),
        ("/incident things are broken", "Which service is it"),
        ("/incident ack", "belongs to an incident"),
        ("/incident ack INC-77", "There is no incident INC-77"),
    ],
)
def test_what_cannot_be_understood_says_what_to_type(one: Desk, line: str, told: str) -> None:
    play(one, slash(line, RITA, one.double.response_url()))

    (said,) = one.told()
    assert told in said.replace("`", "'")
    assert [] == one.incidents()


@pytest.mark.parametrize(("user", "accepted"), [(RITA, True), (SAM, False), (GUS, False)])
def test_a_hotfix_is_for_responders(one: Desk, user: str, accepted: bool) -> None:
    play(one, slash("/hotfix checkout crashes for guests", user, one.double.response_url()))

    assert accepted is bool(one.incidents())
    assert accepted is ("Not done" not in one.told()[0])


def test_the_service_can_be_pressed_where_none_was_named(one: Desk) -> None:
    url = one.double.response_url()
    play(one, slash("/incident P1 things are broken", SAM, url))
    (asked,) = one.double.called("response_url")
    offered = asked["blocks"][-1]["elements"]
    assert ["checkout", "search"] == [each["text"]["text"] for each in offered]

    play(one, button(offered[1]["action_id"], offered[1]["value"], SAM, "C1", "5.5", url))

    (incident,) = one.incidents()
    assert ("things are broken", "search", Severity.P1) == (
        incident.title,
        incident.service,
        incident.severity,
    )


def test_a_newcomer_gets_a_form_and_what_it_says_opens_an_incident(one: Desk) -> None:
    url = one.double.response_url()
    play(one, slash("/incident", SAM, url))
    (told,) = one.double.called("response_url")
    (form,) = told["blocks"][-1]["elements"]
    play(one, button(form["action_id"], form["value"], SAM, "C1", "5.5", url))
    (opened,) = one.double.called("views.open")

    fields = {"title": "checkout <fails> & crashes", "severity": "P1", "service": "checkout"}
    play(one, slack_double.form(opened["view"]["callback_id"], fields, SAM))

    (incident,) = one.incidents()
    assert ("checkout <fails> & crashes", Severity.P1) == (incident.title, incident.severity)


def test_in_a_thread_a_mention_does_what_the_slash_command_cannot(one: Desk) -> None:
    incident = one.open(thread="100.1")

    play(one, callback(mention("own", RITA, HOME, "101.1", "100.1"), "Ev1"))

    assert f"slack:{RITA}" == str(one.office.bot.room.incidents.get(incident.number).commander)
    (whispered,) = one.double.called("chat.postEphemeral")
    assert "100.1" == whispered["thread_ts"]


def test_who_is_only_spoken_of_does_nothing(one: Desk) -> None:
    said = mention("x", RITA, HOME, "101.1") | {"text": f"thanks <@{BOT}> for nothing"}

    play(one, callback(said, "Ev1"))

    assert [] == one.told()


def test_where_the_bot_is_not_in_the_channel_the_answer_comes_as_a_message(one: Desk) -> None:
    refused = {"ok": False, "error": "not_in_channel"}
    one.double.answers["chat.postEphemeral"] = lambda said: refused

    play(one, callback(mention("list", RITA, "C9", "101.1"), "Ev1"))

    (sent,) = one.double.called("chat.postMessage")
    assert RITA == sent["channel"]


def test_a_command_from_any_channel_is_told_in_the_channel_of_incidents(one: Desk) -> None:
    play(one, slash("/incident P2 checkout slow", SAM, "", channel="C999"))

    (incident,) = one.incidents()
    assert [f"slack:{HOME}", "web:INC-1"] == one.deliveries.conversations(incident.number)


def test_what_a_title_says_pings_nobody(one: Desk) -> None:
    text = "checkout &lt;!channel&gt; <@U1|bob> `x`"

    play(one, slash(f"/incident P2 {text}", SAM, one.double.response_url()))

    (incident,) = one.incidents()
    assert "checkout <!channel> @bob `x`" == incident.title
    assert "<!channel>" not in one.told()[0]
    assert "&lt;!channel&gt;" in one.told()[0]


# --- severity


def test_a_raised_severity_brings_the_people_of_the_service_once(one: Desk) -> None:
    incident = one.office.open(severity=Severity.P2, conversations=(f"slack:{HOME}",))
    one.deliveries.opened(incident.number, f"slack:{HOME}", f"{HOME}:100.1", "100.1")
    play(one, callback(mention("ack", SAM, HOME, "101.0", "100.1"), "Ev0"))
    assert [] == one.double.called("conversations.invite")

    play(one, callback(mention("severity P1", RITA, HOME, "101.1", "100.1"), "Ev1"))
    asyncio.run(one.slack.crew.turn())
    asyncio.run(desk.desk(one.office, one.double, http=True).slack.crew.turn())  # a later life

    (invited,) = one.double.called("conversations.invite")
    assert (HOME, f"{RITA},{ADA}") == (invited["channel"], invited["users"])


# --- duties


def test_duties_are_taken_by_button_and_a_handover_says_where_it_stands(one: Desk) -> None:
    incident = one.open()
    one.post(incident, "100.3")
    url = one.double.response_url()

    for number, (command, user) in enumerate(
        [("own", RITA), ("operations", ADA), ("communications", RITA), ("own", ADA)]
    ):
        play(one, button(action_id(command), "INC-1", user, HOME, "100.3", url, at=f"{number}.5"))

    now = one.office.bot.room.incidents.get(incident.number)
    assert [f"slack:{user}" for user in (ADA, ADA, RITA)] == [
        str(each) for each in (now.commander, now.operations, now.communications)
    ]
    last = one.office.bot.room.timeline.entries(incident.number)[-1]
    assert (EntryKind.OWNER, f"slack:{RITA}") == (last.kind, last.content["from"])
    assert "triage" == last.content["handover"]["stage"]


# --- notes and action items


def marked(one: Desk, emoji: str, user: str, at: str = "1.0") -> slack_double.Json:
    """Return an emoji on somebody's message in the thread, and let Slack know that message."""
    link = "https://shop.slack.com/archives/C0HOME/p1700000000000100?thread_ts=100.1&cid=C0HOME"
    said = {"ts": "1700000000.000100", "user": SAM, "text": "cache is cold &amp; empty"}
    one.double.answers["chat.getPermalink"] = lambda asked: {"ok": True, "permalink": link}
    one.double.answers["conversations.replies"] = lambda asked: {"ok": True, "messages": [said]}
    return callback(reaction(emoji, user, HOME, said["ts"], at=at), f"Ev-{emoji}-{user}-{at}")


def test_an_emoji_notes_a_message_with_its_time_and_address_once(one: Desk) -> None:
    incident = one.open()

    play(one, marked(one, "memo", RITA), marked(one, "pushpin", ADA, "2.0"))

    notes = [
        entry
        for entry in one.office.bot.room.timeline.entries(incident.number)
        if entry.kind is EntryKind.NOTE
    ]
    (note,) = notes
    assert "cache is cold & empty" == note.content["text"]
    quote = note.content["quote"]
    assert f"slack:{SAM}" == quote["author"]
    assert quote["said_at"].startswith("2023-11-14T22:13:20")
    assert "/p1700000000000100" in quote["link"]


def test_a_noted_message_is_followed_when_it_is_edited_and_deleted(one: Desk) -> None:
    incident = one.open()
    edited = {
        "type": "message",
        "subtype": "message_changed",
        "channel": HOME,
        "message": {
            "ts": "1700000000.000100",
            "user": SAM,
            "text": "cache is warm",
            "edited": {"ts": "1700000009.0"},
        },
        "previous_message": {"text": "cache is cold"},
    }
    deleted = {
        "type": "message",
        "subtype": "message_deleted",
        "channel": HOME,
        "deleted_ts": "1700000000.000100",
        "previous_message": {"user": SAM, "text": "cache is warm"},
    }

    for payload in (
        marked(one, "hammer_and_wrench", RITA),
        callback(edited, "E2"),
        callback(deleted, "E3"),
    ):
        play(one, payload)

    notes = [
        entry
        for entry in one.office.bot.room.timeline.entries(incident.number)
        if entry.kind is EntryKind.NOTE and "quote" in entry.content
    ]
    assert ["cache is cold & empty", "cache is warm", "cache is warm"] == [
        each.content["text"] for each in notes
    ]
    assert 1 == len({each.subject for each in notes})  # one message of the thread
    assert notes[-1].content["quote"]["deleted"]
    (item,) = one.office.bot.room.action_items.list(incident.number)
    assert ("cache is warm", f"slack:{SAM}") == (item.text, item.owner)


def test_an_emoji_outside_of_an_incident_is_nobodys_business(one: Desk) -> None:
    one.open(channel="C1")

    play(one, marked(one, "memo", RITA))

    assert [] == one.told()
    assert [] == one.double.called("chat.getPermalink")


# --- home, and a Slack that does not answer


def test_the_home_shows_what_its_person_may_see(one: Desk) -> None:
    one.office.open("secret breach", "k9", private=True)
    one.open()
    opened = {"type": "app_home_opened", "tab": "home", "channel": "D1"}

    for number, user in enumerate((SAM, RITA, GUS)):
        play(one, callback(opened | {"user": user, "event_ts": f"{number}.1"}, f"Ev{number}"))

    shown = {said["user_id"]: str(said["view"]) for said in one.double.called("views.publish")}
    assert [False, True, False] == ["secret breach" in shown[user] for user in (SAM, RITA, GUS)]
    assert [True, True, False] == ["*INC-2*" in shown[user] for user in (SAM, RITA, GUS)]


def test_who_somebody_is_is_waited_for_and_then_everything_is_done_in_order(one: Desk) -> None:
    incident = one.open(channel="C1", thread="")
    tries = iter(range(100))

    def down_at_first(said: slack_double.Json) -> slack_double.Json:
        if next(tries) < 1:
            return {"ok": False, "error": "internal_error"}
        return {"ok": True, "user": {"id": said["user"], "team_id": slack_double.TEAM}}

    one.double.answers["users.info"] = down_at_first
    lines = [slash(f"/incident note {word}", SAM, "") for word in ("one", "two", "three")]

    play(one, *lines)

    entries = one.office.bot.room.timeline.entries(incident.number)
    assert ["one", "two", "three"] == [
        entry.content["text"] for entry in entries if entry.kind is EntryKind.NOTE
    ]


def test_what_a_crash_left_is_acted_on_at_the_next_start(office: Office) -> None:
    with slack_double.running() as double:
        before = desk.desk(office, double, http=True)

        async def crash() -> None:
            """Acknowledge and die: nothing has begun, since nobody has said who we are."""
            async with desk.http(before) as client:
                sent = await desk.send(client, slash("/incident P1 checkout failing", SAM, ""))
                assert 200 == sent.status_code
            await before.slack.acts.close()

        asyncio.run(crash())
        assert [] == before.incidents()

        after = desk.desk(office, double, http=True)
        play(after)

        assert ["checkout failing"] == [each.title for each in after.incidents()]
