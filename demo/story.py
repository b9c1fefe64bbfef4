"""Reads the history of the demo service (`story/*.txt`) and the bugs to plant in it (`bugs/*.txt`).

Called by `history`, and by tests that want another bug. The form of the files is told in the README
of each folder; a file that breaks it is a `StoryError`, never half read.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
UNITS = {"d": "days", "h": "hours", "m": "minutes"}


class StoryError(Exception):
    """A history that cannot be built as it is written."""


@dataclass(frozen=True)
class Edit:
    """One replacement in one file; `before` and `after` must each occur exactly once."""

    path: str
    before: str
    after: str


@dataclass(frozen=True)
class Step:
    """One commit: its age when the demo starts, its message, what it adds and edits."""

    slug: str
    age: timedelta
    message: str
    deployed: bool
    added: tuple[str, ...]
    edits: tuple[Edit, ...]


@dataclass(frozen=True)
class Bug:
    """A fault that `culprit` brings: edits by commit, the exception, and requests that raise it."""

    name: str
    about: str
    culprit: str
    exception: str
    triggers: tuple[dict[str, object], ...]
    plants: tuple[tuple[str, Edit], ...]  # (commit, edit): in force from that commit on


def read_steps() -> tuple[Step, ...]:
    """Return the commits, oldest first."""
    return tuple(_step(path) for path in sorted((FOLDER / "story").glob("*.txt")))


def read_bug(name: str) -> Bug:
    """Return the bug of `bugs/NAME.txt`."""
    path = FOLDER / "bugs" / f"{name}.txt"
    if not path.is_file():
        raise StoryError(f"no bug {name!r}; there are: {', '.join(bug_names())}")
    about, culprit, exception, commit = "", "", "", ""
    triggers: list[dict[str, object]] = []
    plants: list[tuple[str, Edit]] = []
    parts = _parts(path)
    for word, value, text in parts:
        match word:
            case "about":
                about = text.strip()
            case "culprit":
                culprit = value
            case "exception":
                exception = value
            case "trigger":
                triggers.append(json.loads(value))
            case "in":
                commit = value
            case "edit":
                plants.append((commit, _edit(path, value, parts)))
            case _:
                raise StoryError(f"{path.name}: what is %{word}?")
    return Bug(name, about, culprit, exception, tuple(triggers), tuple(plants))


def bug_names() -> tuple[str, ...]:
    """Return the names of all bugs that can be planted."""
    return tuple(sorted(path.stem for path in (FOLDER / "bugs").glob("*.txt")))


def _step(path: Path) -> Step:
    age, message, deployed = timedelta(0), "", True
    added: list[str] = []
    edits: list[Edit] = []
    parts = _parts(path)
    for word, value, text in parts:
        match word:
            case "age":
                age = timedelta(**{UNITS[value[-1]]: float(value[:-1])})
            case "deployed":
                deployed = value == "yes"
            case "message":
                message = text
            case "add":
                added.append(value)
            case "edit":
                edits.append(_edit(path, value, parts))
            case _:
                raise StoryError(f"{path.name}: what is %{word}?")
    return Step(path.stem.partition("-")[2], age, message, deployed, tuple(added), tuple(edits))


def _edit(path: Path, target: str, parts: Iterator[tuple[str, str, str]]) -> Edit:
    sides = [next(parts, ("", "", "")) for _ in range(2)]
    if [word for word, _, _ in sides] != ["before", "after"]:
        raise StoryError(f"{path.name}: %edit {target} needs %before and %after")
    return Edit(target, before=sides[0][2], after=sides[1][2])


def _parts(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (instruction, its value, the lines below it)."""
    instruction: str | None = None
    text: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.startswith("%"):
            text.append(line)
            continue
        if instruction is not None:
            yield *_split(instruction), "".join(text)
        instruction, text = line, []
    if instruction is not None:
        yield *_split(instruction), "".join(text)


def _split(instruction: str) -> tuple[str, str]:
    word, _, value = instruction[1:].strip().partition(" ")
    return word, value
