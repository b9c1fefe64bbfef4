"""Delivery `local`: the fix as a commit, a branch and a merge in the service's own repository.

Made by `rollout.wiring` for the controller. Works in a private bare repository and pushes; never
touches a working tree, an index, a hook or the settings of the service's repository, and never
overwrites a branch that moved.
"""

import os
import subprocess
import tempfile
from pathlib import Path

from incidents import errors
from incidents.remotes import Credentials
from incidents.reports import Patch
from rollout import releases
from rollout.delivery.port import Branched, Merged

SECONDS = 120.0
AUTHOR = "Halon"
ADDRESS = "halon@localhost"


class Local:
    """Delivery of one service. `remote` is a path or an address that git can push to."""

    def __init__(self, remote: str, folder: Path, credentials: Credentials | None = None) -> None:
        self._remote = remote
        self._opens = credentials.environment(remote) if credentials else {}
        self._bare = folder.absolute() / "delivery.git"

    def branch(self, incident_id: str, patch: Patch, message: str) -> Branched:
        """Commit the patch on its base and push it as `halon/<incident>`."""
        self._fetch()
        name = f"halon/{incident_id}"
        tree = self._tree(patch)
        if tree != self._text("rev-parse", f"{patch.tree}^{{tree}}", check=False, other=patch.tree):
            raise errors.PermanentFailure(
                f"The patch gives the tree {tree[:12]}, tested was {patch.tree[:12]}.",
                incident_id=incident_id,
            )
        there = self._remote_head(name)
        if there is not None and self._is(there, tree, patch.base):
            return Branched(name, there)  # done before
        revision = self._text("commit-tree", tree, "-p", patch.base, "-m", message)
        self._push(revision, name, expected=there)
        return Branched(name, revision)

    def merge(self, branched: Branched, into: str) -> Merged:
        """Push the fix to the release branch: as it is if that is ahead by nothing, else merged."""
        self._fetch()
        head = self._remote_head(into)
        if head is None:
            return Merged(False, None, f"There is no branch {into!r}; merge {branched.branch!r}.")
        if self._contains(head, branched.revision):
            return Merged(True, head, f"{into} contains the fix.")
        if self._checked_out(into):
            return Merged(
                False,
                None,
                f"{into!r} is checked out in {self._remote!r}, and its files are not ours to "
                f"change: run `git merge {branched.branch}` there.",
            )
        revision = self._merged(head, branched, into)
        if revision is None:
            return Merged(
                False,
                None,
                f"{into!r} was changed where the fix is: merge {branched.branch!r} by hand.",
            )
        try:
            self._push(revision, into, expected=head)
        except errors.PermanentFailure as error:
            return Merged(False, None, f"{error.message} Merge {branched.branch!r} by hand.")
        return Merged(True, revision, f"{into} is at {revision[:12]}, with the fix.")

    def _merged(self, head: str, branched: Branched, into: str) -> str | None:
        """Return a commit that has both sides, or None when they conflict."""
        if self._contains(branched.revision, head):
            return branched.revision
        done = self._git("merge-tree", "--write-tree", head, branched.revision, check=False)
        if done.returncode != 0:
            return None
        tree = done.stdout.decode("ascii").split("\n", 1)[0].strip()
        message = f"Merge branch '{branched.branch}' into {into}"
        return self._text("commit-tree", tree, "-p", head, "-p", branched.revision, "-m", message)

    def _tree(self, patch: Patch) -> str:
        with tempfile.TemporaryDirectory(prefix="halon-index-") as scratch:
            index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
            self._git("read-tree", patch.base, extra=index)
            if patch.diff.strip():
                self._git(
                    "apply", "--cached", "--whitespace=nowarn", "-",
                    extra=index, given=patch.diff.encode(),
                )  # fmt: skip
            return self._git("write-tree", extra=index).stdout.decode("ascii").strip()

    def _fetch(self) -> None:
        if not self._bare.is_dir():
            self._bare.mkdir(parents=True)
            self._git("init", "--quiet", "--bare")
        self._git(
            "fetch", "--quiet", "--prune", "--no-tags", self._remote, "+refs/heads/*:refs/r/*"
        )

    def _remote_head(self, name: str) -> str | None:
        done = self._git("rev-parse", "--verify", "--quiet", f"refs/r/{name}", check=False)
        return done.stdout.decode("ascii").strip() if done.returncode == 0 else None

    def _is(self, revision: str, tree: str, base: str) -> bool:
        """Return whether a commit has exactly this tree and this one parent."""
        return self._text("show", "-s", "--format=%T %P", revision) == f"{tree} {base}"

    def _contains(self, head: str, revision: str) -> bool:
        done = self._git("merge-base", "--is-ancestor", revision, head, check=False)
        return done.returncode == 0

    def _checked_out(self, branch: str) -> bool:
        """Return whether the remote is a folder with a working tree that stands on this branch."""
        if not Path(self._remote).is_dir():
            return False
        bare = self._at(Path(self._remote), "rev-parse", "--is-bare-repository")
        if bare == "true":
            return False
        trees = self._at(Path(self._remote), "worktree", "list", "--porcelain")
        return f"branch refs/heads/{branch}" in (trees or "").splitlines()

    def _push(self, revision: str, branch: str, *, expected: str | None) -> None:
        lease = f"--force-with-lease=refs/heads/{branch}:{expected or ''}"
        # The lease is only the comparison; a branch that moved on is refused, never overwritten.
        done = self._git(
            "push", "--quiet", "--porcelain", lease, self._remote,
            f"{revision}:refs/heads/{branch}", check=False,
        )  # fmt: skip
        if done.returncode != 0:
            said = (done.stdout + done.stderr).decode("utf-8", "replace").strip()
            raise errors.PermanentFailure(f"{branch!r} was not accepted by the remote: {said}")

    def _text(self, *arguments: str, check: bool = True, other: str = "") -> str:
        done = self._git(*arguments, check=check)
        return done.stdout.decode("utf-8").strip() if done.returncode == 0 else other

    def _at(self, folder: Path, *arguments: str) -> str | None:
        done = _run(folder, arguments, {}, None)
        return done.stdout.decode("utf-8").strip() if done.returncode == 0 else None

    def _git(
        self,
        *arguments: str,
        extra: dict[str, str] | None = None,
        given: bytes | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[bytes]:
        done = _run(self._bare, arguments, self._opens | (extra or {}), given)
        if check and done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip()
            raise errors.PermanentFailure(f"git {arguments[0]} failed for {self._remote!r}: {said}")
        return done


def _run(
    folder: Path, arguments: tuple[str, ...], extra: dict[str, str], given: bytes | None
) -> subprocess.CompletedProcess[bytes]:
    environment = {
        **releases.environment(),
        "GIT_AUTHOR_NAME": AUTHOR,
        "GIT_AUTHOR_EMAIL": ADDRESS,
        "GIT_COMMITTER_NAME": AUTHOR,
        "GIT_COMMITTER_EMAIL": ADDRESS,
        **extra,
    }
    argv = ["git", "-C", str(folder), "-c", f"core.hooksPath={os.devnull}", *arguments]
    try:
        return subprocess.run(
            argv, env=environment, input=given, capture_output=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise errors.TemporaryFailure(f"git {arguments[0]} did not finish: {error}") from error
