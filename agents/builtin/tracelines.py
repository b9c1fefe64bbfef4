"""The values of a stack trace, and the lines they are read from, freed of what loggers add to them.

Used by the parsers of all languages. Never longer than its caps, whatever the text.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

MAX_FRAMES = 200
MAX_CHAINED = 5
MAX_LINE = 4096
MAX_LINES = 20_000

_ESCAPES = re.compile(r"\x1b\[[0-?]*+[ -/]*+[@-~]?")
# Seen only where a trace was written as one JSON string and not decoded: `\n` as two characters.
_ESCAPED = re.compile(r"Traceback \(most recent call last\):\\n|\\n\\tat |\\n {4}at |\\n {2}File ")


class Language(StrEnum):
    """The languages whose traces are read."""

    PYTHON = "python"
    JAVA = "java"
    JAVASCRIPT = "javascript"
    GO = "go"
    RUBY = "ruby"


@dataclass(frozen=True, slots=True)
class Frame:
    """One call: `line` counts from 1; `module` is the package where the language gives no
    folder.
    """

    path: str
    line: int
    function: str
    module: str | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """One exception; `frames` are newest first, `chained` its causes, the nearest first."""

    language: Language
    exception: str
    message: str
    frames: tuple[Frame, ...]
    chained: tuple["Trace", ...] = ()


def clean(text: str) -> list[str]:
    """Return the lines of a text: escaped line ends undone, colours removed, lengths capped."""
    if _ESCAPED.search(text):
        text = text.replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"')
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    return [line[:MAX_LINE].rstrip("\r") for line in text.split("\n", MAX_LINES)[:MAX_LINES]]
