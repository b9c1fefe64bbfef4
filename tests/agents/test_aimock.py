"""The loop over the real SDK against `@copilotkit/aimock`: another hand's idea of the Messages API.

One server for all; a fixture is chosen by the system prompt of its case and the turn. What it does
not play (the prompt's cache, a key that is checked) is tried against agents/scripted instead.
"""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from agents.allowance import Allowance
from agents.loop import Again, Stop
from agents.messages_api import MessagesApi
from agents.model import Trouble, Usage
from agents.prices import Prices
from agents.transcript import Kind
from tests import doubles
from tests.agents import stage
from tests.agents.loops import ENOUGH, MODEL, REPORT, Scene

pytestmark = pytest.mark.service
WIDE = "x" * 5000
COUNT = {"name": "Count", "arguments": {"number": 1}}
SUBMIT = {"toolCalls": [{"name": "Submit", "arguments": {}}]}
FOUND = {"summary": "Guests are not greeted.", "cause": {"text": "a check was taken out"}}


def broken(status: int, kind: str, **more: Any) -> dict[str, Any]:
    """An error as the server sends it."""
    return {"error": {"message": "said so", "type": kind}, "status": status, **more}


# The answers of a case by turn; `once` are given before them, one per question.
CASES: dict[str, list[dict[str, Any]]] = {
    "round trip": [{"toolCalls": [COUNT]}, SUBMIT],
    "parallel": [
        {"content": "Both.", "toolCalls": [COUNT, {"name": "Count", "arguments": {"number": 2}}],
         "usage": {"input_tokens": 900, "output_tokens": 40}},
        SUBMIT,
    ],
    "many pieces": [{"toolCalls": [{"name": "Note", "arguments": {"text": WIDE}}]}, SUBMIT],
    "words": [{"content": "hm"}, {"content": "hm"}, SUBMIT],
    "not its tool": [{"toolCalls": [{"name": "Bash", "arguments": {"command": "id"}}]}, SUBMIT],
    "impossible": [{"toolCalls": [{"name": "Count", "arguments": {"number": "x"}}]}, SUBMIT],
    "schema": [SUBMIT] * 3,
    "refusal": [{"content": "no", "finishReason": "refusal"}],
    "length": [{"content": "long", "finishReason": "length"}] * 2,
    "hour": [broken(429, "rate_limit_error", retryAfter=3600)],
    "key": [broken(401, "authentication_error")],
    "credit": [broken(402, "billing_error")],
    "model": [broken(404, "not_found_error")],
    "request": [broken(400, "invalid_request_error")],
    "minute": [broken(529, "overloaded_error")],
}  # fmt: skip
ONCE: dict[str, dict[str, Any]] = {
    "429 once": {"response": broken(429, "rate_limit_error", retryAfter=7)},
    "429 obeyed": {"response": broken(429, "rate_limit_error", retryAfter=7)},
    "529 once": {"response": broken(529, "overloaded_error")},
    "500 once": {"response": broken(500, "api_error")},
    "cut once": {"response": {"content": WIDE}, "truncateAfterChunks": 4},
    "hung up once": {"response": {"content": "x"}, "chaos": {"disconnectRate": 1}},
    "garbled once": {"response": {"content": "x"}, "chaos": {"malformedRate": 1}},
}


