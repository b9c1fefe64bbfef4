"""The words that can be typed."""

import pytest

from bot import verbs
from bot.verbs import Verb


@pytest.mark.parametrize(
    ("word", "verb"),
    [("status", Verb.STATUS), ("YES", Verb.APPROVE), ("production-fixer", Verb.ESCALATE)],
)
def test_a_word_or_another_word_for_it_names_a_verb(word: str, verb: Verb) -> None:
    assert verb is verbs.named(word)


@pytest.mark.parametrize("word", ["", "yess", "/incident"])
def test_any_other_word_names_none(word: str) -> None:
    assert verbs.named(word) is None


def test_what_else_is_understood_is_no_verb_itself() -> None:
    assert set() == set(verbs.ALIASES) & set(Verb)
