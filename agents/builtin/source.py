"""The repository as the proof asks for it: chains of commits, and trees with one commit in or out.

Wraps `agents.git.Repository` with the answers kept, since a proof asks for the same ones many
times. It never writes into the service's repository.
"""

import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from agents import gitcalls
from agents.git import Commit, Repository, Reverted

WINDOW = 400  # first-parent commits that are looked at, at most


@dataclass
class Source:
    """One repository at one broken revision."""

    repository: Repository
    _commits: dict[str, Commit] = field(default_factory=dict)
    _trees: dict[str, str] = field(default_factory=dict)
    _made: dict[tuple[str, ...], Reverted] = field(default_factory=dict)
    _pinned: dict[tuple[str, str, tuple[str, ...]], str] = field(default_factory=dict)
    _files: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _lines: dict[tuple[str, tuple[str, ...]], str] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def tree(self, revision: str) -> str:
        """Return the tree of a commit or of a tree."""
        with self._lock:
            if revision not in self._trees:
                self._trees[revision] = self.repository.tree_of(revision)
            return self._trees[revision]

    def asked(self) -> tuple[str, ...]:
        """Return the commits whose trees were asked for."""
        return tuple(sha for sha in self._trees if sha in self._commits)

    def commit(self, sha: str) -> Commit:
        """Return one commit with its paths."""
        if sha not in self._commits:
            self._commits[sha] = self.repository.log(sha, limit=1)[0]
        return self._commits[sha]

    def parents(self, sha: str) -> tuple[str, ...]:
        """Return a commit's parents."""
        return self.commit(sha).parents

    def paths(self, sha: str) -> tuple[str, ...]:
        """Return the paths that a commit changes against its first parent."""
        return self.commit(sha).paths

    def chain(self, good: str, head: str) -> list[str]:
        """Return the first-parent commits after `good` up to `head`, oldest first."""
        return [commit.sha for commit in self.window(good, head)]

    def window(self, good: str | None, head: str, limit: int = WINDOW) -> list[Commit]:
        """Return the first-parent commits after `good` (else up to the limit), oldest first."""
        span = f"{good}..{head}" if good else head
        commits = self.repository.log(span, first_parent=True, limit=limit)
        self._keep(commits)
        return list(reversed(commits))

    def between(self, good: str | None, head: str, limit: int = WINDOW) -> list[Commit]:
        """Return every commit after `good` up to `head`, merged branches included, oldest first."""
        span = f"{good}..{head}" if good else head
        commits = self.repository.log(span, limit=limit)
        self._keep(commits)
        return list(reversed(commits))

    def brought_by(self, merge: str) -> list[str]:
        """Return the commits that a merge brings in, oldest first."""
        first = self.parents(merge)[0]
        return [item.sha for item in self.between(first, merge) if item.sha != merge]

    def merge_base(self, a: str, b: str) -> str | None:
        """Return the newest commit that both contain."""
        return self.repository.merge_base(a, b)

    def without(self, head: str, commit: str) -> tuple[str | None, tuple[str, ...]]:
        """Return the tree of `head` without exactly this commit, or the paths in the way."""
        key = ("without", head, commit)
        if key not in self._made:
            self._made[key] = self.repository.revert_tree(commit, head)
        made = self._made[key]
        return made.tree, made.conflicts

    def with_only(self, good: str, commit: str) -> str | None:
        """Return the tree of `good` plus exactly this change, or None if it does not fit."""
        key = ("with", good, commit)
        if key not in self._made:
            self._made[key] = self._picked(good, commit)
        return self._made[key].tree

    def _picked(self, good: str, commit: str) -> Reverted:
        parents = self.parents(commit)
        if not parents:
            return Reverted(None, reason="the first commit of its history")
        # A commit with the good tree whose parent is the commit's parent: that is the merge base,
        # so the merge is exactly "the good revision plus this change".
        base = self.repository.commit(self.tree(good), [parents[0]], "good")
        args = ["merge-tree", "--write-tree", "--name-only", "--no-messages", "-z"]
        if len(parents) > 1:
            tip = self.repository.commit(self.tree(commit), [parents[0]], "squashed")
        else:
            tip = commit
        answer = self.repository.run(*args, base, tip, codes=(0, 1))
        tree = answer.out.split(b"\0")[0].decode()
        return Reverted(tree) if answer.code == 0 else Reverted(None, reason="does not fit")

    def pinned(self, tree: str, revision: str, paths: Sequence[str]) -> str:
        """Return a tree with these files as they are at `revision`."""
        key = (tree, revision, tuple(paths))
        with self._lock:
            if key not in self._pinned:
                self._pinned[key] = self._pin(tree, self._entries(revision, paths))
            return self._pinned[key]

    def _entries(self, revision: str, paths: Sequence[str]) -> str:
        """Return the index lines of files at a revision, for `update-index --index-info`."""
        key = (revision, tuple(paths))
        if key not in self._lines:
            wanted = set(paths)
            out = self.repository.run("ls-tree", "-r", "-z", "--full-tree", self.tree(revision)).out
            rows = [gitcalls.decoded(row) for row in out.split(b"\0") if row]
            kept = [row for row in rows if row.partition("\t")[2] in wanted]
            self._lines[key] = "".join(f"{row}\0" for row in kept)
        return self._lines[key]

    def _pin(self, tree: str, lines: str) -> str:
        with tempfile.TemporaryDirectory(dir=self.repository.scratch) as folder:
            env = {"GIT_INDEX_FILE": f"{folder}/index"}
            self.repository.run("read-tree", tree, env=env)
            content = lines.encode("utf-8", "surrogateescape")
            self.repository.run("update-index", "-z", "--index-info", content=content, env=env)
            return self.repository.run("write-tree", env=env).text

    def files(self, revision: str) -> tuple[str, ...]:
        """Return the paths of all files of a revision."""
        tree = self.tree(revision)
        if tree not in self._files:
            self._files[tree] = self.repository.files(tree)
        return self._files[tree]

    def _keep(self, commits: Sequence[Commit]) -> None:
        for commit in commits:
            self._commits.setdefault(commit.sha, commit)
