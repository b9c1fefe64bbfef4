"""`--sent-to-model` prints what left, each text where it left first, with nothing hidden in it."""

import json

import pytest

from cli import sent
from incidents.models import Incident, Severity, Stage, Status
from incidents.sent import Part, SentRequest
from tests.incidents import builders

AT = builders.START
INCIDENT = Incident(
    1, "checkout failing", Severity.P1, Status.OPEN, "checkout", AT, builders.REPORTER
)


def printed(capsys: pytest.CaptureFixture[str], *, as_json: bool) -> str:
    asked = {"role": "user", "content": "line 1\nline \x1b[2J2"}
    first = (Part("model", "d1", "m-1", first=True), Part("messages[0]", "d2", asked, first=True))
    second = (Part("model", "d1", "m-1", first=False), Part("system", "d3", None, first=True))
    requests = [
        SentRequest(7, 3, Stage.DIAGNOSE, AT, first),
        SentRequest(8, 3, Stage.DIAGNOSE, AT, second),
    ]
    sent.show(INCIDENT, requests, as_json=as_json)
    return capsys.readouterr().out


def test_a_reader_sees_every_text_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert [
        "Request 1 of 2 · 2026-01-05 09:00:00 UTC · diagnose, run 3",
        "  model: m-1",
        "  messages[0]:",
        "    role: user",
        "    content:",
        "      | line 1",
        "      | line \\x1b[2J2",
        "Request 2 of 2 · 2026-01-05 09:00:00 UTC · diagnose, run 3 · 1 seen before",
        "  system: (none, or purged)",
    ] == printed(capsys, as_json=False).splitlines()


def test_a_program_sees_every_request_whole(capsys: pytest.CaptureFixture[str]) -> None:
    said = json.loads(printed(capsys, as_json=True))

    assert ["INC-1", 2, "m-1", "d1"] == [
        said["incident"],
        len(said["sent"]),
        said["sent"][1]["body"][0]["content"],
        said["sent"][1]["body"][0]["sha256"],
    ]
