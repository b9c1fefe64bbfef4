"""The data folder: made private, locked against a second `halon up`, holding the approval key.

Used by `halon up`, `halon demo` and the shell commands that need the key. Nothing else is here.
"""

import fcntl
import os
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


def approval_key(folder: Path) -> str:
    """Return the key that approvals are signed with (64 hex digits); made on first use."""
    path = folder / "approval.key"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text("ascii").strip()
    with os.fdopen(handle, "w") as file:
        key = secrets.token_hex(KEY_BYTES)
        file.write(key + "\n")
    return key
