"""The fixes that lie in a working tree on top of each other, and how one is taken out again.

Called by the protocol under the tree's lock. Every file is looked at before the first is touched;
an edit that somebody made since is never lost, and what a fix brought, folders too, goes with it.
"""

import contextlib
import shlex

from agents.hotfix import files
from agents.hotfix.notebook import IN_PLACE, Notebook, Record, State, digest
from agents.hotfix.tree import Change, WorkTree
from incidents import errors


def in_place(here: WorkTree, notes: Notebook, but: str = "") -> dict[str, bytes]:
    """Return the files of earlier fixes as they lie in the tree, as long as they are only ours."""
    found: dict[str, bytes] = {}
    for record in notes.records():
        if record.state not in (State.CONTAINED, State.SHIPPED) or record.key == but:
            continue
        for kept in record.changes:
            with contextlib.suppress(errors.HalonError):
                held = files.read(here.root, kept.path)
                if held is not None and digest(held.content) == kept.after:
                    found[kept.path] = held.content
    return found


def take_out(here: WorkTree, notes: Notebook, record: Record) -> None:
    """Put the originals back; looks at every file before it touches the first."""
    waiting: list[Change] = []
    for kept in record.changes:
        held = files.read(here.root, kept.path)
        there = digest(held.content) if held else None
        if there == kept.before:
            continue
        if there != kept.after:
            raise errors.WrongState(_edited_since(notes, record, kept.path))
        waiting.append(
            Change(kept.path, held.content if held else None, notes.original(kept), kept.mode)
        )
    for change in waiting:
        files.replace(here.root, change.path, change.before, change.after, change.mode)
    remove_folders(here, record)


def remove_folders(here: WorkTree, record: Record) -> None:
    """Remove the folders that a fix brought, innermost first; one with a file in it stays."""
    brought = {folder for kept in record.changes for folder in kept.folders}
    for folder in sorted(brought, key=len, reverse=True):
        files.remove_folder(here.root, folder)


def _edited_since(notes: Notebook, record: Record, path: str) -> str:
    later = [
        one.tracker
        for one in notes.records()
        if one.number > record.number
        and one.state in IN_PLACE
        and any(kept.path == path for kept in one.changes)
    ]
    if later:
        return f"{later[-1]} was laid on top of it in {path!r}: drop that one first."
    patch = shlex.quote(str(notes.patch(record.key)))
    return (
        f"{path!r} was edited since the fix was written, and those edits are not ours to lose. "
        f"`git apply -R {patch}` takes out the fix alone."
    )
