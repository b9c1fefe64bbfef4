"""What was tried already in an incident: nobody makes the same experiment twice.

Read by the engines when they play production-fixer. An experiment's key names what is changed and
on what; it never holds the text of a log.
"""

import hashlib
from collections.abc import Iterable

from agents.case import Attempt
from incidents import errors


class Repeated(errors.ToolRefused):
    """The same experiment was finished before; the agent has to think of another one."""


class Notebook:
    """The experiments of an incident: those of earlier runs, and those begun in this one."""

    def __init__(self, attempts: Iterable[Attempt]) -> None:
        self._done = {key: item.what for item in attempts for key in item.keys}

    def begin(self, key: str) -> None:
        """Begin an experiment; raises `Repeated` for one that was begun or finished before."""
        if key in self._done:
            raise Repeated(
                f"This was tried before ({self._done[key]}); change another variable, "
                "or say what you would have to know."
            )
        self._done[key] = "earlier in this run"


def key(what: str, *parts: object) -> str:
    """Return the key of an experiment: what is changed, and a digest of everything that is kept."""
    text = "\0".join(str(part) for part in parts)
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{what}:{digest[:16]}"
