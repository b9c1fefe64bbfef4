"""What tokens cost: list prices that come with Halon, or those that the settings name.

Used by the loop before and after each question. A model without a known price is never asked: a
budget that cannot count is none.
"""

import functools
import importlib
import json
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal, InvalidOperation
from typing import Any

from agents.model import Usage
from incidents import errors

SETTING = "HALON_MODEL_PRICES"
MILLION = Decimal(1_000_000)
MILLIONTH = Decimal("0.000001")  # what the store counts in
PROVIDER = "anthropic"
# How a vendor's cache is priced where only the two main prices are named.
READ_SHARE, WRITE_SHARE = Decimal("0.1"), Decimal("1.25")


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal

    def of(self, usage: Usage) -> Decimal:
        """Return the dollars of a reply."""
        sum_ = (
            usage.fresh * self.input
            + usage.cache_read * self.cache_read
            + usage.cache_write * self.cache_write
            + usage.output * self.output
        )
        return _rounded(sum_ / MILLION)


class Prices:
    """Prices by model; `named` is the JSON of the setting, which goes before the list's."""

    def __init__(self, named: str = "") -> None:
        self._named = _parsed(named) if named.strip() else {}

    def cost(self, model: str, usage: Usage) -> Decimal:
        """Return the dollars of a reply; raises BadSettings for a model without a price."""
        if model in self._named:
            return self._named[model].of(usage)
        listed = _listed()
        counted = listed.Usage(
            input_tokens=usage.input,
            cache_read_tokens=usage.cache_read,
            cache_write_tokens=usage.cache_write,
            output_tokens=usage.output,
        )
        try:
            found = listed.calc_price(counted, model, provider_id=PROVIDER)
        except LookupError as error:
            raise errors.BadSettings(
                f"No price is known for the model {model!r}, so it is not asked; name it in "
                f'{SETTING}, such as {{"{model}": {{"input": 3, "output": 15}}}} '
                "(dollars per million tokens), or choose another model."
            ) from error
        return _rounded(Decimal(found.total_price))

    def check(self, model: str) -> None:
        """Raise BadSettings for a model without a price."""
        self.cost(model, Usage())


@functools.cache
def _listed() -> Any:
    """Load the price list when a model is used at all: it takes a fifth of a second."""
    return importlib.import_module("genai_prices")


def _rounded(dollars: Decimal) -> Decimal:
    """Return dollars in millionths, rounded up: a budget must not be outrun by rounding."""
    return dollars.quantize(MILLIONTH, ROUND_UP)


def _parsed(text: str) -> dict[str, Price]:
    try:
        rows = json.loads(text, parse_float=Decimal, parse_int=Decimal)
        return {str(model): _price(row) for model, row in rows.items()}
    except (ValueError, TypeError, KeyError, AttributeError, InvalidOperation) as error:
        raise errors.BadSettings(
            f"{SETTING} is no table of prices ({error}); write it such as "
            '{"my-model": {"input": 3, "output": 15}} in dollars per million tokens.'
        ) from error


def _price(row: dict[str, Decimal]) -> Price:
    into, out = Decimal(row["input"]), Decimal(row["output"])
    price = Price(
        into,
        out,
        Decimal(row.get("cache_read", into * READ_SHARE)),
        Decimal(row.get("cache_write", into * WRITE_SHARE)),
    )
    if min(into, out, price.cache_read, price.cache_write) < 0 or set(row) - PRICE_NAMES:
        raise ValueError(f"a price has {', '.join(sorted(PRICE_NAMES))}, none below zero")
    return price


PRICE_NAMES = frozenset({"input", "output", "cache_read", "cache_write"})
