"""Checked out revisions of a service, one folder each, complete or absent.

Called by the host before it starts replicas, and the only file of the host that runs git. Reads the
repository and never writes to it: a mirror of our own is checked out, so that no filter or hook
of somebody's settings runs here.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from incidents import errors

SECONDS = 120.0
_HEX = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def environment() -> dict[str, str]:
    """Return git's environment: no settings or prompts of the person who started us."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C",
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
    }


def _git(
    repository: Path, *arguments: str, trust: Path | None = None, index: Path | None = None
) -> bytes:
    argv = ["git", "-C", str(repository), "-c", f"core.hooksPath={os.devnull}", *arguments]
    env = environment() | ({"GIT_CONFIG_GLOBAL": str(trust)} if trust else {})
    env |= {"GIT_INDEX_FILE": str(index)} if index else {}
    try:
        done = subprocess.run(argv, env=env, capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise errors.TemporaryFailure(f"git {arguments[0]} did not finish: {error}") from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip() or f"exit {done.returncode}"
        raise errors.PermanentFailure(f"git {arguments[0]} failed in {str(repository)!r}: {said}")
    return done.stdout


class Releases:
    """The folders `<folder>/releases/<sha>` of one service."""

    def __init__(self, repository: str, folder: Path) -> None:
        self._folder = folder / "releases"
        self._mirror = folder / "mirror.git"
        self._remote = repository

    def resolve(self, name: str) -> str:
        """Return the full id of a revision, fetching once when it is not known yet."""
        if name.startswith("-") or not name:
            raise errors.PermanentFailure(f"{name!r} is not a revision.")
        try:
            return self._commit(name)
        except errors.PermanentFailure:
            self._fetch()
            return self._commit(name)

    def checkout(self, name: str) -> Path:
        """Return the folder that holds a revision's tree, made if need be.

        The folder appears by one rename, so a crash in between leaves nothing that looks complete.
        """
        known = self._folder / name
        if _HEX.fullmatch(name) and known.is_dir():
            return known  # a running production does not need its repository
        sha = self.resolve(name)
        target = self._folder / sha
        if target.is_dir():
            return target
        self._folder.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=".making-", dir=self._folder))
        index = making.with_suffix(".index")
        try:
            _git(self._mirror, "read-tree", sha, index=index)
            _git(
                self._mirror, f"--git-dir={self._mirror}", f"--work-tree={making}",
                "checkout-index", "--all", index=index,
            )  # fmt: skip
            making.chmod(0o755)
            making.rename(target)
        except OSError as error:
            raise errors.TemporaryFailure(f"{sha} cannot be checked out: {error}") from error
        finally:
            index.unlink(missing_ok=True)
            shutil.rmtree(making, ignore_errors=True)
        return target

    def _commit(self, name: str) -> str:
        if not self._mirror.is_dir():
            raise errors.PermanentFailure(f"{name!r} is not fetched yet.")
        try:
            found = _git(self._mirror, "rev-parse", "--verify", f"{name}^{{commit}}")
        except errors.PermanentFailure as error:
            raise errors.PermanentFailure(
                f"The repository {self._remote!r} has no revision {name!r}: {error.message}"
            ) from error
        return found.decode("ascii").strip()

    def _fetch(self) -> None:
        if not self._mirror.is_dir():
            self._mirror.mkdir(parents=True)
            _git(self._mirror, "init", "--quiet", "--bare")
        # The other end reads no setting of ours but this file; its owner may be someone else.
        trust = self._mirror / "trust"
        trust.write_text("[safe]\n\tdirectory = *\n")
        _git(
            self._mirror, "fetch", "--quiet", "--prune", "--", self._remote, "+refs/*:refs/*",
            trust=trust,
        )  # fmt: skip
