"""Who may do what in Slack, and what becomes of every line that cannot be carried out."""

import asyncio

import pytest

from bot.slack.place import action_id
from bot.verbs import Verb
from incidents.models import EntryKind, Severity
from tests import slack_double
from tests.bot.office import Office
from tests.bot.slack import desk
from tests.bot.slack.desk import EXT, GUS, HOME, RITA, SAM, Desk, play
from tests.slack_double import BOT, button, callback, mention, slash

LINES = {
    Verb.SEVERITY: "severity P1",
    Verb.CHANGED: "changed flag on",
    Verb.MITIGATED: "mitigated switched",
    Verb.MITIGATE: "mitigate restart",
    Verb.MERGE: "merge INC-2",
    Verb.HOTFIX: "hotfix checkout crashes",
    Verb.BREAK_GLASS: "break-glass INC-1 nobody answers",
}
OPEN_TO_ALL = (
    Verb.OPEN, Verb.HELP, Verb.LIST, Verb.STATUS, Verb.ACTIONS, Verb.ACK, Verb.NOTE,
)  # fmt: skip


@pytest.mark.parametrize("verb", [verb for verb in Verb if verb not in OPEN_TO_ALL])
def test_a_command_of_who_is_not_on_its_list_is_refused(one: Desk, verb: Verb) -> None:
    incident = one.open(channel="C1", thread="")
    one.office.open("another", "k2")
    if verb in (Verb.APPROVE, Verb.REFUSE, Verb.BREAK_GLASS):
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


@pytest.mark.parametrize(
    "refusal",
    [
        {"ok": False, "error": "expired_trigger_id"},
        {"ok": False, "error": "internal_error"},
        {"ok": False, "error": "ratelimited"},
    ],
)
def test_a_form_that_does_not_open_is_not_tried_late_but_offered_again(
    one: Desk, refusal: slack_double.Json
) -> None:
    """A trigger is good for three seconds and one form: a second try could only come too late."""
    one.double.answers["views.open"] = lambda said: refusal
    pressed = button(action_id("form"), "form", SAM, "C1", "5.5", one.double.response_url())

    play(one, pressed)

    (told,) = one.double.called("response_url")
    assert 1 == len(one.double.called("views.open"))
    assert "press the button once more" in told["text"]
    assert "Open an incident" in str(told["blocks"][-1])


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
