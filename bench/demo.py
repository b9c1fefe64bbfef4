"""The demo's clock: from the typed line to CONFIRMED, and the whole life without bakes and people.

`rows()` for `make bench`; plays `guest-crash` for real. The anchor is one bare run of the
service's own tests, which is the least that anyone would do by hand.
"""

import io
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from cli import demo, keyboard
from demo import history

RUNS = 5


def rows() -> list[dict[str, object]]:
    """Return the two figures of the demo."""
    show = demo.Show(Console(file=io.StringIO()), history.Scenario.GUEST_CRASH, True,
                     keyboard.Keys(False))  # fmt: skip
    played = demo.play(show)
    if not played.right or played.confirmed is None:
        raise RuntimeError("the demo did not end as it must")
    bare = _bare_tests()
    whole = _life(played.timeline)
    return [
        {
            "what": "demo: command → CONFIRMED diagnosis in the thread",
            "aim": "< 10 s",
            "value": f"{played.confirmed:.1f} s",
            "anchor": f"the service's own tests once, bare: {bare:.2f} s",
            "ratio": f"{played.confirmed / bare:.1f}",
        },
        {
            "what": "demo: whole life, bakes and humans taken out",
            "aim": "< 60 s",
            "value": f"{whole:.1f} s",
            "anchor": f"the service's own tests once, bare: {bare:.2f} s",
            "ratio": f"{whole / bare:.1f}",
        },
    ]


def _life(timeline: list[dict[str, Any]]) -> float:
    """Return the seconds outside of the rollout's phases, which are bakes and people."""
    at = [datetime.fromisoformat(entry["at"]) for entry in timeline]
    baking = [index for index, entry in enumerate(timeline) if entry["kind"] == "phase"]
    asked = next(i for i, entry in enumerate(timeline) if entry["kind"] == "question")
    before = at[asked] - at[0]
    prepared = at[baking[0]] - at[asked]
    after = at[-1] - at[baking[-1]]
    return (before + prepared + after).total_seconds()


def _bare_tests() -> float:
    """Return the median seconds of the demo service's tests without any sandbox."""
    spent = []
    with tempfile.TemporaryDirectory(prefix="halon-bench-") as name:
        built = history.build(Path(name) / "shop", history.Scenario.GUEST_CRASH, datetime.now(UTC))
        for _ in itertools.repeat(None, RUNS):
            begun = time.monotonic()
            subprocess.run(
                [sys.executable, "-m", "unittest", "-q"],
                cwd=built.repository, check=True, capture_output=True,
            )  # fmt: skip
            spent.append(time.monotonic() - begun)
    return statistics.median(spent)
