"""Places are spelled in one way, so that a reaction finds the thread that it was given in."""

import pytest

from bot.slack import place
from bot.slack.place import Place


@pytest.mark.parametrize("one", [Place("C024BE91L"), Place("C024BE91L", "1700000000.000100")])
def test_a_place_reads_back_as_it_was_written(one: Place) -> None:
    assert one == place.read(str(one))


def test_a_conversation_names_its_channel() -> None:
    assert "C024BE91L" == place.channel_of(place.conversation("C024BE91L"))
