"""What was done to a working tree, kept in its git directory, outside of git's sight.

Called by the protocol. A record and the original bytes are on the disk before a file of the tree is
touched, so that any interruption can be undone; a lock lets one hotfix at a time work on a tree.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from agents.hotfix import files
from agents.hotfix.tree import Change, WorkTree
from incidents import errors

PLACE = "halon/hotfix"


class State(StrEnum):
    """What became of one content of a tracker."""

    WRITING = "writing"
    CONTAINED = "contained"
    OFFERED = "offered"  # proved, and left for a person to apply
    NOTHING = "nothing"
    DROPPED = "dropped"
    SHIPPED = "shipped"


IN_PLACE = (State.WRITING, State.CONTAINED, State.SHIPPED)


@dataclass(frozen=True)
class Kept:
    """One changed file: the hashes of both sides, and the name under which the original lies."""

    path: str
    before: str | None
    after: str | None
    original: str
    mode: int
    mtime_ns: int = 0
    folders: tuple[str, ...] = ()  # that were not there before


@dataclass(frozen=True)
class Record:
    """One content of one tracker: what was done, and the report as JSON."""

    key: str
    tracker: str  # the file's path in the tree when it was worked
    state: State
    at: str
    changes: tuple[Kept, ...] = ()
    report: dict[str, object] | None = None
    words: str = ""
    number: int = 0  # the order in which fixes were laid on each other


def digest(content: bytes | None) -> str | None:
    """Return the SHA-256 of a content, None for no file."""
    return None if content is None else hashlib.sha256(content).hexdigest()


@dataclass
class Notebook:
    """The records of one working tree."""

    tree: WorkTree
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder = self.tree.git_dir / PLACE

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the tree for one hotfix; the kernel lets go if we die."""
        self._make()
        with self._open("lock", os.O_RDWR | os.O_CREAT) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def records(self) -> list[Record]:
        """Return every record, oldest first."""
        if not self.folder.is_dir():
            return []
        found = []
        for path in self.folder.glob("*.json"):
            with suppress(errors.PermanentFailure):  # its own files then count as edited
                found.append(self.get(path.stem))
        return sorted((one for one in found if one is not None), key=lambda one: one.number)

    def get(self, key: str) -> Record | None:
        """Return the record of a content."""
        held = self._read(f"{key}.json")
        if held is None:
            return None
        try:
            row = json.loads(held)
            changes = tuple(
                Kept(**one | {"folders": tuple(one.get("folders", ()))})
                for one in row.pop("changes")
            )
            return Record(**row | {"state": State(row["state"]), "changes": changes})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise errors.PermanentFailure(
                f"The record {str(self.folder / key)!r} cannot be read; look at it and remove it."
            ) from error

    def put(self, record: Record) -> Record:
        """Store a record, whole or not at all."""
        self._make()
        number = record.number or 1 + max((one.number for one in self.records()), default=0)
        stored = replace(record, number=number)
        row = {**vars(stored), "changes": [vars(one) for one in stored.changes]}
        self._write(f"{record.key}.json", json.dumps(row, indent=1).encode())
        return stored

    def keep(self, key: str, changes: tuple[Change, ...], patch: str) -> tuple[Kept, ...]:
        """Keep the original bytes of the files and the patch beside the records."""
        self._make()
        kept = []
        for number, change in enumerate(changes):
            name = f"{key}.{number}.before"
            if change.before is not None:
                self._write(name, change.before)
            held = files.read(self.tree.root, change.path)
            kept.append(
                Kept(
                    path=change.path,
                    before=digest(change.before),
                    after=digest(change.after),
                    original=name,
                    mode=held.mode if held else change.mode,
                    mtime_ns=held.state.st_mtime_ns if held else 0,
                    folders=files.absent_folders(self.tree.root, change.path),
                )
            )
        self._write(f"{key}.patch", patch.encode("utf-8", "surrogateescape"))
        return tuple(kept)

    def original(self, kept: Kept) -> bytes | None:
        """Return the bytes that a file had before; raises where they were lost."""
        if kept.before is None:
            return None
        held = self._read(kept.original)
        if digest(held) != kept.before:
            raise errors.PermanentFailure(
                f"The original of {kept.path!r} is not in {str(self.folder)!r} any more; "
                "take the fix out with `git apply -R`."
            )
        return held

    def patch(self, key: str) -> Path:
        """Return the file with the patch, for `git apply`."""
        return self.folder / f"{key}.patch"

    def _make(self) -> None:
        """Make the folder, each step no link, and give it to the repository's owner."""
        place = self.tree.git_dir
        owner = place.stat()
        for name in PLACE.split("/"):
            place = place / name
            try:
                place.mkdir(mode=0o700)
                if os.geteuid() == 0:
                    os.chown(place, owner.st_uid, owner.st_gid)
            except FileExistsError:
                pass
            except OSError as error:
                raise errors.PermanentFailure(
                    f"{str(place)!r} cannot be made ({error.strerror}), so the original could not "
                    "be kept; let this user write there."
                ) from error
            if place.is_symlink() or not place.is_dir():
                raise errors.PermanentFailure(f"{str(place)!r} is no folder of ours; remove it.")

    @contextmanager
    def _open(self, name: str, flags: int) -> Iterator[int]:
        try:
            descriptor = os.open(self.folder / name, flags | files.FILE, 0o600)
        except OSError as error:
            raise self._closed(error) from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _closed(self, error: OSError) -> errors.PermanentFailure:
        return errors.PermanentFailure(
            f"{str(self.folder)!r} cannot be written ({error.strerror}), so the way back could not "
            "be kept; make room there, or let this user write."
        )

    def _read(self, name: str) -> bytes | None:
        held = files.read(self.folder, name) if self.folder.is_dir() else None
        return held.content if held else None

    def _write(self, name: str, content: bytes) -> None:
        aside = f"{name}.new"
        with self._open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as descriptor:
            try:
                if os.geteuid() == 0:
                    owner = self.folder.stat()
                    os.fchown(descriptor, owner.st_uid, owner.st_gid)
                files.write(descriptor, content)
                (self.folder / aside).replace(self.folder / name)
            except OSError as error:
                raise self._closed(error) from error
