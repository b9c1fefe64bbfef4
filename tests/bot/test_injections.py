"""The corpus of injections in the chats: what a stranger wrote pings nobody and becomes no mark.

The texts are those of tests/agents/injections.py, drawn by each platform's own renderer as a
message, as code and as a file's excerpt; the war room's pages are tried beside the corpus itself.
"""

import json
import re

import pytest

from bot import texts
from bot.port import File, Message
from bot.slack import blocks, mrkdwn
from bot.telegram import drawing, runs
from bot.telegram.drawing import Look
from incidents import report_text
from tests.agents.injections import CASES, Injection
from tests.agents.test_injections import filled, hides, tags
from tests.bot.telegram import marks

OPENS = re.compile(r"<[!@#a-z]")  # a mention, a channel or a link of Slack
each = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def told(text: str) -> Message:
    """A message in which a stranger's text stands wherever one may stand."""
    shown, code = str(texts.inline(text)), str(texts.code(text))
    return Message(
        shown,
        (f"It says {shown}.", f"In the log: {code}"),
        diff=report_text.visible(f"+{text}"),
        markdown=f"- {shown}\n- {code}\n",
        files=(File("log.txt", "text/plain", shown, text.encode("utf-8", "replace")),),
    )


def in_slack(message: Message) -> str:
    drawn = blocks.draw(message, with_files=False)
    return "\n".join([drawn.text, *(str(one["text"]["text"]) for one in drawn.blocks)])


def in_telegram(message: Message) -> list[str]:
    return [runs.html_of(part.said) for part in drawing.parts(message, Look())]


@each
def test_in_slack_it_is_text_and_nothing_else(case: Injection) -> None:
    shown = in_slack(told(filled(case)))

    assert None is OPENS.search(shown)
    assert not hides(shown)
    assert 0 == shown.count(mrkdwn.FENCE) % 2


@each
def test_in_telegram_it_is_text_and_nothing_else(case: Injection) -> None:
    shown, clean = in_telegram(told(filled(case))), in_telegram(told("x"))

    assert [tags(page) for page in clean] == [tags(page) for page in shown]
    assert all(marks.read(page) for page in shown)
    assert not any(hides(page) for page in shown)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.by == "markup"], ids=lambda case: case.name
)
def test_a_chat_that_is_given_it_raw_is_steered_by_every_mark(case: Injection) -> None:
    raw = filled(case)
    linked = [child for piece in mrkdwn.pieces(raw) for child in piece.text.split("<")[1:]]

    assert OPENS.search(raw) or tags(raw) or linked or "*" in in_slack(Message("x", markdown=raw))


def test_a_body_for_slack_is_json_whatever_it_holds() -> None:
    for case in CASES:
        drawn = blocks.draw(told(filled(case)))

        assert list(drawn.blocks) == json.loads(json.dumps(drawn.blocks))
