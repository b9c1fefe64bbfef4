"""What `halon doctor` looks at of a service's inbox, where HOTFIX files are dropped.

Called by cli/services.py. The watch is tried and given back; nothing in the tree is touched.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import watchfiles

from agents.hotfix import tracker, tree
from cli.finding import Finding, fine, note, wrong
from incidents import errors
from incidents.settings import Service


def look(service: Service) -> Iterator[Finding]:
    """Look whether the files of the inbox can be read, answered and mended."""
    if service.inbox is None:
        return
    what = f"{service.name}: inbox {service.inbox}"
    try:
        here = tree.find(service.inbox.resolve(strict=True) / tracker.FOLDER)
        with contextlib.closing(tree.open_repository(here)):
            pass
    except OSError as error:
        mend = "Make it, let this user read it, or correct `inbox` in halon.toml."
        yield wrong(what, f"cannot be opened: {error.strerror}", mend)
        return
    except errors.HalonError as error:
        mend = "Name a working tree of the service's repository: a clone that has a commit."
        yield wrong(what, error.message, mend)
        return
    yield _usable(what, here, service.inbox)


def _usable(what: str, here: tree.WorkTree, inbox: Path) -> Finding:
    closed = [one for one in (here.root, here.git_dir) if not os.access(one, os.W_OK | os.X_OK)]
    if closed:
        mend = "Let the urgent worker's user write there: the fix and its way back lie in it."
        return wrong(what, f"{str(closed[0])!r} cannot be written by this user", mend)
    if (why := unwatched(inbox)) is not None:
        mend = "Raise fs.inotify.max_user_watches and fs.inotify.max_user_instances by `sysctl -w`."
        return wrong(what, f"cannot be watched: {why}", mend)
    if os.geteuid() not in (0, here.root.stat().st_uid):
        mend = "Let the urgent worker run as its owner, who sees at once when a file is whole."
        return note(what, "belongs to another user: its files are taken a second later", mend)
    return fine(what, f"the working tree {here.root}")


def unwatched(folder: Path) -> str | None:
    """Return why the kernel gives no watch on a folder, None where it does."""
    asked = watchfiles.watch(folder, recursive=False, rust_timeout=1, yield_on_timeout=True)
    try:
        next(asked)
    except (OSError, RuntimeError) as error:  # its own internal error is a RuntimeError
        return str(error)
    finally:
        asked.close()
    return None