def fixtures() -> list[dict[str, Any]]:
    made = [
        {"match": {"systemMessage": f"case: {name}.", "turnIndex": turn}, "response": response}
        for name, turns in CASES.items()
        for turn, response in enumerate(turns)
    ]
    for name, fixture in ONCE.items():
        where = {"systemMessage": f"case: {name}."}
        made.append({"match": {**where, "sequenceIndex": 0}, **fixture})
        made.append({"match": where, "response": SUBMIT})
    submit = {"toolCalls": [{"name": "Submit", "arguments": FOUND}]}
    made.append({"match": {"systemMessage": "Role: bug-diagnostician"}, "response": submit})
    return made


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The address of the server."""
    folder = tmp_path_factory.mktemp("aimock")
    (folder / "fixtures.json").write_text(json.dumps({"fixtures": fixtures()}), "utf-8")
    port = doubles.free_port()
    command = doubles.argv("@copilotkit/aimock/dist/cli.js", "aimock")
    command += ["-p", str(port), "-h", "127.0.0.1", "-f", "fixtures.json", "--strict",
                "--log-level", "warn"]  # fmt: skip
    base = f"http://127.0.0.1:{port}"
    with doubles.started(command, folder, httpx.Request("GET", f"{base}/health")):
        yield base


@pytest.fixture
def play(address: str, tmp_path: Path) -> Callable[..., Scene]:
    """A scene of one case; its runs are lives on one disk."""

    def scene(name: str, allowance: Allowance = ENOUGH) -> Scene:
        model = MessagesApi(MODEL, "sk-ant-any", address)
        return Scene(tmp_path, model, allowance, system=f"Role: tester\n\ncase: {name}.")

    return scene


Play = Callable[..., Scene]


def test_a_tool_is_called_and_its_result_goes_back(play: Play) -> None:
    scene = play("round trip")

    ended = scene.life()

    assert (Stop.DONE, REPORT, [1]) == (ended.stop, ended.report, scene.ran)


def test_calls_in_one_reply_are_run_in_order_and_billed_once(play: Play) -> None:
    scene = play("parallel")

    assert Stop.DONE is scene.life().stop
    assert [1, 2] == scene.ran
    first = next(bill for bill in scene.booked.values())
    assert Usage(fresh=900, output=40) == first.usage
    assert Prices().cost(MODEL, first.usage) == first.dollars > Decimal(0)


def test_arguments_that_come_in_hundreds_of_pieces_are_whole(play: Play) -> None:
    scene = play("many pieces")
    scene.life()

    (said,) = [r for r in scene.records if r["kind"] == Kind.ASSISTANT and r["content"][0].get(
        "name") == "Note"]  # fmt: skip
    assert {"text": WIDE} == said["content"][0]["input"]


@pytest.mark.parametrize(
    "name", [*sorted({*ONCE} - {"429 obeyed"}), "words", "not its tool", "impossible"]
)
def test_what_goes_wrong_once_is_overcome(play: Play, name: str) -> None:
    scene = play(name)

    assert Stop.DONE is scene.life().stop
    assert [] == scene.ran


def test_the_servers_own_wait_is_waited(play: Play) -> None:
    scene = play("429 obeyed")

    assert Stop.DONE is scene.life().stop

    assert [7] == scene.time.waits


@pytest.mark.parametrize(
    ("name", "stop", "trouble", "words"),
    [
        ("hour", Stop.MODEL, Trouble.BUSY, "answered 429"),
        ("minute", Stop.MODEL, Trouble.BUSY, "answered 529"),
        ("key", Stop.MODEL, Trouble.KEY, "ANTHROPIC_API_KEY"),
        ("credit", Stop.MODEL, Trouble.KEY, "credit"),
        ("model", Stop.MODEL, Trouble.UNKNOWN_MODEL, "HALON_MODEL_STRONG"),
        ("request", Stop.MODEL, Trouble.BAD_REQUEST, "answered 400"),
        ("refusal", Stop.REFUSAL, None, "refused"),
        ("length", Stop.LENGTH, None, "length limit"),
    ],
)
def test_what_does_not_pass_ends_the_run_and_says_why(
    play: Play, name: str, stop: Stop, trouble: Trouble | None, words: str
) -> None:
    ended = play(name).life()

    assert (stop, trouble) == (ended.stop, ended.trouble)
    assert words in ended.detail


def test_three_results_of_the_wrong_shape_end_it(play: Play) -> None:
    scene = play("schema")
    scene.accept = lambda given: Again("summary: Field required", broken=True)

    assert Stop.SCHEMA is scene.life().stop


def test_a_question_that_nothing_answers_is_no_reply(play: Play) -> None:
    assert Stop.MODEL is play("unheard of").life().stop


def test_a_diagnosis_is_played_over_it(address: str, tmp_path: Path, walls: Any) -> None:
    tmp_path.chmod(0o755)
    with stage.opened(tmp_path, walls, lambda asked: pytest.fail("the other server")) as on:
        on.server.url = address
        found = on.diagnose(test=None, traces=("TypeError: no guest\n",))

    assert (f"claude ({stage.STRONG})", FOUND["summary"]) == (found.engine, found.summary)
