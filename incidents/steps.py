"""Steps and effects of a stage run: what makes a rerun go on instead of starting again.

A finished step is never run again for the same inputs. An outside effect is written down before it
is made and looked up outside before it is repeated. Called by stages with the fence they claimed.
"""

from collections.abc import Callable
from typing import Any

from incidents.models import Json
from incidents.store import Store


class Steps:
    """The steps of one claimed run; each raises `errors.Cancelled` or `errors.StaleFence` first."""

    def __init__(self, store: Store, run_id: int, fence: int) -> None:
        raise NotImplementedError

    def step(self, name: str, inputs: Json, fn: Callable[[], Any]) -> Any:
        """Return the stored JSON output of a finished step, else run `fn` and record its output."""
        raise NotImplementedError

    def effect(self, key: str, act: Callable[[], str], look: Callable[[], str | None]) -> str:
        """Make an outside effect once and return its external reference; `look` finds one already made."""
        raise NotImplementedError
