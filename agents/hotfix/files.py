"""Reads and replaces files inside a folder without following a link, whatever stands in the way.

Called by the protocol for the working tree and the tracker. A file is replaced only if it holds
exactly the expected bytes; its owner, mode and hard links stay. What somebody saved in the same
moment is put back.
"""

import ctypes
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from agents import gitlines
from incidents import errors

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
TEMPORARY = ".halon-"
LARGEST = 64 * 1024 * 1024
_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2)


class Changed(errors.PermanentFailure):
    """A file does not hold what was expected: somebody else's edit, which stays."""


class NoFile(errors.PermanentFailure):
    """The path is a link, a folder, a pipe, or cannot be opened."""


@dataclass(frozen=True)
class Held:
    """A file's bytes and its state when they were read."""

    content: bytes
    state: os.stat_result

    @property
    def mode(self) -> int:
        """Its permission bits."""
        return stat.S_IMODE(self.state.st_mode)


def read(root: Path, path: str) -> Held | None:
    """Return a file of a folder, None where there is none; raises NoFile for anything else."""
    try:
        with _parent(root, path) as (folder, name):
            return _read(folder, name, path)
    except FileNotFoundError:
        return None


def replace(root: Path, path: str, old: bytes | None, new: bytes | None, mode: int = 0o644) -> None:
    """Replace exactly `old` by `new` (None: no file); raises Changed and leaves all as it is.

    `mode` is for a file that is new; another one keeps its own.
    """
    try:
        with _parent(root, path, make=old is None) as (folder, name):
            if old is None:
                _create(folder, name, new or b"", mode, path)
            elif new is None:
                _remove(folder, name, old, path)
            else:
                _swap(folder, name, old, new, path)
    except FileNotFoundError as error:
        raise Changed(f"{path!r} is not there any more.") from error
    except OSError as error:
        raise NoFile(f"{path!r} cannot be written: {error.strerror}.") from error


def absent_folders(root: Path, path: str) -> tuple[str, ...]:
    """Return the folders of a path that are not there, outermost first."""
    gitlines.check_path(path)
    names = path.split("/")[:-1]
    folders = ["/".join(names[: count + 1]) for count in range(len(names))]
    return tuple(folder for folder in folders if not os.path.lexists(root / folder))


def remove_folder(root: Path, path: str) -> None:
    """Remove an empty folder; one that holds something, is a link or is gone is left alone."""
    with suppress(OSError, NoFile), _parent(root, path) as (folder, name):
        os.rmdir(name, dir_fd=folder)


@contextmanager
def _parent(root: Path, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
    """Open the folder of a path, each step without following a link."""
    gitlines.check_path(path)
    *folders, name = path.split("/")
    descriptor = os.open(root, FOLDER)
    try:
        for folder in folders:
            made = make and _make(descriptor, folder)
            try:
                inner = os.open(folder, FOLDER, dir_fd=descriptor)
                if made:
                    _as_folder(inner, descriptor)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise NoFile(f"{path!r} lies behind a link, which is not followed.") from error
                raise
            os.close(descriptor)
            descriptor = inner
        yield descriptor, name
    finally:
        os.close(descriptor)


def _read(folder: int, name: str, path: str) -> Held:
    try:
        descriptor = os.open(name, os.O_RDONLY | FILE, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        why = "is a link, which is not followed" if error.errno == errno.ELOOP else error.strerror
        raise NoFile(f"{path!r} cannot be read: {why}.") from error
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise NoFile(f"{path!r} is no plain file.")
        if state.st_size > LARGEST:
            raise NoFile(f"{path!r} is too large to be read ({state.st_size >> 20} MiB).")
        return Held(file.read(), state)


def _expect(folder: int, name: str, old: bytes, path: str) -> Held:
    held = _read(folder, name, path)
    if held.content != old:
        raise Changed(f"{path!r} was changed by somebody else; it was left alone.")
    return held


def _create(folder: int, name: str, new: bytes, mode: int, path: str) -> None:
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | FILE, mode, dir_fd=folder)
    except FileExistsError as error:
        raise Changed(f"{path!r} is there already; it was left alone.") from error
    with os.fdopen(descriptor, "wb") as file:
        _as_folder(descriptor, folder)
        write(file.fileno(), new)


def _make(parent: int, name: str) -> bool:
    """Make a folder; tell whether it was not there."""
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
    except FileExistsError:
        return False
    return True


def _as_folder(descriptor: int, folder: int) -> None:
    """Give what is new to whoever owns its folder, where we are allowed to (as root)."""
    owner = os.fstat(folder)
    if os.geteuid() == 0:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _remove(folder: int, name: str, old: bytes, path: str) -> None:
    _expect(folder, name, old, path)
    aside = f"{TEMPORARY}{secrets.token_hex(8)}"
    os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)
    try:
        _expect(folder, aside, old, path)
    except errors.HalonError:
        os.rename(aside, name, src_dir_fd=folder, dst_dir_fd=folder)
        raise
    os.unlink(aside, dir_fd=folder)


def _swap(folder: int, name: str, old: bytes, new: bytes, path: str) -> None:
    held = _expect(folder, name, old, path)
    made = None if held.state.st_nlink > 1 else _twin(folder, name, held, new)
    if made is None:
        _overwrite(folder, name, old, new, path)
        return
    try:
        if not _exchange(folder, made, name):
            _expect(folder, name, old, path)
            os.rename(made, name, src_dir_fd=folder, dst_dir_fd=folder)
            return
        try:
            _expect(folder, made, old, path)  # what was taken out: somebody may just have saved
        except errors.HalonError:
            _exchange(folder, made, name)
            raise
    finally:
        with suppress(FileNotFoundError):
            os.unlink(made, dir_fd=folder)


def _twin(folder: int, name: str, held: Held, new: bytes) -> str | None:
    """Write the new file beside the old one, alike but for its bytes; None where it cannot be."""
    made = f"{TEMPORARY}{secrets.token_hex(8)}"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | FILE
        descriptor = os.open(made, flags, 0o600, dir_fd=folder)
    except OSError:
        return None  # the folder is closed to us, the file may not be
    with os.fdopen(descriptor, "wb") as file:
        try:
            here = os.fstat(descriptor)
            if (here.st_uid, here.st_gid) != (held.state.st_uid, held.state.st_gid):
                os.fchown(descriptor, held.state.st_uid, held.state.st_gid)
            original = os.open(name, os.O_RDONLY | FILE, dir_fd=folder)
            try:
                for key in os.listxattr(original):
                    os.setxattr(descriptor, key, os.getxattr(original, key))
            finally:
                os.close(original)
            os.fchmod(descriptor, held.mode)
        except OSError:
            os.unlink(made, dir_fd=folder)
            return None
        write(file.fileno(), new)
    return made


def _overwrite(folder: int, name: str, old: bytes, new: bytes, path: str) -> None:
    """Write into the file itself, where a twin would have another owner or lose a hard link."""
    descriptor = os.open(name, os.O_RDWR | FILE, dir_fd=folder)
    with os.fdopen(descriptor, "r+b") as file:
        if file.read() != old:
            raise Changed(f"{path!r} was changed by somebody else; it was left alone.")
        file.seek(0)
        write(file.fileno(), new)
        os.ftruncate(descriptor, len(new))


def write(descriptor: int, content: bytes) -> None:
    """Write all of a content and wait until it is on the disk."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.fsync(descriptor)


def _exchange(folder: int, one: str, other: str) -> bool:
    """Let two names change places at once; False where the file system cannot."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    if call(folder, one.encode(), folder, os.fsencode(other), _EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code))
