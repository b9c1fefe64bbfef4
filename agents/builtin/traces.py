"""Stack traces read from free text: Python completely, other languages by one table each.

Called by the log triage and the diagnosis. The text is hostile: frames, causes and line lengths are
capped, nothing is opened or executed, and a path counts only once it resolves to a tracked file.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from agents.builtin import languages, pythontraces, tracelines
from agents.builtin.tracelines import Frame, Language, Trace

__all__ = ["Frame", "Language", "Located", "Resolution", "Trace", "parse", "resolve", "vendored"]

MAX_TRACES = 20
VENDOR_DIRS = frozenset(
    {"site-packages", "dist-packages", ".venv", "venv", "virtualenv", "__pypackages__", ".tox"}
    | {"node_modules", "bower_components", "vendor", "third_party", "gems", ".cargo", ".m2"}
)
_STANDARD = re.compile(r"(?:^|/)(?:lib|lib64)/python\d(?:\.\d+)?/|^<|^node:|/usr/lib/|/go/pkg/mod/")


class Resolution(StrEnum):
    """How a frame's path relates to the tracked files."""

    TRACKED = "tracked"
    AMBIGUOUS = "ambiguous"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Located:
    """A frame and the tracked file it lies in; `candidates` are all the files of a tie."""

    frame: Frame
    file: str | None
    resolution: Resolution
    candidates: tuple[str, ...]
    in_app: bool


def parse(text: str) -> tuple[Trace, ...]:
    """Return the traces of a text in the order in which they begin, at most 20."""
    lines = tracelines.clean(text)
    found: list[tuple[int, Trace]] = [*pythontraces.find(lines)]
    taken = {line for start, end, _ in pythontraces.spans(lines) for line in range(start, end)}
    for table in languages.TABLES:
        found += [(at, trace) for at, trace in languages.find(lines, table) if at not in taken]
    found.sort(key=lambda pair: pair[0])
    return tuple(trace for _, trace in found[:MAX_TRACES])


def vendored(path: str) -> bool:
    """Tell whether a path lies in an installed dependency or the language's own library."""
    return bool(VENDOR_DIRS.intersection(path.split("/"))) or bool(_STANDARD.search(path))


def resolve(frames: Sequence[Frame], tracked: Collection[str]) -> tuple[Located, ...]:
    """Map frames to tracked files by the longest common path suffix; a tie is reported,
    not guessed.
    """
    by_name: dict[str, list[str]] = {}
    for file in tracked:
        by_name.setdefault(file.rsplit("/", 1)[-1], []).append(file)
    return tuple(_locate(frame, by_name) for frame in frames)


def _locate(frame: Frame, by_name: dict[str, list[str]]) -> Located:
    parts = _parts(frame)
    candidates = by_name.get(parts[-1], []) if parts else []
    if not candidates or vendored(frame.path):
        return Located(frame, None, Resolution.UNKNOWN, (), in_app=False)
    scored = [(_shared(parts, PurePosixPath(file).parts), file) for file in candidates]
    best = max(score for score, _ in scored)
    winners = tuple(sorted(file for score, file in scored if score == best))
    if len(winners) > 1:
        in_app = not any(vendored(file) for file in winners)
        return Located(frame, None, Resolution.AMBIGUOUS, winners, in_app)
    file = winners[0]
    # A shared base name alone proves nothing if both sides go on to name different folders.
    if best < len(PurePosixPath(file).parts) and best < len(parts) and best == 1:
        return Located(frame, None, Resolution.UNKNOWN, winners, in_app=False)
    return Located(frame, file, Resolution.TRACKED, winners, not vendored(file))


def _parts(frame: Frame) -> tuple[str, ...]:
    path = frame.path.replace("\\", "/")
    if frame.module and "/" not in path:
        path = "/".join([*frame.module.split("."), path])
    parts: list[str] = []
    for part in PurePosixPath(path).parts:
        if part == "..":
            parts = parts[:-1]
        elif part not in ("/", "."):
            parts.append(part)
    return tuple(parts)


def _shared(left: Sequence[str], right: Sequence[str]) -> int:
    count = 0
    for a, b in zip(reversed(left), reversed(right), strict=False):
        if a != b:
            break
        count += 1
    return count
