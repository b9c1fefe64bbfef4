"""Reads what git prints into values, and writes a single object. Used by agents/git.py.

Everything parsed here was written by strangers: only separators that cannot occur in a message or a
file name are trusted.
"""

import hashlib
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from agents import gitcalls
from incidents import errors

# NUL ends a record; a subject holds no newline, and it comes last.
LOG_FORMAT = "%H%n%P%n%at%n%ct%n%s"
HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", re.MULTILINE)
BLAME_HEAD = re.compile(r"^([0-9a-f]{40,64}) (\d+) (\d+)(?: \d+)?$")


@dataclass(frozen=True)
class Commit:
    """One commit; times are UTC, `paths` those changed against its first parent."""

    sha: str
    parents: tuple[str, ...]
    authored_at: datetime
    committed_at: datetime
    subject: str
    paths: tuple[str, ...] = ()

    @property
    def is_merge(self) -> bool:
        """Tell whether the commit has more than one parent."""
        return len(self.parents) > 1


@dataclass(frozen=True)
class Change:
    """One path that differs; kind is git's letter: A added, M modified, D deleted, T type."""

    path: str
    kind: str
    old_mode: str
    new_mode: str


@dataclass(frozen=True)
class BlameLine:
    """Who last changed one line; `older` means: before the window that was searched."""

    line: int
    sha: str
    original_line: int
    text: str
    older: bool = False


@dataclass(frozen=True)
class Reverted:
    """One commit taken out of a revision: the new tree, or why there is none."""

    tree: str | None
    conflicts: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Tag:
    """One tag and the commit it names."""

    name: str
    sha: str
    at: datetime


def commits(raw: bytes) -> list[Commit]:
    """Read `git log -z` in LOG_FORMAT."""
    found = []
    for record in raw.split(b"\0"):
        if not record.strip():
            continue
        sha, parents, authored, committed, subject = record.decode(errors="replace").split("\n", 4)
        found.append(
            Commit(
                sha=sha,
                parents=tuple(parents.split()),
                authored_at=datetime.fromtimestamp(int(authored), UTC),
                committed_at=datetime.fromtimestamp(int(committed), UTC),
                subject=subject.strip(),
            )
        )
    return found


def with_paths(known: Sequence[Commit], raw: bytes) -> list[Commit]:
    """Add the paths from `diff-tree --stdin --raw -z`, whose shas come in the order of `known`."""
    paths: dict[str, list[str]] = {commit.sha: [] for commit in known}
    current: list[str] = []
    tokens = iter(raw.split(b"\0"))
    for token in tokens:
        # A path always follows a token that opens with a colon, so it is never taken for a sha.
        if token.startswith(b":"):
            current.append(gitcalls.decoded(next(tokens)))
        elif token.strip():
            current = paths[token.decode().strip()]
    return [replace(commit, paths=tuple(paths[commit.sha])) for commit in known]


def changes(raw: bytes) -> list[Change]:
    """Read `diff-tree --raw -z` without renames."""
    found = []
    tokens = iter(raw.split(b"\0"))
    for token in tokens:
        if token.startswith(b":"):
            old_mode, new_mode, _, _, kind = token[1:].decode().split()
            found.append(Change(gitcalls.decoded(next(tokens)), kind[0], old_mode, new_mode))
    return found


def hunks(diff: str) -> tuple[tuple[range, range], ...]:
    """Read the line ranges of a diff of one file without context."""
    found = []
    for match in HUNK.finditer(diff):
        old, old_count, new, new_count = (1 if g is None else int(g) for g in match.groups())
        # With no lines on one side git names the line before; the range is then empty behind it.
        old, new = old + (old_count == 0), new + (new_count == 0)
        found.append((range(old, old + old_count), range(new, new + new_count)))
    return tuple(found)


def blamed(raw: bytes) -> list[BlameLine]:
    """Read `git blame --porcelain`."""
    found: list[BlameLine] = []
    older: set[str] = set()
    sha, original, line = "", 0, 0
    for text in raw.decode(errors="replace").split("\n"):
        if text.startswith("\t"):
            found.append(BlameLine(line, sha, original, text[1:], sha in older))
        elif match := BLAME_HEAD.match(text):
            sha, original, line = match[1], int(match[2]), int(match[3])
        elif text == "boundary":
            older.add(sha)
    return found


def write_object(git_dir: Path, algorithm: str, kind: str, content: bytes) -> str:
    """Write one loose object into a private git directory and give its sha."""
    raw = f"{kind} {len(content)}\0".encode() + content
    sha = hashlib.new(algorithm, raw, usedforsecurity=False).hexdigest()
    path = git_dir / "objects" / sha[:2] / sha[2:]
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zlib.compress(raw, 1))
    return sha


def check_path(path: str) -> None:
    """Refuse a path that is not plainly inside a tree; ToolRefused says why."""
    parts = path.split("/")
    if not path or "\0" in path or any(p in ("", ".", "..") for p in parts):
        raise errors.ToolRefused(f"The path {path!r} is not a plain path inside the repository.")
    if any(part.lower().rstrip(". ") in (".git", "git~1") for part in parts):
        raise errors.ToolRefused(f"The path {path!r} belongs to git itself and is never written.")
