"""Finds a repository on disk and makes the private git directory beside it. Used by agents/git.py.

It must never write into the repository, and never copy a word of its configuration.
"""

import shutil
from pathlib import Path

from incidents import errors

BEGUN = {
    "MERGE_HEAD": "a merge",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
}


class RepositoryUnreadable(errors.PermanentFailure):
    """The folder is no git repository, or git cannot read it."""


def find(path: Path) -> Path:
    """Find the git directory without git's own search, which files of a repository can mislead."""
    start = path.resolve()
    if not start.is_dir():
        raise RepositoryUnreadable(
            f"There is no folder {str(path)!r}; check the repository's path."
        )
    if (start / "HEAD").is_file() and (start / "objects").is_dir():
        return start
    for folder in (start, *start.parents):
        marker = folder / ".git"
        if marker.is_dir():
            return marker
        if marker.is_file():
            target = marker.read_text(errors="replace").removeprefix("gitdir:").strip()
            return (folder / target).resolve()
    raise RepositoryUnreadable(
        f"The folder {str(path)!r} is not a git repository; give the folder that holds `.git`."
    )


def unfinished(git_dir: Path) -> str | None:
    """Name the merge or the like that was begun in a work tree and not ended."""
    return next((what for name, what in BEGUN.items() if (git_dir / name).exists()), None)


def make_private(folder: Path, common_dir: Path, object_format: str) -> None:
    """Make a bare git directory that borrows a repository's objects, with settings of its own."""
    (folder / "objects" / "info").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "HEAD").write_text("ref: refs/heads/none\n")
    version, extension = "0", ""
    if object_format != "sha1":
        version, extension = "1", f"[extensions]\n\tobjectFormat = {object_format}\n"
    (folder / "config").write_text(
        f"[core]\n\trepositoryformatversion = {version}\n\tbare = true\n{extension}"
    )
    (folder / "objects" / "info" / "alternates").write_text(f"{common_dir / 'objects'}\n")
    if (common_dir / "shallow").is_file():
        shutil.copy(common_dir / "shallow", folder / "shallow")
