"""What Telegram takes, counted as Telegram counts: in UTF-16 units, after the marks are parsed.

Used by the renderer and the port. Figures of the Bot API; nothing here knows a message of ours.
"""

from datetime import timedelta

TEXT = 4096
CAPTION = 1024
CALLBACK_BYTES = 64
ANSWER = 200  # of a pressed button
TOPIC = 128
PER_GROUP = 20  # messages in a minute, edits included: the limit that binds
PER_GROUP_IN = timedelta(minutes=1)
EDITS = timedelta(seconds=5)  # one status message is edited no more often


def units(text: str) -> int:
    """Return the length of a text as Telegram counts it."""
    return len(text) + sum(ord(char) > 0xFFFF for char in text)


def cut(text: str, most: int) -> str:
    """Return the longest beginning of a text of at most so many units; no character is halved."""
    if units(text) <= most:
        return text
    taken = 0
    for place, char in enumerate(text):
        taken += 2 if ord(char) > 0xFFFF else 1
        if taken > most:
            return text[:place]
    return text


def shortened(text: str, most: int) -> str:
    """Return a text cut to so many units, with an ellipsis where something is missing."""
    return text if units(text) <= most else f"{cut(text, most - 1).rstrip()}…"
