"""The order in which `make soak` kills: a new one every time, and its seed is printed."""

import os
import random
import secrets

import pytest

SEED = "HALON_SOAK_SEED"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Shuffle what is soaked; everything else stays where it is."""
    soaked = [at for at, item in enumerate(items) if item.get_closest_marker("soak")]
    if not soaked or "soak" not in str(config.option.markexpr).replace("not soak", ""):
        return
    seed = os.environ.get(SEED) or secrets.token_hex(4)
    shuffled = [items[at] for at in soaked]
    random.Random(seed).shuffle(shuffled)
    for at, item in zip(soaked, shuffled, strict=True):
        items[at] = item
    config.get_terminal_writer().line(f"soak: {SEED}={seed} repeats this order")
