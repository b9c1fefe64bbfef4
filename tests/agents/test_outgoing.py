"""Nothing reaches a model but by the one door, and what does is kept."""

import time
from typing import Any

import pytest

from agents import outgoing
from agents.untrusted import Fence, Source
from incidents.redaction import Redactor


def door(kept: list[Any], *, allowed: bool = True) -> outgoing.Outgoing:
    redactor = Redactor(secrets=["key-of-halon-itself"])
    return outgoing.Outgoing(Fence(), redactor, kept.append, allowed=allowed, service="checkout")


def test_a_strangers_text_is_redacted_visible_and_fenced() -> None:
    out = door([])

    shown = out.show(Source.LOG, "mail bob@example.com\x1b[0m", "bob@example.com.log")

    assert "mail <email-1>\\x1b[0m" in shown
    assert "bob" not in shown
    assert "" == out.fence.outside(shown)


def test_what_leaves_is_kept_as_it_left() -> None:
    kept: list[Any] = []

    leaving = door(kept).leave({"model": "m", "messages": [{"role": "user", "content": "hi"}]})

    assert [leaving.body] == kept


def test_a_secret_that_came_past_the_first_wall_stops_at_the_second() -> None:
    kept: list[Any] = []

    body = door(kept).leave({"messages": ["ghp_" + "a1" * 18, "key-of-halon-itself"]}).body

    assert {"messages": ["<github-token-1>", "<secret-of-halon>"]} == body
    assert [body] == kept


def test_a_long_conversation_is_not_redacted_anew_with_every_turn() -> None:
    kept: list[Any] = []
    out = door(kept)
    turns = [{"role": "user", "content": f"line {n} at 203.0.113.7\n" * 3000} for n in range(6)]

    def seconds() -> float:
        began = time.process_time()
        out.leave({"messages": turns})
        return time.process_time() - began

    first = seconds()

    assert seconds() < first / 3
    assert kept[0] == kept[1]


def test_a_private_services_text_goes_nowhere() -> None:
    kept: list[Any] = []
    out = door(kept, allowed=False)

    for attempt in (lambda: out.show(Source.LOG, "x"), lambda: out.leave({"messages": []})):
        with pytest.raises(outgoing.ModelNotAllowed, match="model = false"):
            attempt()
    assert [] == kept


def test_a_request_that_cannot_be_kept_does_not_leave() -> None:
    def full(_: Any) -> None:
        raise OSError("disk full")

    out = outgoing.Outgoing(Fence(), Redactor(), full, allowed=True)

    with pytest.raises(OSError, match="disk full"):
        out.leave({"messages": []})


def test_an_edit_gets_the_values_back_that_were_taken_out() -> None:
    out = door([])
    out.show(Source.FILE, "OWNER = 'bob@example.com'")

    assert "OWNER = 'bob@example.com' <email-2>" == out.restore("OWNER = '<email-1>' <email-2>")
