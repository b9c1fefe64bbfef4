"""Pieces are balanced, within the limit as Telegram counts, and together the whole text."""

import random

import pytest

from bot.telegram import markdown, runs
from bot.telegram.runs import Run
from tests.bot.telegram import marks

ALPHABET = "ab <>&\"'\n*_`|[]()#-👍🏽é\u200d\t"
TAGS = ("b", "i", "code", "pre", 'a href="https://x.example/?a=1&amp;b=2"', "blockquote expandable")


def made(seed: int) -> tuple[Run, ...]:
    dice = random.Random(seed)
    return tuple(
        Run(
            "".join(dice.choices(ALPHABET, k=dice.randint(0, 60))),
            tuple(dice.sample(TAGS, dice.randint(0, 3))),
        )
        for _ in range(dice.randint(1, 12))
    )


@pytest.mark.parametrize("seed", range(60))
def test_every_piece_is_taken_by_telegram_and_nothing_is_lost(seed: int) -> None:
    whole, most = made(seed), 20 + seed
    pieces = runs.split(whole, most)
    read = [marks.read(runs.html_of(piece)) for piece in pieces]

    assert all(0 < marks.units(text) <= most for text in read)
    assert "".join(runs.plain(whole).split()) == "".join("".join(read).split())


def test_a_pair_of_one_character_is_not_cut_in_two() -> None:
    pieces = runs.split((Run("👍" * 5),), 3)

    assert ["👍"] * 5 == [runs.plain(piece) for piece in pieces]


def test_a_piece_ends_with_a_line_where_it_can() -> None:
    pieces = runs.split((Run("one line\nanother line\n", ("b",)),), 15)

    assert ["<b>one line\n</b>", "<b>another line\n</b>"] == [runs.html_of(one) for one in pieces]


def test_nothing_bold_is_inside_code() -> None:
    said = (Run("cause ", ("b",)), Run("3f2a91c", ("b", "code")), Run(" brought it", ("b",)))

    assert "<b>cause </b><code>3f2a91c</code><b> brought it</b>" == runs.html_of(said)


def test_what_is_too_long_ends_with_a_sign() -> None:
    assert "one two…" == runs.plain(runs.shortened((Run("one two three"),), 10))


@pytest.mark.parametrize(
    ("said", "html"),
    [
        ("a & b < c", "a &amp; b &lt; c"),
        ('"quoted"', '"quoted"'),
        ("<b>raw</b>", "&lt;b&gt;raw&lt;/b&gt;"),
        ("**x** *y* `z<`", "<b>x</b> <i>y</i> <code>z&lt;</code>"),
        ("[here](https://a.example/?b=1&c=2)", '<a href="https://a.example/?b=1&amp;c=2">here</a>'),
        ("[here](tg://user?id=1)", "<u>here</u>"),
        ("![p](https://a.example/p.png)", '!<a href="https://a.example/p.png">p</a>'),
    ],
)
def test_a_line_has_only_the_marks_that_are_ours(said: str, html: str) -> None:
    assert html == runs.html_of(markdown.line(said))


def test_blocks_become_what_a_phone_shows() -> None:
    text = (
        "# Head\n\nWords\nmore\n\n- one\n- two\n  1. deep\n\n> said\n\n```diff\n+x\n```\n\n---\nend"
    )

    assert (
        "<b>Head</b>\n\nWords\nmore\n\n• one\n• two\n   1. deep\n\n<i>said</i>\n\n"
        '<pre><code class="language-diff">+x</code></pre>\n\n⸻\n\nend'
    ) == runs.html_of(markdown.whole(text))


def test_a_narrow_table_keeps_its_columns_and_a_wide_one_becomes_lines() -> None:
    head = "| Tree | Runs | Failed |\n|---|---|---|\n"
    narrow = runs.html_of(markdown.whole(head + "| good | 3 | 0 |"))
    wide = runs.plain(markdown.whole(head + "| broken revision without 3f2a91c | 3 | 0 |"))

    assert "<pre>Tree  Runs  Failed\ngood  3     0</pre>" == narrow
    assert "• broken revision without 3f2a91c; runs: 3; failed: 0\n" == wide.rstrip("\n") + "\n"
