"""Markdown and diffs become HTML that nothing inside them breaks out of."""

import pytest

from bot.web import markdown


def test_raw_html_is_shown_as_text() -> None:
    assert "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n" == markdown.whole(
        "<script>alert(1)</script>"
    )


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "file:///etc"]
)
def test_a_link_goes_to_the_web_or_it_is_no_link(address: str) -> None:
    assert "<a " not in markdown.whole(f"[x]({address})")
    assert "<a " not in markdown.whole(f"<{address}>")


def test_a_link_to_the_web_tells_no_one_where_it_came_from() -> None:
    drawn = markdown.line("[x](https://a.example/?q=1&r=2)")

    assert 'href="https://a.example/?q=1&amp;r=2"' in drawn
    assert 'rel="noopener noreferrer nofollow"' in drawn


def test_no_picture_of_another_site_is_loaded() -> None:
    assert "<img" not in markdown.whole("![x](https://a.example/x.png)")


def test_a_diff_has_its_signs_and_a_class_per_line() -> None:
    drawn = markdown.diff("--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-<b>\n+c\n d")

    kinds = [part.split('"')[0] for part in drawn.split('<span class="')[1:]]
    assert ["file", "file", "hunk", "removed", "added", "same"] == kinds
    assert "-&lt;b&gt;" in drawn


def test_a_fence_that_says_diff_is_drawn_as_one() -> None:
    assert '<span class="added">+a' in markdown.whole("```diff\n+a\n```")
    assert '<span class="added">' not in markdown.whole("```\n+a\n```")


def test_a_wide_table_scrolls_in_a_frame_of_its_own() -> None:
    assert '<div class="wide" tabindex="0"><table>' in markdown.whole("|a|b|\n|-|-|\n|1|2|")
