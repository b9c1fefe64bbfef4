"""The table of all faults: one guilty commit each, drawn by kind.

Used by tests/histories.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.history import crashes, results, seams
from tests.history.base import World
from tests.history.fault import Fault

KINDS: dict[str, tuple[Callable[[World], Fault], ...]] = {
    "none": (crashes.none_guest, crashes.none_email, crashes.none_past),
    "key": (crashes.key_product, crashes.key_amounts, crashes.key_sku),
    "type": (crashes.type_setting, crashes.type_signature, crashes.type_lines),
    "value": (
        results.value_rounding,
        results.value_discount,
        results.value_threshold,
        results.value_pages,
    ),
    "config": (seams.config_currency, seams.config_page, seams.config_tax),
    "timeout": (results.timeout_pause, results.timeout_loop, results.timeout_attempts),
    "import": (seams.import_name, seams.import_circle, seams.import_moved),
    "sql": (seams.sql_column, seams.sql_placeholder, seams.sql_quote, seams.sql_table),
    "encoding": (results.encoding,),
    "regex": (results.pattern,),
    "intermittent": (results.sometimes,),
}


def draw_fault(rng: random.Random, world: World, kind: str | None = None) -> Fault:
    """Draw a fault; the eight common kinds are drawn more often than the rest."""
    common = ["none", "key", "type", "value", "config", "timeout", "import", "sql"]
    chosen = kind or rng.choice(common * 3 + ["encoding", "regex", "intermittent"])
    return rng.choice(KINDS[chosen])(world)
