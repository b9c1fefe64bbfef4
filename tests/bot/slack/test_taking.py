"""What is taken up in Slack: people by severity and duty, notes and action items by emoji."""

import asyncio

from bot.slack.place import action_id
from incidents.models import EntryKind, Severity
from tests import slack_double
from tests.bot.slack import desk
from tests.bot.slack.desk import ADA, HOME, RITA, SAM, Desk, play
from tests.slack_double import button, callback, mention, reaction


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
