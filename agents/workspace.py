"""Lends clean folders that hold exactly one tree of a repository, to run its code in.

Used by the engines and the test stage. The folders hold no `.git`; they are kept warm, so that the
next tree costs only the files that differ. A folder that ran code is never trusted: before each use
everything unknown is removed and everything changed is written anew. Nothing outside of the pool is
ever removed, and no link that code has left behind is followed.
"""

import contextlib
import fcntl
import os
import stat
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents import git, gitcalls, gitlines
from incidents import errors, remotes

SLOTS = 16
# Paths per call of `rm`, far below the limit of an argument list.
BATCH = 500
MIRROR_SECONDS = 900.0
SMALL = 5000  # files of a tree whose list is kept in memory
DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
SUBMODULE = "160000"


class WorkspaceFailed(errors.PermanentFailure):
    """No clean folder could be made: the disk is full, or the pool is not writable."""


@dataclass(frozen=True)
class Slot:
    """One folder of the pool with its own index; held by whoever holds the lock on its file."""

    folder: Path

    @property
    def tree(self) -> Path:
        """The folder that is lent."""
        return self.folder / "tree"

    @property
    def index(self) -> Path:
        """What git knows of the folder; outside of it, so that code cannot reach it."""
        return self.folder / "index"

    @property
    def holds(self) -> Path:
        """Names the tree that was put there last, to prefer the nearest folder."""
        return self.folder / "holds"


class Workspaces:
    """A pool of folders for one repository; several processes may share it."""

    def __init__(self, repository: git.Repository, folder: Path) -> None:
        self.repository = repository
        self.folder = folder.absolute()
        self._contents: dict[str, Known] = {}  # by tree, whose files never change

    @contextlib.contextmanager
    def lease(self, tree: str, overlay: Mapping[str, bytes] | None = None) -> Iterator[Path]:
        """Lend a folder with exactly this tree (or the tree of this commit), for one `with` block.

        `overlay` pins files of another revision on top.
        """
        wanted = self.repository.tree_of(tree)
        with contextlib.ExitStack() as stack:
            try:
                slot = stack.enter_context(self._held(wanted))
                self._fill(slot, wanted)
                lay_over(slot.tree, overlay or {})
            except OSError as error:
                raise WorkspaceFailed(
                    f"No workspace could be made in {str(self.folder)!r}: {error.strerror}. "
                    "Free some disk space or choose another data folder."
                ) from error
            yield slot.tree

    @contextlib.contextmanager
    def _held(self, wanted: str) -> Iterator[Slot]:
        """Take a free slot, rather one that holds the tree; the kernel frees it if we die."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        slots = [Slot(self.folder / f"{number:02}") for number in range(SLOTS)]
        for slot in sorted(slots, key=lambda slot: _order(slot, wanted)):
            slot.folder.mkdir(exist_ok=True, mode=0o700)
            with (slot.folder / "lock").open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield slot
                return
        raise WorkspaceFailed(
            f"All {SLOTS} workspaces in {str(self.folder)!r} are in use; wait for a run to end."
        )

    def _fill(self, slot: Slot, wanted: str) -> None:
        """Bring a slot to exactly the wanted tree; from nothing when its index was lost."""
        if slot.tree.is_symlink() or not (slot.index.is_file() and slot.holds.is_file()):
            remove([slot.tree], self.folder)
            slot.index.unlink(missing_ok=True)
        held = slot.holds.read_text() if slot.index.is_file() else ""
        # Gone until the slot is whole again: if we die half-way, the next user starts from nothing.
        slot.holds.unlink(missing_ok=True)
        (slot.folder / "index.lock").unlink(missing_ok=True)
        slot.tree.mkdir(exist_ok=True, mode=0o700)
        if slot.index.is_file():
            remove(strangers(slot.tree, self._known(slot, held)), slot.tree)
        self._git(slot, "read-tree", "--reset", "-u", wanted)
        slot.holds.write_text(wanted)

    def _known(self, slot: Slot, held: str) -> "Known":
        """Return what belongs into a slot that holds a tree, by the index that put it there."""
        known = self._contents.get(held) or self._listed(slot)
        if held and len(known.files) <= SMALL:  # a hunt goes through many trees
            self._contents[held] = known
        return known

    def _listed(self, slot: Slot) -> "Known":
        files: set[str] = set()
        folders: set[str] = set()
        for entry in self._git(slot, "ls-files", "-s", "-z").out.split(b"\0"):
            if not entry:
                continue
            meta, _, path = gitcalls.decoded(entry).partition("\t")
            (folders if meta.startswith(SUBMODULE) else files).add(path)
            while (path := path.rpartition("/")[0]) and path not in folders:
                folders.add(path)
        return Known(frozenset(files), frozenset(folders))

    def _git(self, slot: Slot, *args: str) -> gitcalls.Answer:
        env = {
            "GIT_INDEX_FILE": str(slot.index),
            "GIT_WORK_TREE": str(slot.tree),
        }
        # The index compares a file's change time, which code in a sandbox cannot set back.
        words = ("-c", "core.bare=false", "-c", "core.trustctime=true", *args)
        return self.repository.run(*words, env=env)


@dataclass(frozen=True)
class Known:
    """The files and folders that belong to a tree."""

    files: frozenset[str]
    folders: frozenset[str]


def strangers(tree: Path, known: Known) -> list[Path]:
    """Find what does not belong to a tree, and make its own folders accessible again."""
    found = []
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        folder = tree / prefix
        if folder.lstat().st_mode & stat.S_IRWXU != stat.S_IRWXU:
            folder.chmod(0o755)
        with os.scandir(folder) as entries:
            for entry in entries:
                path = f"{prefix}/{entry.name}" if prefix else entry.name
                is_folder = entry.is_dir(follow_symlinks=False)
                if is_folder and path in known.folders:
                    waiting.append(path)
                elif is_folder or path not in known.files:
                    found.append(tree / path)
    return found


def remove(paths: Sequence[Path], inside: Path) -> None:
    """Remove files and whole folders that lie inside a folder; links are removed, not followed.

    `rm` does it, since a folder may be nested deeper than Python can follow.
    """
    for path in paths:
        if path == inside or not path.is_relative_to(inside) or ".." in path.parts:
            raise WorkspaceFailed(f"{str(path)!r} is outside of {str(inside)!r} and is left alone.")
    present = [str(path) for path in paths if os.path.lexists(path)]
    for start in range(0, len(present), BATCH):
        batch = present[start : start + BATCH]
        if not _succeeds(["rm", "-rf", "--one-file-system", "--", *batch]):
            folders = [
                path for path in batch if Path(path).is_dir() and not Path(path).is_symlink()
            ]
            # Code may have taken away its own right to list or change a folder.
            _succeeds(["chmod", "-R", "u+rwX", "--", *folders])
            if not _succeeds(["rm", "-rf", "--one-file-system", "--", *batch]):
                raise WorkspaceFailed(f"{batch[0]!r} cannot be removed; remove it by hand.")


def lay_over(tree: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, never through a link: what stands in the way is replaced."""
    for path, content in files.items():
        gitlines.check_path(path)
        *folders, name = path.split("/")
        descriptor = os.open(tree, DIRECTORY_FLAGS)
        try:
            for folder in folders:
                descriptor = _step(descriptor, folder)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=descriptor)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(name, flags, 0o644, dir_fd=descriptor), "wb") as file:
                file.write(content)
        finally:
            os.close(descriptor)


