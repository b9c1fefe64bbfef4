"""Log messages reduced to templates: what varies becomes `<*>`, what identifies stays.

Called by the log scanner for every message it has not seen before. The masks are a fixed table in a
fixed order; no pattern is ever built from a message, and each takes linear time on any input.
"""

import re

MASK = "<*>"
MAX_LENGTH = 4096  # of a message; what lies beyond cannot make two templates differ

# An exception's dotted type also looks like a host name: it is set aside before masking.
EXCEPTION = re.compile(
    r"(?<![\w.])(?:[A-Za-z_]\w{0,79}\.){0,8}[A-Z]\w{0,79}?"
    r"(?:Error|Exception|Warning|Interrupt|ExceptionGroup|Exit|StopIteration|NotFound|Timeout)\b"
)

# In this order; possessive and anchored forms, so that no input makes one of them quadratic.
MASKS: tuple[re.Pattern[str], ...] = (
    re.compile(r"\"[^\"]*+\"|'[^']*+'"),
    re.compile(r"(?:(?<=[\s=:(\[\"])|^)/[\w.$%~+-]++(?:/[\w.$%~+:*<>-]*+)++"),
    re.compile(r"(?<==)[^\s,;\])]++"),
    re.compile(r"(?<![\w*<>-])[\w*<>-]++(?:\.[\w*<>-]++){2,}+(?::\S++)?"),
    re.compile(r"(?<!\S)[^\s\d]*+\d\S*+"),
)
RUN = re.compile(r"<\*>(?:[\s,]*+<\*>)++")
SPACE = re.compile(r"\s+")

# Colours and cursor movements (ECMA-48 CSI, OSC), then every control character but the tab.
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*+[ -/]*+[@-~]?|\][^\x07\x1b]*+(?:\x07|\x1b\\)?|[@-Z\\-_])?")
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")

_KEEP = "\x00"


def mask(text: str | bytes) -> str:
    """Return the template of one message; the exception types in it stay readable."""
    message = plain(text)
    kept = EXCEPTION.findall(message)
    if kept:
        message = EXCEPTION.sub(_KEEP, message)
    for pattern in MASKS:
        message = pattern.sub(MASK, message)
    message = SPACE.sub(" ", RUN.sub(MASK, message)).strip()
    pieces = message.split(_KEEP)
    if len(pieces) != len(kept) + 1:  # one lay inside something that was masked as a whole
        return message.replace(_KEEP, MASK)
    return "".join(piece + name for piece, name in zip(pieces, [*kept, ""], strict=True))


def plain(text: str | bytes, limit: int = MAX_LENGTH) -> str:
    """Return printable text: decoded leniently, without terminal escapes and control characters."""
    if isinstance(text, bytes):
        text = text[: 4 * limit].decode("utf-8", "replace")
    text = text[:limit]
    if text.isascii() and text.isprintable():
        return text
    return CONTROLS.sub("", ESCAPES.sub("", text).replace("\n", " ").replace("\r", " "))


def find_exception(text: str) -> str | None:
    """Return the last exception type named in a message, if there is one."""
    found = EXCEPTION.findall(text[:MAX_LENGTH])
    return found[-1] if found else None
