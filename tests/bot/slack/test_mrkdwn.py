"""Markdown in Slack: foreign text stays text, pieces stay within limits and lose nothing."""

import random
import re

import pytest

from bot.slack import mrkdwn
from bot.slack.mrkdwn import Piece

UNSAFE = re.compile(r"<(?!https?://[^\s<>|]+\|)")  # a link of ours is the one thing that opens so
ALPHABET = [
    *"ab &<>|`*_~#-\n\"'!@$[](){}\\0123.é🔥\u202e",
    "<!channel>", "<@U123>", "<#C1>", "<!subteam^S1>", "```", "](", "http://", "javascript:x",
    "&lt;", "&amp;", "<https://a.example|b>", "\n\n", "- ", "1. ", "> ", "| a | b |\n|---|---|\n",
]  # fmt: skip


def samples(count: int = 300) -> list[str]:
    chance = random.Random(7)
    return ["".join(chance.choices(ALPHABET, k=chance.randint(0, 120))) for _ in range(count)]


def test_no_foreign_text_opens_a_mention_a_link_or_a_channel() -> None:
    for text in samples():
        for drawn in (mrkdwn.inline(text), *mrkdwn.sections(mrkdwn.pieces(text))):
            assert UNSAFE.search(drawn) is None, (text, drawn)


def test_plain_and_code_never_open_anything() -> None:
    for text in samples():
        assert "<" not in mrkdwn.leaf(text) + str(mrkdwn.code(text))


@pytest.mark.parametrize("longest", [40, 100, 2900])
def test_pieces_are_within_the_limit_and_boxes_are_closed(longest: int) -> None:
    for text in samples(100):
        for part in mrkdwn.sections([*mrkdwn.pieces(text * 9), mrkdwn.code(text * 9)], longest):
            assert len(part) <= longest
            assert 0 == part.count(mrkdwn.FENCE) % 2


@pytest.mark.parametrize("longest", [7, 20, 333])
def test_the_parts_of_a_text_are_the_text(longest: int) -> None:
    for text in samples(100):
        lines = mrkdwn.escape(text)
        parts = mrkdwn.split(lines, longest)
        assert "".join(parts).replace("\n", "") == lines.replace("\n", "")
        assert all(len(part) <= longest for part in parts)
        for part in parts:
            assert re.search(r"&(?!(amp|lt|gt);)", part) is None


@pytest.mark.parametrize(
    ("markdown", "drawn"),
    [
        ("**bold** and *soft*", "*bold* and _soft_"),
        ("a `x < y` b", "a `x &lt; y` b"),
        ("[here](https://a.example/?a=1&b=2)", "<https://a.example/?a=1&amp;b=2|here>"),
        ("[no](javascript:alert)", "[no](javascript:alert)"),
        (r"2 \* 3 \< 4", "2 * 3 &lt; 4"),
        ("by slack:U123ABC", "by @Ada"),
        ("by slack:U999XYZ", "by @U999XYZ"),
    ],
)
def test_a_line_keeps_its_marks(markdown: str, drawn: str) -> None:
    assert drawn == mrkdwn.inline(markdown, {"U123ABC": "Ada"})


def test_a_report_keeps_its_shape() -> None:
    report = "# Head\n\ntext\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 22 |\n\n```\nx\n```\n"

    assert [
        Piece("*Head*"),
        Piece("text"),
        Piece("• one\n• two"),
        Piece("a  b\n1  22", code=True),
        Piece("x", code=True),
    ] == mrkdwn.pieces(report)
