"""What comes in from Slack: checked, stored, acknowledged, and acted on once."""

import asyncio
import time
from typing import Any

import pytest

from bot.slack.app import EVENTS_PATH
from incidents.models import Severity
from tests import slack_double
from tests.bot.office import Office
from tests.bot.slack import desk
from tests.bot.slack.desk import RITA, SAM, Desk
from tests.slack_double import slash

LINE = "/incident P0 checkout failing"


def over_http(
    office: Office, *payloads: slack_double.Json, **more: object
) -> tuple[Desk, list[int]]:
    """Post payloads as Slack does, wait until they were acted on, and return the status of each."""

    async def post(one: Desk) -> list[int]:
        async with desk.running(one), desk.http(one) as client:
            got = [(await desk.send(client, payload, **more)).status_code for payload in payloads]
            await one.slack.acts.idle()
            return got

    with desk.both(office, http=True) as one:
        return one, asyncio.run(post(one))


def over_socket(office: Office, *payloads: tuple[str, slack_double.Json]) -> Desk:
    """Send envelopes over the socket and wait until all of them were acted on."""

    async def play(one: Desk) -> None:
        async with desk.running(one):
            sent = [one.double.send(kind, payload) for kind, payload in payloads]
            await desk.until(lambda: all(each.acked.done() for each in sent))
            await one.slack.acts.idle()

    with desk.both(office) as one:
        asyncio.run(play(one))
        return one


def test_a_typed_line_opens_an_incident_and_tells_its_person(office: Office) -> None:
    one = over_socket(office, ("slash_commands", slash(LINE, SAM, "")))

    (incident,) = one.incidents()
    assert ("checkout failing", Severity.P0, "checkout") == (
        incident.title,
        incident.severity,
        incident.service,
    )
    assert f"slack:{SAM}" == str(incident.reporter)
    assert [f"slack:{desk.HOME}"] == [
        name for name in one.deliveries.conversations(incident.number) if name[:3] == "sla"
    ]
    assert any("INC-1 is open as P0" in told for told in one.told())


def test_the_same_is_true_over_http(office: Office) -> None:
    one, status = over_http(office, slash(LINE, SAM, ""))

    assert [200] == status
    assert ["checkout failing"] == [each.title for each in one.incidents()]


@pytest.mark.parametrize(
    "given",
    [{"secret": "another"}, {"after": -400}, {"after": 400}],
    ids=["another secret", "an old timestamp", "a timestamp of the future"],
)
def test_what_is_not_signed_by_slack_now_is_refused(office: Office, given: dict[str, Any]) -> None:
    wrong = dict(given)
    if (after := wrong.pop("after", None)) is not None:
        wrong["at"] = time.time() + after  # of now, not of when the tests were collected
    one, status = over_http(office, slash(LINE, SAM, ""), **wrong)

    assert [401] == status
    assert [] == one.incidents()


def test_an_unsigned_request_is_refused(office: Office) -> None:
    async def post(one: Desk) -> int:
        async with desk.running(one), desk.http(one) as client:
            body, kind = slack_double.posted(slash(LINE, SAM, ""))
            sent = await client.post(EVENTS_PATH, content=body, headers={"Content-Type": kind})
            return sent.status_code

    with desk.both(office, http=True) as one:
        assert 401 == asyncio.run(post(one))


def test_a_replayed_request_is_acknowledged_and_changes_nothing(office: Office) -> None:
    payload = slash(LINE, SAM, "", trigger_id="t1")

    one, status = over_http(office, *([payload] * 3))

    assert [200] * 3 == status
    assert 1 == len(one.incidents())


def test_one_command_in_eleven_envelopes_opens_one_incident(office: Office) -> None:
    payload = slash(LINE, SAM, "", trigger_id="t1")

    one = over_socket(office, *([("slash_commands", payload)] * 11))

    assert 1 == len(one.incidents())


def test_one_message_under_eleven_event_ids_opens_one_incident(office: Office) -> None:
    said = slack_double.mention("P1 checkout failing", RITA, "C1", "17.1")
    events = [slack_double.callback(said, f"Ev{number}") for number in range(11)]

    one = over_socket(office, *(("events_api", event) for event in events))

    assert [Severity.P1] == [each.severity for each in one.incidents()]


def raw(office: Office, body: bytes, kind: str, method: str = "POST") -> tuple[int, str]:
    """Send a signed body as it is, and return status and answer."""

    async def post(one: Desk) -> tuple[int, str]:
        async with desk.running(one), desk.http(one) as client:
            headers = slack_double.signed(body) | {"Content-Type": kind}
            sent = await client.request(method, EVENTS_PATH, content=body, headers=headers)
            return sent.status_code, sent.text

    with desk.both(office, http=True) as one:
        return asyncio.run(post(one))


def test_slack_may_verify_the_address(office: Office) -> None:
    body = b'{"type": "url_verification", "challenge": "c4", "token": "old"}'

    status, text = raw(office, body, "application/json")

    assert 200 == status
    assert "c4" in text


@pytest.mark.parametrize(
    ("body", "method", "status"),
    [(b"x" * 1_000_001, "POST", 413), (b"", "GET", 405)],
    ids=["too large", "not posted"],
)
def test_what_slack_never_sends_is_turned_away(
    office: Office, body: bytes, method: str, status: int
) -> None:
    assert status == raw(office, body, "application/json", method)[0]


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"payload=%7B", b'{"type": "event_callback", "event": 7}', b"\xff\xfe"],
)
def test_a_signed_body_that_makes_no_sense_opens_nothing(office: Office, body: bytes) -> None:
    kind = "application/x-www-form-urlencoded" if body[:1] == b"p" else "application/json"

    status, _ = raw(office, body, kind)

    assert 400 <= status < 600
