"""What a person is told after a command or a vote; the same value for every platform.

Made by `bot.commands`, shown by each platform to the one who spoke. Never goes into the thread:
what everyone should see is a timeline entry.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Said:
    """What became of a command or vote: the sentence for the person, and what to type instead."""

    text: str
    accepted: bool = True
    incident: str | None = None  # INC-n, where the reader should look now
    try_this: str = ""
    choices: tuple[tuple[str, str], ...] = ()  # what a button may offer: its label and its line
