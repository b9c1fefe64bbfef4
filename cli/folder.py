"""The data folder: made private, locked against a second `halon up`, holding the approval key.

Used by `halon up`, `halon demo` and the shell commands that need the key. Nothing else is here.
"""

import contextlib
import fcntl
import os
import re
import secrets
from pathlib import Path
from typing import IO

from incidents import errors

KEY_BYTES = 32


def prepare(folder: Path) -> Path:
    """Make the folder with mode 0700 and return its absolute path; raises `PermanentFailure`."""
    folder = folder.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.write_bytes(b"halon\n")
        probe.unlink()
    except OSError as error:
        raise errors.PermanentFailure(
            f"The data folder {str(folder)!r} cannot be written ({error.strerror}); "
            "make room or name another with HALON_FOLDER."
        ) from error
    return folder


def lock(folder: Path) -> IO[str]:
    """Return the held lock of a data folder; raises `PermanentFailure` while another holds it."""
    handle = (folder / "up.lock").open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        pid = handle.read().strip() or "unknown"
        handle.close()
        raise errors.PermanentFailure(
            f"Halon already runs on {str(folder)!r} (process {pid}). "
            "Stop that one, or name another data folder with HALON_FOLDER."
        ) from None
    handle.truncate(0)
    handle.write(f"{os.getpid()}\n")
    handle.flush()
    return handle


def in_use(folder: Path) -> bool:
    """Tell whether a `halon up` runs on a data folder right now."""
    try:
        with (folder / "up.lock").open("r") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def approval_key(folder: Path) -> str:
    """Return the key that approvals are signed with (64 hex digits); made on first use.

    It appears under its name whole or not at all: a crash or a second process in the middle must
    never leave an empty key, with which anyone could sign.
    """
    path = folder / "approval.key"
    if not path.exists():
        making = folder / f".approval.key.{os.getpid()}.{secrets.token_hex(4)}"
        handle = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(making, path)  # unlike a rename it never replaces the key of another
        making.unlink()
    key = path.read_text("ascii", "replace").strip()
    if re.fullmatch(rf"[0-9a-f]{{{2 * KEY_BYTES}}}", key) is None:
        raise errors.PermanentFailure(
            f"{str(path)!r} does not hold {2 * KEY_BYTES} hex digits; remove it, and a new key is "
            "made. Approvals that were given and not used yet have to be given again."
        )
    return key
