"""The stable name of a failure: the same fault has the same fingerprint on every day and host.

Used for known incidents and for "new critical error" during a canary. Lines, ids, addresses and the
place where a checkout lies never enter it.
"""

import hashlib

from agents.builtin import templates, traces
from agents.builtin.tracelines import Trace

TOP_FRAMES = 3


def fingerprint(subject: Trace | str) -> str:
    """Return 16 hex digits for a trace (type, top in-app functions,
    masked message) or a message.
    """
    if isinstance(subject, str):
        return digest(None, (), templates.mask(subject))
    frames = [f for f in subject.frames if not traces.vendored(f.path)] or list(subject.frames)
    places = tuple(place(frame) for frame in frames[:TOP_FRAMES])
    return digest(subject.exception, places, templates.mask(subject.message))


def place(frame: traces.Frame) -> str:
    """Return `folder/file.py:function`: enough to tell two files apart, free of where they lie."""
    parts = [part for part in frame.path.replace("\\", "/").split("/") if part]
    return "/".join(parts[-2:]) + ":" + frame.function


def digest(exception: str | None, places: tuple[str, ...], template: str) -> str:
    """Return the fingerprint of parts that have been reduced already."""
    text = "\x1f".join((exception or "", *places, template))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
