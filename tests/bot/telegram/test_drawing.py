"""What a message becomes in Telegram: within every limit, with its buttons, inert."""

from dataclasses import replace

import pytest

from bot.port import Button, File, Message, Tone
from bot.telegram import drawing, limits, runs
from bot.telegram.drawing import Kind, Look
from tests.bot.telegram import marks

QUESTION = Message(
    "Start the canary at 10 %?",
    ("Yes: 10 % of the traffic goes to `c41d5a8`.", "May answer: telegram:7."),
    buttons=(
        Button("Start the canary at 10 %", "approve", "a" * 16, Tone.PASSING),
        Button("Do not deploy", "refuse", "a" * 16, Tone.FAILING),
    ),
    reactions=("✅", "❌"),
    tone=Tone.WAITING,
    approval="a" * 16,
)
PICTURE = File("c.png", "image/png", "The error rate", b"png")
VECTOR = File("c.svg", "image/svg+xml", "The error rate", b"svg")
PAPER = File("INC-1-diagnosis.md", "text/markdown", "Diagnosis", b"# Diagnosis")


def html(message: Message, look: Look | None = None) -> str:
    return runs.html_of(drawing.parts(message, look or Look())[0].said)


def test_a_question_has_its_buttons_and_says_how_it_is_answered() -> None:
    (part,) = drawing.parts(QUESTION, Look())

    assert (
        ("👍 Start the canary at 10 %", "y:" + "a" * 16),
        ("👎 Do not deploy", "n:" + "a" * 16),
    ) == part.keys
    assert "Answer by 👍 or 👎 on this message, or by a button." in runs.plain(part.said)


def test_without_the_right_to_see_reactions_only_the_buttons_are_named() -> None:
    said = html(QUESTION, Look(reactions=False))

    assert "Answer by a button: I am no administrator" in said
    assert "on this message" not in said


def test_who_is_asked_is_called_and_nobody_else() -> None:
    line = replace(QUESTION, lines=("telegram:7 telegram:8",), calls=("telegram:7", "slack:U1"))

    assert 1 == html(line).count('<a href="tg://user?id=7">telegram:7</a>')
    assert "id=8" not in html(line)


def test_a_vote_is_told_with_the_signs_of_this_platform() -> None:
    said = html(Message("Approved", ("Taking the ✅ back withdraws it.",)))

    assert "Taking the 👍 back withdraws it." in said


def test_a_chart_is_a_photo_with_the_news_as_its_caption() -> None:
    parts = drawing.parts(Message("10 % of the traffic", files=(PICTURE, VECTOR)), Look())

    assert [(Kind.PHOTO, PICTURE)] == [(part.kind, part.file) for part in parts]
    assert "10 % of the traffic" in runs.plain(parts[0].said)


def test_news_too_long_for_a_caption_stand_above_the_photo() -> None:
    parts = drawing.parts(Message("News", ("w " * 600,), files=(PICTURE,)), Look())

    assert [Kind.TEXT, Kind.PHOTO] == [part.kind for part in parts]
    assert "The error rate" == runs.plain(parts[1].said)


def test_a_report_that_fits_is_folded_into_its_message_and_is_a_file_too() -> None:
    message = Message("Cause CONFIRMED", markdown="# Diagnosis\n\nwords", files=(PAPER,))
    text, paper = drawing.parts(message, Look())

    assert "<blockquote expandable><b>Diagnosis</b>\n\nwords" in runs.html_of(text.said)
    assert (Kind.DOCUMENT, PAPER, "Diagnosis") == (paper.kind, paper.file, runs.plain(paper.said))


@pytest.mark.parametrize(("words", "kinds"), [(1500, "TTTD"), (20000, "TD")])
def test_a_long_report_takes_two_more_messages_or_is_a_file_alone(words: int, kinds: str) -> None:
    message = Message("Cause", markdown="word " * words, files=(PAPER,))
    parts = drawing.parts(message, Look())

    assert kinds == "".join(part.kind.value[0].upper() for part in parts)
    assert ("The whole report is in the file below." in runs.plain(parts[0].said)) is (
        kinds == "TD"
    )


def test_a_long_diff_is_cut_between_lines_and_says_so() -> None:
    diff = "\n".join(f"+line {number} " + "x" * 200 for number in range(40))
    said = runs.plain(drawing.parts(Message("Patch", diff=diff), Look())[0].said)

    assert marks.units(said) <= 4096
    assert "more lines are in the file" in said


@pytest.mark.parametrize("size", [10, 5000, 100_000])
def test_nothing_that_is_sent_is_longer_than_telegram_takes(size: int) -> None:
    foreign = "<&>👍" * size
    files = (PICTURE, replace(PAPER, title=foreign))
    message = Message(foreign, (foreign, foreign), foreign, foreign, files, author=foreign)
    for part in drawing.parts(message, Look()):
        text = marks.read(runs.html_of(part.said))
        assert marks.units(text) <= (4096 if part.kind is Kind.TEXT else 1024)


def test_a_stranger_can_neither_mention_nor_mark() -> None:
    said = html(Message("<b>x</b> [a](tg://user?id=1)", ("telegram:7 @everyone",), approval="a"))

    assert "&lt;b&gt;x&lt;/b&gt;" in said
    assert "tg://" not in said.replace("](tg://user?id=1)", "")


def test_a_button_that_does_not_fit_is_a_mistake_of_ours() -> None:
    wrong = replace(QUESTION, buttons=(Button("Yes", "approve", "a" * 63),))
    with pytest.raises(ValueError, match="too long for a button"):
        drawing.parts(wrong, Look())


def test_who_said_something_is_said_where_the_words_do_not_tell() -> None:
    assert "<i>Said by web:rita</i>" in html(Message("cache is cold", author="web:rita"))
    assert "Said by" not in html(Message("web:rita has seen it", author="web:rita"))


def test_a_line_to_type_instead_is_copied_by_a_tap() -> None:
    (part,) = drawing.answer("'P9' is no severity.", "/incident P1 x < y")

    assert "'P9' is no severity.\n<code>/incident P1 x &lt; y</code>" == runs.html_of(part.said)


def test_choices_are_lines_to_copy_and_buttons_within_64_bytes() -> None:
    lines = [(f"service-{n}", f"/incident open service:service-{n} `x` *y* {n}") for n in range(12)]
    (part,) = drawing.answer("Which service is it?", "", lines)

    assert [label for label, _ in lines[:8]] == [label for label, _ in part.keys]
    assert all(len(data.encode()) <= limits.CALLBACK_BYTES for _, data in part.keys)
    said = runs.plain(part.said)
    places = [data.removeprefix("s:") for _, data in part.keys]
    assert [line for _, line in lines[:8]] == [drawing.line_at(said, place) for place in places]


@pytest.mark.parametrize("place", ["", "1", "-1", "²", "x", "99999999999999999999"])
def test_a_choice_that_its_message_does_not_have_says_nothing(place: str) -> None:
    assert drawing.line_at("Which?\n/incident open x", place) is None


def test_choices_too_long_for_one_message_are_lines_alone() -> None:
    lines = [(f"s{n}", f"/incident open service:s{n} {'x' * 290}") for n in range(20)]
    made = drawing.answer("Which service is it?", "", lines)

    assert len(made) > 1
    assert [()] * len(made) == [part.keys for part in made]
