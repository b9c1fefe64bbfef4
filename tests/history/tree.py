"""The files of an invented project while its history is being written, and the edits made to them.

Used by tests/histories.py and its tables of faults, innocents and everyday commits. An edit that
does not find its place raises Misplaced: a history is never made of edits that did nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

Edit = Callable[["Tree"], None]


class Misplaced(Exception):
    """An edit found no place, or more than one, in the files as they are now."""


@dataclass
class Tree:
    """Path -> text, with the modules that were renamed on the way (old name -> new name)."""

    files: dict[str, str]
    renamed: dict[str, str] = field(default_factory=dict)

    def copy(self) -> Tree:
        """Return an independent copy."""
        return Tree(dict(self.files), dict(self.renamed))

    def current(self, text: str) -> str:
        """Return the text with every module called as it is called now."""
        for old, new in self.renamed.items():
            text = re.sub(rf"\b{old}\b", new, text)
        return text


def swap(path: str, old: str, new: str) -> Edit:
    """Replace the only occurrence of `old` in a file."""

    def edit(tree: Tree) -> None:
        where, before = tree.current(path), tree.current(old)
        if tree.files.get(where, "").count(before) != 1:
            raise Misplaced(f"{where}: {before!r}")
        tree.files[where] = tree.files[where].replace(before, tree.current(new))

    return edit


def put(path: str, text: str) -> Edit:
    """Create a file that is not there yet."""

    def edit(tree: Tree) -> None:
        where = tree.current(path)
        if where in tree.files:
            raise Misplaced(f"{where} exists")
        tree.files[where] = tree.current(text)

    return edit


def drop(path: str) -> Edit:
    """Delete a file."""

    def edit(tree: Tree) -> None:
        where = tree.current(path)
        if where not in tree.files:
            raise Misplaced(f"{where} is missing")
        del tree.files[where]

    return edit


def append(path: str, text: str) -> Edit:
    """Add text at the end of a file."""

    def edit(tree: Tree) -> None:
        where = tree.current(path)
        if where not in tree.files:
            raise Misplaced(f"{where} is missing")
        tree.files[where] += tree.current(text)

    return edit


def setting(path: str, key: str, value: str) -> Edit:
    """Give a key of the configuration file (JSON, INI or TOML, one key per line) another value."""

    def edit(tree: Tree) -> None:
        line = re.compile(rf'^(\s*"?{key}"?\s*[:=]\s*"?)([^",\n]*)', re.MULTILINE)
        text, found = line.subn(lambda match: match[1] + value, tree.files[path])
        if found != 1 or text == tree.files[path]:
            raise Misplaced(f"{path}: {key}")
        tree.files[path] = text

    return edit


def all_of(*edits: Edit) -> Edit:
    """Make several edits in one commit."""

    def edit(tree: Tree) -> None:
        for each in edits:
            each(tree)

    return edit


def rename_module(package: str, old: str, new: str) -> Edit:
    """Rename a module and every mention of it."""

    def edit(tree: Tree) -> None:
        where = f"{package}/{tree.current(old)}.py"
        if where not in tree.files:
            raise Misplaced(f"{where} is missing")
        tree.renamed[old] = new
        tree.files = {
            tree.current(path): tree.current(text) if path.endswith(".py") else text
            for path, text in tree.files.items()
        }

    return edit


def behind_a_shim(package: str, module: str, into: str, names: list[str]) -> Edit:
    """Move a module's code to a new one and leave the old name as a list of imports."""

    def edit(tree: Tree) -> None:
        old, new = f"{package}/{module}.py", f"{package}/{into}.py"
        if old not in tree.files or new in tree.files:
            raise Misplaced(old)
        tree.files[new] = tree.files[old]
        lines = "".join(f"    {name},\n" for name in names)
        tree.files[old] = (
            f'"""Kept for old imports; the code is in {into}."""\n\n'
            f"from .{into} import (  # noqa: F401\n{lines})\n"
        )

    return edit


def requote(path: str, spare: set[str]) -> Edit:
    """Change double quotes to single ones, a formatter's commit; lines in `spare` stay."""

    def edit(tree: Tree) -> None:
        where = tree.current(path)
        lines = tree.files[where].split("\n")
        kept = {tree.current(line) for line in spare}
        quiet = [
            line
            if line in kept or "'" in line or '"""' in line or "\\" in line or "{" in line
            else line.replace('"', "'")
            for line in lines
        ]
        if quiet == lines:
            raise Misplaced(f"{where}: nothing to format")
        tree.files[where] = "\n".join(quiet)

    return edit
