"""One thing that `halon doctor` looked at in a chat; the same value for every platform.

Made by each platform's check.py, shown by cli/chats.py. No token is ever part of it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Seen:
    """One thing that was looked at; `mend` is empty where nothing is to be done."""

    what: str
    said: str
    mend: str = ""
