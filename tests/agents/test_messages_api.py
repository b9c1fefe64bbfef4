"""The real SDK's client against the scripted server: every way in which a reply can fail to come.

Each case is what the real server does, on the wire; the client is never touched.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from agents.messages_api import MessagesApi
from agents.model import ModelFailed, Reply, Trouble
from agents.outgoing import Leaving
from agents.scripted.server import KEY, Failure, Script, Scripted, Turn, calls, says

TOOL = {"name": "Read", "description": "Read.", "input_schema": {"type": "object"}}
MODEL = "claude-opus-5-5"


def body(*texts: str) -> Leaving:
    messages = [{"role": "user", "content": [{"type": "text", "text": text}]} for text in texts]
    return Leaving({"system": "Role: x\n\nBe brief.", "tools": [TOOL], "messages": messages,
                    "max_tokens": 1000})  # fmt: skip


@contextmanager
def served(script: Script, **more: Any) -> Iterator[tuple[Scripted, MessagesApi]]:
    with Scripted(script, **more).serving() as server:
        yield server, MessagesApi(MODEL, KEY, server.url)


def failed(script: Script, key: str = KEY, left: float = 30.0, **more: Any) -> ModelFailed:
    with Scripted(script, **more).serving() as server:
        until = time.monotonic() + left
        with pytest.raises(ModelFailed) as caught:
            MessagesApi(MODEL, key, server.url).ask(body("hi"), lambda: until - time.monotonic())
    return caught.value


def asked(script: Script) -> Reply:
    with served(script) as (_, model):
        return model.ask(body("hi"), lambda: 30.0)


def test_words_arrive_whole_with_their_bill() -> None:
    reply = asked(lambda _: says("word " * 500))

    assert ("end_turn", "word " * 500) == (reply.stop, reply.content[0]["text"])
    assert reply.usage.output > 100


def test_parallel_calls_arrive_with_their_arguments() -> None:
    wanted = (("Read", {"path": "a" * 900}), ("Read", {"path": "b"}))

    reply = asked(lambda _: calls(*wanted))

    assert [given for _, given in wanted] == [call["input"] for call in reply.calls()]


def test_what_was_said_before_is_read_from_the_cache() -> None:
    with served(lambda _: says("yes")) as (_, model):
        first = model.ask(body("x" * 9000), lambda: 30.0).usage
        second = model.ask(body("x" * 9000), lambda: 30.0).usage

    assert (0, True) == (first.cache_read, first.cache_write > 2000)
    assert (first.cache_write, 0) == (second.cache_read, second.cache_write)


@pytest.mark.parametrize(
    ("status", "kind", "trouble"),
    [
        (401, "authentication_error", Trouble.KEY),
        (402, "billing_error", Trouble.KEY),
        (403, "permission_error", Trouble.KEY),
        (404, "not_found_error", Trouble.UNKNOWN_MODEL),
        (408, "timeout_error", Trouble.BUSY),
        (400, "invalid_request_error", Trouble.BAD_REQUEST),
        (413, "request_too_large", Trouble.TOO_LARGE),
        (429, "rate_limit_error", Trouble.BUSY),
        (500, "api_error", Trouble.BUSY),
        (529, "overloaded_error", Trouble.BUSY),
    ],
)
def test_every_error_of_the_server_has_its_kind(status: int, kind: str, trouble: Trouble) -> None:
    error = failed(lambda _: Failure(status, kind, "said so"))

    assert trouble is error.trouble
    assert f"answered {status} (said so)" in error.message


def test_a_refused_key_says_what_to_do_and_not_the_key() -> None:
    error = failed(lambda _: says("never"), key="sk-ant-wrong")

    assert Trouble.KEY is error.trouble
    assert "check ANTHROPIC_API_KEY" in error.message
    assert "sk-ant" not in error.message


def test_an_unknown_model_names_the_setting() -> None:
    error = failed(lambda _: says("never"), known_models=frozenset({"other"}))

    assert "HALON_MODEL_STRONG" in error.message
    assert MODEL in error.message


def test_the_server_is_asked_once_whatever_it_answers() -> None:
    """The SDK obeys a Retry-After of an hour; ours must come back at once."""
    with served(lambda _: Failure(429, "rate_limit_error", retry_after="3600")) as (server, model):
        began = time.monotonic()
        with pytest.raises(ModelFailed) as caught:
            model.ask(body("hi"), lambda: 5000.0)

    assert (3600.0, 1) == (caught.value.retry_after, len(server.asked))
    assert time.monotonic() - began < 60


def test_a_stream_that_is_cut_is_paid_for_and_no_reply() -> None:
    error = failed(lambda _: Turn(says("x" * 4000).content, cut_after=4))

    assert Trouble.CUT is error.trouble
    assert error.billed.usage.input > 0
    assert error.billed.id == "msg_00001"


def test_an_error_in_the_middle_of_a_stream_is_the_servers() -> None:
    error = failed(lambda _: Failure(529, "overloaded_error", in_stream=True))

    assert Trouble.BUSY is error.trouble
    assert error.billed.usage.input > 0


def test_arguments_that_are_no_json_are_no_reply() -> None:
    error = failed(lambda _: calls(("Read", '{"path": nonsense]')))

    assert Trouble.UNREADABLE is error.trouble


def test_a_refusal_is_a_reply_without_calls() -> None:
    reply = asked(
        lambda _: Turn((), "refusal", stop_details={"type": "refusal", "category": "cyber"})
    )

    assert ("refusal", [], "cyber") == (reply.stop, reply.calls(), reply.detail)


def test_calls_of_a_reply_that_was_cut_at_its_length_are_not_run() -> None:
    turn = calls(("Read", {"path": "a"}))

    assert [] == asked(lambda _: Turn(turn.content, "max_tokens")).calls()


def test_a_server_that_nobody_answers_at_is_a_broken_connection() -> None:
    with served(lambda _: says("never")) as (server, model):
        pass
    del server

    with pytest.raises(ModelFailed) as caught:
        model.ask(body("hi"), lambda: 5.0)

    assert Trouble.CUT is caught.value.trouble


def test_time_that_is_up_asks_nobody() -> None:
    with served(lambda _: says("never")) as (server, model), pytest.raises(ModelFailed) as caught:
        model.ask(body("hi"), lambda: 0.0)

    assert (Trouble.LATE, []) == (caught.value.trouble, server.asked)


def test_time_that_runs_out_in_the_middle_of_a_stream_ends_it() -> None:
    looks = iter([30.0, 30.0, 0.0])

    with served(lambda _: says("x" * 4000)) as (_, model), pytest.raises(ModelFailed) as caught:
        model.ask(body("hi"), lambda: next(looks))

    assert Trouble.LATE is caught.value.trouble
    assert caught.value.billed.usage.input > 0
