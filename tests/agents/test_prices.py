"""What tokens cost: by the list, by the settings, and never for nothing."""

from decimal import Decimal

import pytest

from agents.model import Usage
from agents.prices import Prices
from incidents import errors


def test_cached_tokens_are_billed_apart() -> None:
    usage = Usage(fresh=1000, cache_read=10_000, cache_write=2000, output=500)

    # $4, $0.20, $5 and $20 per million
    assert Decimal("0.026") == Prices().cost("claude-opus-5-5", usage)


def test_a_price_of_the_settings_goes_before_the_list() -> None:
    prices = Prices('{"claude-opus-5-5": {"input": 1, "output": 2}, "own": {"input": 3, '
                    '"output": 15, "cache_read": 0.5, "cache_write": 4}}')  # fmt: skip

    assert Decimal("0.000102") == prices.cost("claude-opus-5-5", Usage(fresh=100, output=1))
    assert Decimal("4.5") == prices.cost("own", Usage(cache_read=10**6, cache_write=10**6))


def test_an_unknown_model_fails_closed_and_names_the_setting() -> None:
    with pytest.raises(errors.BadSettings, match=r"'mystery'.*HALON_MODEL_PRICES"):
        Prices().check("mystery")


@pytest.mark.parametrize(
    "text",
    ["nonsense", "[]", '{"m": 3}', '{"m": {"input": 1}}', '{"m": {"input": -1, "output": 1}}',
     '{"m": {"input": 1, "output": 1, "typo": 1}}', '{"m": {"input": "x", "output": 1}}'],
)  # fmt: skip
def test_prices_that_cannot_be_read_are_a_mistake_of_the_settings(text: str) -> None:
    with pytest.raises(errors.BadSettings, match="HALON_MODEL_PRICES"):
        Prices(text)
