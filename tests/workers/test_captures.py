"""Hooks that look at the live service: what they say is kept, and none of them can hurt."""

import sys

from incidents.settings import Captures, Service
from workers import captures


def taken(source: str, seconds: float = 10.0) -> tuple[str, str]:
    """Run one hook in Python; return what it said and what was wrong."""
    hooks = Captures(pools=(sys.executable, "-c", source), seconds=seconds)
    service = Service(name="checkout", repository="/nowhere", captures=hooks)
    (found,) = captures.take(service)
    return found.output, found.problem


def test_what_a_hook_prints_is_kept() -> None:
    assert ("7 of 7\n", "") == taken("print('7 of 7')")


def test_a_hook_that_hangs_is_ended() -> None:
    output, problem = taken("import time; time.sleep(60)", seconds=0.5)

    assert ("", True) == (output, "longer than" in problem)


def test_a_hook_that_fails_is_said_so() -> None:
    assert "no such pool" in taken("raise SystemExit('no such pool')")[1]


def test_a_hook_that_is_not_there_is_said_so() -> None:
    service = Service(
        name="checkout", repository="/nowhere", captures=Captures(heap=("/no/such/program",))
    )

    assert "cannot be run" in captures.take(service)[0].problem


def test_without_hooks_nothing_is_taken() -> None:
    assert () == captures.take(Service(name="checkout", repository="/nowhere"))
