"""An incident told in Slack: its place, its messages, and all that Slack may refuse or lose."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from bot.port import Button, File, Message, Opened, PostRef, Tone
from bot.slack.port import channel_name
from incidents import errors
from incidents.models import Incident, Severity
from tests.bot.slack.desks import Outbound, key_of, whole_life
from tests.slack_faults import DONE_ANYWAY, Fault, once, some

pytestmark = [pytest.mark.service, pytest.mark.slow]

ASKED = Message(
    headline="Grow to 50 %?",
    lines=("Yes: half of the traffic.",),
    buttons=(
        Button("Grow to 50 %", "approve", "A1", Tone.PASSING),
        Button("Take back", "refuse", "A1", Tone.FAILING),
    ),
    reactions=("✅", "❌"),
    tone=Tone.WAITING,
)
NASTY = (
    "<!channel> <@U123> <!here> `code` *bold* <https://evil.example.com|ok> & \u202e" + "x" * 60_000
)


def opened(out: Outbound, incident: Incident, card: str = "Card") -> Opened:
    return asyncio.run(out.port().open_thread(incident, out.channel, Message(card)))


def patiently(act: Callable[[], Opened]) -> Opened:
    """Try again as the poster does: on a busy machine an answer may take too long."""
    for _ in range(20):
        with suppress(errors.OutcomeUnknown):
            return act()
    return act()


def pinned(out: Outbound, channel: str) -> list[str]:
    items = out.workspace.asks().pins_list(channel=channel)["items"]
    return [str(one["message"]["ts"]) for one in items]


def test_a_p0_gets_a_channel_of_its_own_with_all_that_belongs_to_it(outbound: Outbound) -> None:
    incident = outbound.office.open(f"{outbound.channel} fails")
    name = channel_name(incident)
    taken = name in outbound.workspace.channels()
    made = opened(outbound, incident)
    channel = made.thread.place
    info = outbound.workspace.asks().conversations_info(channel=channel)["channel"]
    (line,) = (one for one in outbound.workspace.thread(outbound.channel) if key_of(one))

    assert (name != info["name"]) == taken
    assert info["name"].startswith("inc-0001-checkout")
    assert [made.card.id] == pinned(outbound, channel)
    assert f"INC-1 · P0 · {outbound.channel} fails" == info["topic"]["value"]
    members = outbound.workspace.asks().conversations_members(channel=channel)["members"]
    assert {outbound.ada.user, outbound.rita.user} <= set(members)
    marks = outbound.workspace.asks().bookmarks_list(channel_id=channel)["bookmarks"]
    assert ["https://halon.example.com/INC-1"] == [one["link"] for one in marks]
    assert line["text"].endswith(f"<#{channel}>")
    assert () == made.left_out


@pytest.mark.parametrize("severity", [Severity.P2, Severity.P3])
def test_a_lesser_one_is_a_thread_where_incidents_are_told(
    outbound: Outbound, severity: Severity
) -> None:
    made = opened(outbound, outbound.office.open(severity=severity))

    assert f"{outbound.channel}:{made.card.id}" == made.thread.place
    assert [made.card.id] == pinned(outbound, outbound.channel)


def test_a_private_one_is_told_nowhere_else(outbound: Outbound) -> None:
    made = opened(outbound, outbound.office.open(severity=Severity.P3, private=True))
    info = outbound.workspace.asks().conversations_info(channel=made.thread.place)["channel"]

    assert info["is_private"]
    assert [] == [one for one in outbound.workspace.thread(outbound.channel) if key_of(one)]


@pytest.mark.parametrize("severity", [Severity.P0, Severity.P2])
def test_opening_twice_makes_one_place_one_card_and_one_line(
    outbound: Outbound, severity: Severity
) -> None:
    incident = outbound.office.open(severity=severity)
    first, second = opened(outbound, incident), opened(outbound, incident)
    lines = [key_of(one) for one in outbound.workspace.thread(outbound.channel) if key_of(one)]

    assert first == second
    assert 1 == len(lines)


def test_the_taken_name_of_another_gets_a_suffix(outbound: Outbound) -> None:
    incident = outbound.office.open()
    wanted = channel_name(incident)
    if wanted not in outbound.workspace.channels():
        outbound.workspace.channel(wanted)
    late = replace(incident, opened_at=incident.opened_at.replace(year=2099))
    made = opened(outbound, late)
    info = outbound.workspace.asks().conversations_info(channel=made.thread.place)["channel"]

    assert info["name"].startswith(f"{wanted}-")


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("pins.add", "pin the card"),
        ("bookmarks.add", "add the bookmark"),
        ("conversations.setTopic", "set the topic"),
        ("conversations.invite", "invite its people"),
    ],
)
def test_what_slack_refuses_is_left_out_and_named_with_its_mend(
    outbound: Outbound, method: str, says: str
) -> None:
    outbound.workspace.faults.refuses[method] = "missing_scope"
    (left,) = opened(outbound, outbound.office.open()).left_out

    assert says in left
    assert "some:scope" in left
    assert "halon manifest slack" in left


@pytest.mark.parametrize(
    ("method", "severity", "says"),
    [
        ("pins.add", Severity.P0, "could not pin the card"),
        ("pins.add", Severity.P2, "could not pin the card"),
        ("conversations.create", Severity.P0, "has no channel of its own"),
    ],
)
def test_an_incident_is_told_all_the_same_and_its_thread_names_what_was_left_out_and_why(
    outbound: Outbound, method: str, severity: Severity, says: str
) -> None:
    outbound.workspace.faults.refuses[method] = "missing_scope"
    incident = outbound.office.open(severity=severity)
    outbound.tell()
    texts = [one["text"] for one in outbound.shown(outbound.home(incident))]
    (left,) = (one for one in texts if "Left out in Slack" in one)

    assert says in left
    assert "lacks the scope some:scope" in left
    assert any("checkout failing" in one for one in texts)


def test_without_the_right_to_upload_an_incident_is_told_whole(outbound: Outbound) -> None:
    outbound.workspace.faults.refuses["files.getUploadURLExternal"] = "missing_scope"
    incident = outbound.office.open(severity=Severity.P2)
    whole_life(outbound, incident, lambda: None)
    outbound.tell()
    where = outbound.home(incident)
    told = outbound.workspace.thread(where.channel, where.thread)

    assert 1 == sum("Files are left out here" in one["text"] for one in told)
    assert any("some:scope" in one["text"] for one in told)
    assert any("Root cause" in str(one.get("blocks")) for one in told)
    assert [] == [one for one in told if one.get("files")]


def test_an_incident_opened_where_we_are_not_gets_a_channel_and_says_why(
    outbound: Outbound,
) -> None:
    outbound.workspace.faults.outside.add(outbound.channel)  # private, and nobody has invited us
    incident = outbound.office.open(severity=Severity.P2)
    outbound.tell()
    place = outbound.home(incident)
    told = [one["text"] for one in outbound.shown(place)]
    members = outbound.workspace.asks().conversations_members(channel=place.channel)["members"]

    assert place.channel != outbound.channel
    assert any("not told where it was opened" in one and "/invite" in one for one in told)
    assert {outbound.ada.user, outbound.rita.user} <= set(members)


def test_an_incident_whose_channel_name_is_taken_is_told_under_another(outbound: Outbound) -> None:
    incident = outbound.office.open()
    wanted = channel_name(incident)
    opened(outbound, replace(incident, opened_at=incident.opened_at.replace(year=2020)))
    outbound.tell()
    place = outbound.home(incident)
    info = outbound.workspace.asks().conversations_info(channel=place.channel)["channel"]

    assert info["name"].startswith(f"{wanted}-")
    assert outbound.shown(place)


def test_where_every_name_is_taken_a_channel_has_the_time_in_its_name(outbound: Outbound) -> None:
    incident = outbound.office.open()
    wanted = channel_name(incident)
    there = outbound.workspace.channels()
    for name in (wanted, *(f"{wanted}-{number}" for number in range(2, 10))):
        if name not in there:
            outbound.workspace.channel(name)
    late = replace(incident, opened_at=incident.opened_at.replace(year=2099))
    made = patiently(lambda: opened(outbound, late))
    info = outbound.workspace.asks().conversations_info(channel=made.thread.place)["channel"]

    assert f"{wanted}-{int(late.opened_at.timestamp() * 1000):x}" == info["name"]


def test_without_channels_of_its_own_a_p0_is_a_thread(outbound: Outbound) -> None:
    outbound.workspace.faults.refuses["conversations.create"] = "restricted_action"
    made = opened(outbound, outbound.office.open())

    assert made.thread.place.startswith(f"{outbound.channel}:")
    assert "no channel of its own" in made.left_out[0]


def post(out: Outbound, made: Opened, message: Message, key: str = "delivery-1") -> dict[str, Any]:
    asyncio.run(out.port().post(made.thread, message, key))
    return said(out, made, key)[0]


def said(out: Outbound, made: Opened, key: str = "delivery-1") -> list[dict[str, Any]]:
    channel, _, ts = made.thread.place.partition(":")
    return [one for one in out.workspace.thread(channel, ts or None) if key_of(one) == key]


def test_a_question_has_buttons_with_an_id_and_offers_its_reactions(outbound: Outbound) -> None:
    made = opened(outbound, outbound.office.open(severity=Severity.P2))
    asked = replace(ASKED, calls=(f"slack:{outbound.ada.user}", "web:operator"))
    shown = post(outbound, made, asked)
    actions = next(one for one in shown["blocks"] if one["type"] == "actions")

    assert [("halon:approve", "A1", "primary"), ("halon:refuse", "A1", "danger")] == [
        (one["action_id"], one["value"], one["style"]) for one in actions["elements"]
    ]
    assert ["white_check_mark", "x"] == sorted(one["name"] for one in shown["reactions"])
    assert f"<@{outbound.ada.user}>" in shown["text"]


def test_an_answer_takes_the_buttons_away_and_calls_nobody_again(outbound: Outbound) -> None:
    made = opened(outbound, outbound.office.open(severity=Severity.P2))
    shown = post(outbound, made, replace(ASKED, calls=(f"slack:{outbound.ada.user}",)))
    answered = Message(f"Approved by slack:{outbound.ada.user}", calls=ASKED.calls)
    asyncio.run(outbound.port().edit(PostRef(made.thread, shown["ts"]), answered))
    (now,) = said(outbound, made)

    assert ["section"] == [one["type"] for one in now["blocks"]]
    assert "Approved by @ada" in now["blocks"][0]["text"]["text"]
    assert "<@" not in str(now["blocks"]) + now["text"]


@pytest.mark.parametrize("text", [NASTY, NASTY[:200], "\n".join([NASTY[:300]] * 300)])
def test_foreign_text_pings_nobody_and_breaks_nothing(outbound: Outbound, text: str) -> None:
    made = opened(outbound, outbound.office.open(severity=Severity.P2))
    shown = post(
        outbound,
        made,
        Message(text, lines=(text,), markdown=text, diff=text, buttons=ASKED.buttons[:1]),
    )
    drawn = str(shown["blocks"]) + shown["text"]

    assert "<!" not in drawn
    assert "<@" not in drawn
    assert "<https://evil" not in drawn
    assert "actions" in [one["type"] for one in shown["blocks"]]


@pytest.mark.parametrize("reason", ["msg_blocks_too_long", "invalid_blocks"])
def test_blocks_that_slack_refuses_are_plain_text_and_a_file(
    outbound: Outbound, reason: str
) -> None:
    made = opened(outbound, outbound.office.open(severity=Severity.P2))
    faults = outbound.workspace.faults

    class Picky(dict[str, str]):
        """Refuses what has blocks."""

        def get(self, method: str, default: Any = None) -> Any:
            last = faults.calls[-1].said
            return reason if method == "chat.postMessage" and last.get("blocks") else default

    faults.refuses = Picky()
    shown = post(outbound, made, replace(ASKED, markdown="# The whole"))
    files = [one for one in all_of(outbound, made) if one.get("files")]

    assert not shown.get("blocks")
    assert "Grow to 50 %?" in shown["text"]
    assert ["message.md"] == [file["name"] for one in files for file in one["files"]]


def all_of(out: Outbound, made: Opened) -> list[dict[str, Any]]:
    channel, _, ts = made.thread.place.partition(":")
    return out.workspace.thread(channel, ts or None)


PAPER = File("INC-1-diagnosis.md", "text/markdown", "Diagnosis", b"# all\n\ntext")


def test_without_the_right_to_upload_a_report_stands_in_the_message(outbound: Outbound) -> None:
    outbound.workspace.faults.refuses["files.getUploadURLExternal"] = "missing_scope"
    made = opened(outbound, outbound.office.open(severity=Severity.P2))
    port = outbound.port()
    for number in (1, 2):
        report = Message("Cause CONFIRMED", markdown="# all\n\ntext", files=(PAPER,))
        asyncio.run(port.post(made.thread, report, f"delivery-{number}"))
    told = all_of(outbound, made)

    assert 2 == sum("*all*" in str(one.get("blocks")) for one in told)
    assert 1 == sum("some:scope" in one["text"] for one in told)


def test_files_are_added_once_whatever_happens_in_between(outbound: Outbound) -> None:
    made = opened(outbound, outbound.office.open(severity=Severity.P2))
    report = Message("Cause CONFIRMED", files=(PAPER,))
    port = outbound.port()
    shown = asyncio.run(port.post(made.thread, report, "delivery-1"))
    asyncio.run(port.edit(shown, report))
    asyncio.run(outbound.port().edit(shown, report))  # another life

    assert 1 == sum(bool(one.get("files")) for one in all_of(outbound, made))


def test_a_picture_waits_until_its_message_is_at_its_end(outbound: Outbound) -> None:
    made = opened(outbound, outbound.office.open(severity=Severity.P2))
    chart = File("INC-1-error-rate.png", "image/png", "The error rate", b"\x89PNG")
    port = outbound.port()
    baking = Message("10 %", files=(chart,), live=True)
    shown = asyncio.run(port.post(made.thread, baking, "delivery-1"))
    asyncio.run(port.edit(shown, baking))
    assert [] == [one for one in all_of(outbound, made) if one.get("files")]

    asyncio.run(port.edit(shown, replace(baking, live=False)))
    assert 1 == sum(bool(one.get("files")) for one in all_of(outbound, made))


def test_a_reply_to_a_deleted_head_does_not_stand_alone(outbound: Outbound) -> None:
    incident = outbound.office.open(severity=Severity.P2)
    made = opened(outbound, incident)
    outbound.workspace.asks().chat_delete(channel=outbound.channel, ts=made.card.id)

    with pytest.raises(errors.NotFound):
        asyncio.run(outbound.port().post(made.thread, ASKED, "delivery-1"))
    assert [] == [one for one in outbound.workspace.thread(outbound.channel)
                  if key_of(one) == "delivery-1"]  # fmt: skip


@pytest.mark.parametrize("fault", list(Fault))
def test_a_failure_of_any_kind_tells_what_is_known_of_its_outcome(
    outbound: Outbound, fault: Fault
) -> None:
    made = opened(outbound, outbound.office.open(severity=Severity.P2))
    port = outbound.port()
    outbound.workspace.faults.plan = once("chat.postMessage", fault)
    with pytest.raises(errors.TemporaryFailure) as failed:
        asyncio.run(port.post(made.thread, Message("News"), "delivery-1"))

    assert (fault is Fault.LIMITED) == (type(failed.value) is errors.TemporaryFailure)
    assert (fault in DONE_ANYWAY) == bool(said(outbound, made))
    if fault is Fault.LIMITED:
        assert 1 == failed.value.retry_after.total_seconds()


@pytest.mark.parametrize(
    "method", ["conversations.setTopic", "pins.add", "conversations.invite", "bookmarks.add"]
)
@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.CUT_AFTER])
def test_one_failure_on_the_way_costs_an_incident_no_new_start(
    outbound: Outbound, method: str, fault: Fault
) -> None:
    outbound.workspace.faults.plan = once(method, fault)
    made = opened(outbound, outbound.office.open())
    met = [one.method for one in outbound.workspace.faults.calls if one.fault]

    assert ([method], ()) == (met, made.left_out)
    marks = outbound.workspace.asks().bookmarks_list(channel_id=made.thread.place)["bookmarks"]
    assert 1 == len(marks)


def test_a_closed_incident_is_unpinned_and_a_reopened_one_pinned(outbound: Outbound) -> None:
    made = opened(outbound, outbound.office.open(severity=Severity.P2))
    for _ in range(2):
        asyncio.run(outbound.port().end_thread(made))
    assert [] == pinned(outbound, outbound.channel)

    for _ in range(2):
        asyncio.run(outbound.port().resume_thread(made))
    assert [made.card.id] == pinned(outbound, outbound.channel)


@pytest.mark.parametrize("severity", [Severity.P0, Severity.P2])
def test_a_whole_incident_is_told_as_the_timeline_has_it(
    outbound: Outbound, severity: Severity
) -> None:
    incident = outbound.office.open(severity=severity)
    poster = outbound.poster()
    whole_life(outbound, incident, lambda: outbound.tell(poster))

    compare(outbound, incident)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.timeout(300)
def test_with_every_tenth_call_failing_each_fact_is_told_once_and_in_order(
    outbound: Outbound, seed: int
) -> None:
    incident = outbound.office.open(severity=Severity.P2)
    outbound.workspace.faults.plan = some(0.1, seed)
    poster = outbound.poster()
    whole_life(outbound, incident, lambda: outbound.tell(poster))
    met = Counter(one.fault for one in outbound.workspace.faults.calls if one.fault)
    outbound.workspace.faults.reset()

    assert len(met) >= 4
    compare(outbound, incident)


def test_a_poster_that_begins_anew_at_every_step_says_nothing_twice(outbound: Outbound) -> None:
    incident = outbound.office.open(severity=Severity.P2)
    whole_life(outbound, incident, outbound.tell)

    compare(outbound, incident)


def test_an_outage_is_told_afterwards_in_order(outbound: Outbound) -> None:
    incident = outbound.office.open(severity=Severity.P2)
    outbound.tell()
    whole_life(outbound, incident, lambda: None)  # nobody hears of it
    outbound.tell()

    compare(outbound, incident)


def compare(out: Outbound, incident: Incident) -> None:
    """Hold the thread against the timeline, message by message."""
    where = out.home(incident)
    shown = [(one["text"], one["blocks"]) for one in out.shown(where)]
    expected = out.expected(incident)

    assert [text for text, _ in expected] == [text for text, _ in shown]
    assert [drawn for _, drawn in expected] == [drawn for _, drawn in shown]
    files = [file["name"] for one in out.workspace.thread(where.channel, where.thread)
             for file in one.get("files", ())]  # fmt: skip
    assert Counter(set(files)) == Counter(files) or files.count("INC-1-error-rate.png") <= 2