def _step(descriptor: int, folder: str) -> int:
    """Go one folder down, made where it is missing; closes the descriptor it came from."""
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o755, dir_fd=descriptor)
        return os.open(folder, DIRECTORY_FLAGS, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def mirror(
    source: str, folder: Path, credentials: remotes.Credentials | None = None
) -> git.Repository:
    """Make or refresh a bare mirror of a repository and open it; a shallow source stays shallow.

    `source` is a folder or an address that git can fetch from; it must not look like an option.
    """
    if source.startswith("-") or "::" in source:
        raise WorkspaceFailed(f"{source!r} is not an address that a repository is fetched from.")
    folder.mkdir(parents=True, exist_ok=True)
    known = folder / "HEAD"
    if not known.is_file():
        gitcalls.call(["init", "--quiet", "--bare"], git_dir=folder)
    # The other end is a process of its own that reads no setting of ours but this file.
    trust = folder / "trust"
    trust.write_text("[safe]\n\tdirectory = *\n")
    env = {"GIT_CONFIG_GLOBAL": str(trust), "GIT_NO_LAZY_FETCH": "0"}
    env |= credentials.environment(source) if credentials else {}
    options = ["--quiet", "--prune", "--no-write-fetch-head", "--update-shallow", "--no-auto-gc"]
    words = ["fetch", *options, "--", source, "+refs/*:refs/*"]
    gitcalls.call(words, git_dir=folder, env=env, seconds=MIRROR_SECONDS)
    head = gitcalls.call(["ls-remote", "--symref", "--", source, "HEAD"], git_dir=folder, env=env)
    if head.text.startswith("ref: "):
        branch = head.text.split()[1]
        gitcalls.call(["symbolic-ref", "HEAD", branch], git_dir=folder)
    return git.Repository(folder)


def _order(slot: Slot, wanted: str) -> int:
    """Prefer the folder that holds the tree already, then a warm one, then a new one."""
    try:
        return 0 if slot.holds.read_text() == wanted else 1
    except OSError:
        return 2


def _succeeds(argv: list[str]) -> bool:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode == 0
