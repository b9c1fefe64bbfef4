"""One line of `halon doctor`: what was looked at, how it stands, and how to mend it.

Made by the checks in cli/machine.py and cli/services.py, shown by cli/doctor.py. Never holds a
secret: addresses go through `shown`.
"""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit, urlunsplit


class State(StrEnum):
    """How something stands; only WRONG keeps Halon from working as it is set up."""

    FINE = "fine"
    WRONG = "wrong"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """What one check found; `mend` is one sentence, empty where nothing is to be done."""

    what: str
    state: State
    said: str
    mend: str = ""


def fine(what: str, said: str) -> Finding:
    """Return a finding with nothing to be done."""
    return Finding(what, State.FINE, said)


def wrong(what: str, said: str, mend: str) -> Finding:
    """Return a finding that keeps something from working."""
    return Finding(what, State.WRONG, said, mend)


def note(what: str, said: str, mend: str = "") -> Finding:
    """Return a finding that a person should know of and that stops nothing."""
    return Finding(what, State.NOTE, said, mend)


def shown(address: str) -> str:
    """Return an address without user, password and query, as it may be printed."""
    try:
        parts = urlsplit(address)
        if not parts.netloc:
            return address
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    except ValueError:
        return "an address that cannot be read"
