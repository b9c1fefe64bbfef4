"""A message as blocks: the news first, within a budget that Slack has never refused."""

from dataclasses import replace

import pytest

from bot.port import Button, File, Message, Tone
from bot.slack import blocks
from tests.slack_faults import over

LONG = "x" * 60_000
MANY = "\n".join(f"line {number} with some <text> & more" for number in range(5000))


@pytest.mark.parametrize("text", ["short", LONG, MANY, "&" * 5000])
@pytest.mark.parametrize("with_files", [True, False])
def test_every_message_is_within_the_budget(text: str, with_files: bool) -> None:
    message = Message(
        text,
        lines=(text, text, text),
        markdown=text,
        diff=text,
        buttons=tuple(Button(text[:90], "approve", "A1", Tone.PASSING) for _ in range(5)),
    )
    drawn = blocks.draw(message, calls=["U1"], with_files=with_files)
    said = {"text": drawn.text, "blocks": list(drawn.blocks)}
    total = sum(len(one["text"]["text"]) for one in drawn.blocks if one["type"] == "section")

    assert "" == over("chat.postMessage", said)
    assert total <= blocks.MOST_CHARACTERS
    assert len(drawn.blocks) <= blocks.MOST_BLOCKS
    assert "" == over("chat.postMessage", {"text": blocks.bare(message).text})


def test_the_news_comes_first_with_its_mark_then_the_reasons() -> None:
    drawn = blocks.draw(Message("It *fails*", lines=("37 of 410 failed.",), tone=Tone.FAILING))

    assert ":red_circle: *It _fails_*\n37 of 410 failed." == drawn.blocks[0]["text"]["text"]
    assert "It fails 37 of 410 failed." == drawn.text


def test_a_long_diff_is_shown_by_its_first_lines() -> None:
    diff = "\n".join(f"+line {number} " + "y" * 200 for number in range(60))
    drawn = blocks.draw(Message("Patch", diff=diff))
    shown = "".join(one["text"]["text"] for one in drawn.blocks)

    assert "+line 19" in shown
    assert "+line 20" not in shown
    assert "40 more lines" in shown


def test_a_report_is_a_file_and_where_there_are_none_it_is_in_the_message() -> None:
    paper = File("r.md", "text/markdown", "Report", b"# all")
    vector = File("c.svg", "image/svg+xml", "Chart", b"<svg/>")
    report = Message("News", markdown="# all\n\ntext", files=(paper, vector))

    assert (paper,) == blocks.draw(report).files
    assert 1 == len(blocks.draw(report).blocks)
    without = blocks.draw(report, with_files=False)
    assert () == without.files
    assert "*all*" in str(without.blocks)


def test_who_is_called_is_mentioned_once_in_text_and_blocks() -> None:
    asked = Message("Grow?", calls=("slack:U1",))
    drawn = blocks.draw(asked, calls=["U1"])

    assert drawn.text.startswith("<@U1> ")
    assert 1 == str(drawn.blocks).count("<@U1>")
    assert "<@" not in str(blocks.draw(replace(asked, headline="Grown")).blocks)
