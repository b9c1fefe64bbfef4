"""The working tree that a tracker lies in: where it is, what it holds, and what forbids a write.

Called by the protocol. Git is only asked, and never with the repository's own settings, hooks or
filters; the index is read, never refreshed.
"""

from dataclasses import dataclass
from pathlib import Path

from agents import git, gitcalls, gitplaces
from agents.hotfix import files
from incidents import errors


class NoTree(errors.PermanentFailure):
    """The tracker lies in no working tree of git that could be worked in."""


@dataclass(frozen=True)
class WorkTree:
    """One working tree and its git directory; both are real paths."""

    root: Path
    git_dir: Path

    def inside(self, path: Path) -> str:
        """Return a path of the tree as git names it."""
        return path.relative_to(self.root).as_posix()

    def tracks(self, path: str) -> bool:
        """Tell whether git's index knows a file."""
        return bool(self.index_entry(path))

    def index_entry(self, path: str) -> str:
        """Return the blob that the index holds for a path, an empty text for none."""
        answer = gitcalls.call(["ls-files", "-s", "-z", "--", path], git_dir=self.git_dir)
        rows = [gitcalls.decoded(row) for row in answer.out.split(b"\0") if row]
        exact = [row for row in rows if row.partition("\t")[2] == path]
        return exact[0].split()[1] if exact else ""

    @property
    def locked(self) -> bool:
        """Tell whether git is changing the index, and files with it, in this moment."""
        return (self.git_dir / "index.lock").exists()

    @property
    def unfinished(self) -> str | None:
        """Name the merge, rebase or the like that somebody is in the middle of."""
        return gitplaces.unfinished(self.git_dir)


def find(path: Path) -> WorkTree:
    """Return the working tree that a file lies in; raises NoTree and says why there is none."""
    for folder in path.parents:
        marker = folder / ".git"
        if marker.is_symlink() or marker.exists():
            return WorkTree(folder, gitplaces.find(folder))
        if (folder / "HEAD").is_file() and (folder / "objects").is_dir():
            raise NoTree(
                f"{str(folder)!r} is a bare repository: it has no files to mend. Put the file into "
                "a clone of it, or use `/hotfix` in the chat."
            )
    raise NoTree(
        f"{str(path.parent)!r} lies in no git repository, so nothing could be taken back. Put the "
        "file into `tasks/hotfix/` of the service's clone."
    )


def open_repository(tree: WorkTree) -> git.Repository:
    """Open the tree's repository, to be closed by the caller; raises for one without commits."""
    repository = git.Repository(tree.root)
    try:
        repository.head()
    except errors.HalonError:
        repository.close()
        raise
    return repository


@dataclass(frozen=True)
class Change:
    """One file of a fix: what stands there now and what shall; None where there is no file."""

    path: str
    before: bytes | None
    after: bytes | None
    mode: int = 0o644


@dataclass(frozen=True)
class Planned:
    """The changes of a fix as this tree needs them, or the paths that hold somebody's edits."""

    changes: tuple[Change, ...]
    edited: tuple[str, ...] = ()


def plan(tree: WorkTree, repository: git.Repository, base: str, diff: str) -> Planned:
    """Compare what a fix changes with what lies on the disk and in the index.

    `base` is the revision or tree that the fix was made for.
    """
    new = repository.apply(base, diff)
    changes: list[Change] = []
    edited: list[str] = []
    for item in repository.diff_trees(base, new):
        before, after = repository.show(base, item.path), repository.show(new, item.path)
        plain = item.new_mode in ("100644", "100755", "000000")
        if not plain or (
            before is not None and after is not None and item.old_mode != item.new_mode
        ):
            raise errors.PermanentFailure(f"The fix changes the kind of {item.path!r}.")
        try:
            held = files.read(tree.root, item.path)
        except files.NoFile:
            edited.append(item.path)
            continue
        found = _fitting(before, after, held.content if held else None)
        if found is None or _staged(tree, item, repository):
            edited.append(item.path)
            continue
        mode = 0o755 if item.new_mode == "100755" else 0o644
        changes.append(Change(item.path, found[0], found[1], mode))
    return Planned(tuple(changes), tuple(edited))


def _fitting(
    before: bytes | None, after: bytes | None, here: bytes | None
) -> tuple[bytes | None, bytes | None] | None:
    """Return what is to be replaced by what, where the disk holds the base in its line ends."""
    if here == before:
        return before, after
    if before is None or here is None:
        return None
    if here == _windows(before):  # checked out so by an attribute or a setting of the clone
        return here, None if after is None else _windows(after)
    return None


def _windows(content: bytes) -> bytes:
    return content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _staged(tree: WorkTree, item: git.Change, repository: git.Repository) -> bool:
    """Tell whether the index holds something of its own for a path."""
    entry = tree.index_entry(item.path)
    head = repository.run("ls-tree", "-z", repository.tree_of(repository.head()), "--", item.path)
    row = gitcalls.decoded(head.out).rstrip("\0").partition("\t")[0].split()
    return entry != (row[2] if len(row) == 3 else "")
