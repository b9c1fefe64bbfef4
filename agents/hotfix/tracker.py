"""The HOTFIX file: read once it is whole, understood as words, and answered in itself.

Called by the protocol and the watch. What a person wrote stays byte for byte; our answer stands
below it between two marks, of which the first names the content that it answers.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import signal
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agents.hotfix import files
from incidents import errors

# No control characters and no bytes that are no UTF-8: names are printed and stand in the answer.
NAME = re.compile(r"HOTFIX-[^/\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,180}\.md")
FOLDER = "tasks/hotfix"
LARGEST = 1024 * 1024
BEGIN = re.compile(rb"(?:\A|\n\n)<!-- halon sha256:([0-9a-f]{64})[^\n]{0,200}-->\n")
END = b"<!-- /halon -->\n"
QUIET_SECONDS = 0.3  # how long size and time must rest, where the kernel can say who writes
SLOW_SECONDS = 1.5  # and where it cannot
STEP_SECONDS = 0.05


class Unfit(errors.PermanentFailure):
    """A tracker that cannot be worked; the message says why and what to do."""


class StillWritten(Unfit):
    """Somebody is still writing it."""


class Gone(Unfit):
    """It was deleted, or replaced by another text, while it was worked."""


@dataclass(frozen=True)
class Tracker:
    """One reading of a tracker; `path` is real, `inode` finds it again when it is renamed."""

    path: Path
    whole: bytes
    content: bytes
    inode: tuple[int, int]
    answered: bool

    @property
    def key(self) -> str:
        """What names this content: the same words are worked once."""
        return hashlib.sha256(self.content).hexdigest()[:24]

    @property
    def sha256(self) -> str:
        """The hash of the person's part."""
        return hashlib.sha256(self.content).hexdigest()

    def words(self) -> str:
        """Return the person's text; raises Unfit for what is no text."""
        if len(self.content) > LARGEST:
            size = f"{len(self.content) / LARGEST:.1f} MiB"
            raise Unfit(
                f"The file is too large ({size}, at most 1 MiB is read): keep the traceback and a "
                "few log lines around it."
            )
        if b"\0" in self.content:
            raise Unfit("The file is binary: write the traceback or the log lines as text.")
        text = self.content.decode("utf-8", "replace")
        if not text.strip():
            raise Unfit(
                "The file is empty: write what fails, best the traceback, or a path with a line."
            )
        if text.count("\ufffd") > max(8, len(text) // 20):
            raise Unfit("The file is no text in UTF-8: write the traceback or the log lines in it.")
        return text


def read(path: Path) -> Tracker:
    """Return a tracker as it is now; raises Unfit for a link, a folder, or one that is closed."""
    folder = _folder(path)
    if not _is_text(folder / path.name):
        raise Unfit(f"The path {str(path)!a} cannot be written as text; name it otherwise.")
    try:
        held = files.read(folder, path.name)
    except files.NoFile as error:
        raise Unfit(error.message) from error
    except OSError as error:
        raise Unfit(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    if held is None:
        raise Gone(f"There is no file {str(path)!r}.")
    if held.state.st_nlink > 1:
        raise Unfit(
            f"{path.name!r} is a hard link: it may be another's file. Copy it to a name of its own."
        )
    content, answered = _split(held.content)
    inode = (held.state.st_dev, held.state.st_ino)
    return Tracker(folder / path.name, held.content, content, inode, answered)


def _folder(path: Path) -> Path:
    try:
        return path.absolute().parent.resolve(strict=True)
    except OSError as error:
        raise Gone(f"There is no folder {str(path.parent)!r}.") from error


def _is_text(path: Path) -> bool:
    """Tell whether a path can be printed and written down: no controls, nothing but UTF-8."""
    return not re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", str(path))


def _split(whole: bytes) -> tuple[bytes, bool]:
    """Return the person's part, and whether it is the one that the answer below it is for."""
    mark = BEGIN.search(whole)
    if mark is None:
        return whole, False
    content = whole[: mark.start()]
    return content, hashlib.sha256(content).hexdigest().encode() == mark[1]


def answered(tracker: Tracker, text: str) -> bytes:
    """Return the whole file with an answer in place of an older one; what stands below it stays."""
    mark = BEGIN.search(tracker.whole)
    below = b""
    if mark is not None:
        end = tracker.whole.find(END, mark.end())
        below = tracker.whole[end + len(END) :] if end >= 0 else b""
    head = f"<!-- halon sha256:{tracker.sha256} (Halon writes what stands below this line) -->\n"
    body = text.replace("<!-- /halon -->", "<!- /halon ->").rstrip("\n")
    gap = b"\n\n" if tracker.content else b""
    return tracker.content + gap + head.encode() + b"\n" + body.encode() + b"\n\n" + END + below


def find_again(tracker: Tracker) -> Tracker:
    """Return the tracker as it is now, renamed or not; raises Gone when its words are not there."""
    try:
        now = read(tracker.path)
    except Gone:
        renamed = _renamed(tracker)
        if renamed is None:
            raise Gone(
                f"{tracker.path.name!r} was deleted while it was worked, so nothing was changed."
            ) from None
        now = read(renamed)
    if now.content != tracker.content:
        raise Gone(
            f"{tracker.path.name!r} was changed while it was worked, so nothing was changed; "
            "its new text is looked at by itself."
        )
    return now


def _renamed(tracker: Tracker) -> Path | None:
    with os.scandir(tracker.path.parent) as entries:
        for entry in entries:
            try:
                state = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if (state.st_dev, state.st_ino) == tracker.inode and stat.S_ISREG(state.st_mode):
                return Path(entry.path)
    return None


def write(tracker: Tracker, text: str) -> Tracker:
    """Write the answer into the file; raises Unfit where it is closed to us."""
    new = answered(tracker, text)
    if new == tracker.whole:
        return tracker
    try:
        files.replace(tracker.path.parent, tracker.path.name, tracker.whole, new)
    except files.Changed as error:
        raise Gone(f"{tracker.path.name!r} was changed while it was answered.") from error
    except (files.NoFile, OSError) as error:
        raise Unfit(f"{str(tracker.path)!r} cannot be written, so it got no answer.") from error
    return read(tracker.path)


def writable(tracker: Tracker) -> bool:
    """Tell whether an answer could be written, before anything else is changed."""
    return os.access(tracker.path, os.W_OK)


def signature(path: Path) -> tuple[int, int, int] | None:
    """Return what changes when a file does: inode, size and time; None where it is gone."""
    try:
        state = path.lstat()
    except OSError:
        return None
    return state.st_ino, state.st_size, state.st_mtime_ns


def rested(path: Path, seconds: float) -> bool:
    """Tell whether a file is whole: nobody has it open to write, and it rests for a moment.

    Waits up to `seconds` for that. The kernel grants a read lease only on a file that no process
    has open for writing; where it will not say (another owner, a network file system), the file
    must rest longer.
    """
    until = time.monotonic() + seconds
    last, since = None, time.monotonic()
    while True:
        try:
            state = path.lstat()
        except OSError:
            return True  # what is not there is nobody's to write; reading says so
        now = (state.st_size, state.st_mtime_ns, state.st_ino)
        if now != last:
            last, since = now, time.monotonic()
        free = _is_free(path)
        # Its own time counts too: a file that was written long ago need not be watched first.
        age = max(time.monotonic() - since, min(time.time() - state.st_mtime, 60.0))
        if free is not False and age >= (QUIET_SECONDS if free else SLOW_SECONDS):
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(STEP_SECONDS)


def _is_free(path: Path) -> bool | None:
    """Tell whether no process has a file open for writing; None where the kernel cannot say."""
    with _opened(path) as descriptor:
        if descriptor is None:
            return None
        try:
            # Who opens it to write in this very moment must not end us: SIGIO would.
            fcntl.fcntl(descriptor, fcntl.F_SETSIG, int(signal.SIGURG))
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError as error:
            return False if error.errno in (errno.EAGAIN, errno.EACCES) and _ours(path) else None
        return True


def _ours(path: Path) -> bool:
    """Tell whether we may ask for a lease: on our own files, or as root."""
    return os.geteuid() in (0, path.lstat().st_uid)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    try:
        descriptor = os.open(path, os.O_RDONLY | files.FILE)
    except OSError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def name_of(path: Path) -> str:
    """Return the tracker's name as code and log lines show it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.name.removesuffix(".md"))[:60].strip("-.")


def trackers(folder: Path) -> Iterator[Path]:
    """Yield the tracker files of a watched folder: in itself and in its `tasks/hotfix`."""
    for place in (folder, folder / FOLDER):
        with contextlib.suppress(OSError):
            for entry in sorted(place.iterdir()):
                if NAME.fullmatch(entry.name) and not entry.is_dir():
                    yield entry
