"""A change goes back line by line, and what came later beside its lines stays."""

import pytest

from agents.builtin import weaving


def woven(before: str, changed: str, now: str) -> str | None:
    """Return the outcome with one word for each line."""
    texts = ["".join(f"{word}\n" for word in text.split()) for text in (before, changed, now)]
    made = weaving.without(*(text.encode() for text in texts))
    return None if made is None else " ".join(made.decode().split())


@pytest.mark.parametrize(
    ("before", "changed", "now", "expected"),
    [
        ("a b c", "a B c", "a B c d", "a b c d"),
        ("a b c", "a b C", "a b C d", "a b c d"),
        ("a b c", "a X Y c", "a X Z c", "a b c"),
        ("a b c d", "a c d", "a c d e", "a b c d e"),
        ("a b", "a b n", "a b m", "a b"),
        ("a b", "a", "a z", "a b z"),
        ("a b c d e", "a B c D e", "a B! c D e", "a b c d e"),
        ("a b c d e", "a B c D e", "a q e", "a b c d e"),
        ("a b c", "a B c", "0 a B c", "0 a b c"),
        ("a b c", "a b c", "a b x", "a b x"),
    ],
)
def test_only_the_lines_of_the_change_go_back(
    before: str, changed: str, now: str, expected: str
) -> None:
    assert expected == woven(before, changed, now)


def test_bytes_that_are_no_text_are_left_to_a_person() -> None:
    assert weaving.without(b"a\0", b"b\0", b"c\0") is None
