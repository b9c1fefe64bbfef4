"""Reads a service's repository and builds trees from it in memory; never writes into it.

Used by the engines, the tools and the workspaces. Refs are read from the repository itself; all
else runs in a private git directory that borrows its objects, so that no command named in the
repository's configuration can start, and every new object lands in a scratch folder that `close`
removes.
"""

import re
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from agents import gitcalls, gitlines, gitplaces
from agents.gitlines import BlameLine, Change, Commit, Reverted, Tag
from agents.gitplaces import RepositoryUnreadable
from incidents import errors

__all__ = [
    "BlameLine",
    "Change",
    "Commit",
    "Repository",
    "RepositoryUnreadable",
    "Reverted",
    "Tag",
    "UnknownRevision",
]

BAD_NAME = re.compile(r"^$|^-|^:|[\x00-\x20\x7f*?\[\\]|\.\.|\^\{/|@\{(?!u|\d)")
FULL_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
# Enough for any answer that a person reads; `rev-list` alone counts further.
LOG_LIMIT = 1000
# Commits read ahead: suspects lie between two deploys, which are hardly ever further apart.
WINDOW = 1000
NOBODY = "author Halon <halon@localhost> 0 +0000\ncommitter Halon <halon@localhost> 0 +0000\n"
REGULAR, EXECUTABLE, SYMLINK = "100644", "100755", "120000"


class UnknownRevision(errors.NotFound):
    """The repository has no such commit, branch or tag."""


class Repository:
    """One repository, bare or with a work tree, found at `path` or in a folder above it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.git_dir = gitplaces.find(path)
        answer = self._own("rev-parse", "--git-common-dir", "--show-object-format")
        common, self.object_format = answer.text.splitlines()
        self.common_dir = (self.git_dir / common).resolve()
        self.scratch = Path(tempfile.mkdtemp(prefix="halon-git-"))
        self._remove = weakref.finalize(self, shutil.rmtree, self.scratch, ignore_errors=True)
        gitplaces.make_private(self.scratch, self.common_dir, self.object_format)
        # What never changes: a commit's tree and parents, by its full sha, and what is a tree.
        self._seen: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._trees: set[str] = set()
        self._windows: dict[str, frozenset[str]] = {}
        self._verified_shas: dict[tuple[str, str], str] = {}

    def close(self) -> None:
        """Remove the scratch folder with every object that was made here."""
        self._remove()

    def __enter__(self) -> Self:
        """Use the repository in a `with` block, closed at its end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the repository."""
        self.close()

    # -- what is there

    @property
    def is_bare(self) -> bool:
        """Tell whether the repository has no work tree."""
        return self._own("rev-parse", "--is-bare-repository").text == "true"

    @property
    def is_shallow(self) -> bool:
        """Tell whether history was cut off when the repository was cloned."""
        return (self.common_dir / "shallow").is_file()

    @property
    def unfinished(self) -> str | None:
        """Name the merge or the like that somebody began in the work tree and has not ended."""
        return gitplaces.unfinished(self.git_dir)

    def resolve(self, revision: str) -> str:
        """Give the full sha of the commit that a name means; UnknownRevision if there is none."""
        if revision in self._seen:
            return revision
        return self._verified(revision, "commit")

    def parents(self, revision: str) -> tuple[str, ...]:
        """Give the shas of a commit's parents, none for the first of its history."""
        sha = self.resolve(revision)
        if sha not in self._seen:
            self._window(sha, 1)
        return self._seen[sha][1]

    def tree_of(self, revision: str) -> str:
        """Give the sha of the tree of a commit, or of a tree itself."""
        if revision in self._seen:
            return self._seen[revision][0]
        if revision in self._trees:
            return revision
        tree = self._verified(revision, "tree")
        self._trees.add(tree)
        return tree

    def head(self) -> str:
        """Give the sha of the commit that is checked out."""
        try:
            return self.resolve("HEAD")
        except UnknownRevision as error:
            raise UnknownRevision(
                f"The repository {str(self.path)!r} has no commits yet; make a first one."
            ) from error

    def branch(self) -> str | None:
        """Give the name of the branch that is checked out, None for a detached head."""
        return self._own("symbolic-ref", "--short", "-q", "HEAD", codes=(0, 1)).text or None

    def tags(self, pattern: str = "*") -> list[Tag]:
        """List the tags that match a pattern of the shell's kind, oldest first."""
        fields = "%(refname:strip=2)%00%(objectname)%00%(*objectname)%00%(creatordate:unix)"
        answer = self._own(
            *("for-each-ref", "--sort=creatordate", f"--format={fields}", f"refs/tags/{pattern}")
        )
        rows = [line.split("\0") for line in answer.text.splitlines()]
        return [
            Tag(name, peeled or sha, datetime.fromtimestamp(int(at or 0), UTC))
            for name, sha, peeled, at in rows
        ]

    def files(self, revision: str) -> tuple[str, ...]:
        """List the paths of all files of a revision, links included, submodules left out."""
        answer = self.run("ls-tree", "-r", "-z", "--full-tree", self.tree_of(revision))
        entries = [entry.partition("\t") for entry in _items(answer.out)]
        return tuple(path for meta, _, path in entries if not meta.startswith("160000"))

    def show(self, revision: str, path: str) -> bytes | None:
        """Give the content of a file at a revision, None when there is no such file."""
        entry = self._entry(self.tree_of(revision), path)
        if entry is None or entry[0] == "160000":
            return None
        return self.run("cat-file", "blob", entry[1]).out

    # -- history

    def log(
        self,
        revisions: str,
        *,
        paths: Sequence[str] = (),
        first_parent: bool = False,
        limit: int = LOG_LIMIT,
    ) -> list[Commit]:
        """List commits, newest first, of a revision or of a range `a..b`, with the paths of each.

        A merge's paths are those that differ from its first parent.
        """
        args = ["log", "-z", f"--format={gitlines.LOG_FORMAT}", f"--max-count={limit}"]
        args += ["--first-parent"] if first_parent else []
        answer = self.run(*args, *self._range(revisions), "--", *paths)
        commits = gitlines.commits(answer.out)
        if not commits:
            return []
        touched = self.run(
            *("diff-tree", "--stdin", "-r", "-z", "--root", "--raw", "--no-renames"),
            *("--diff-merges=first-parent", "--always"),
            content="".join(f"{commit.sha}\n" for commit in commits).encode(),
        )
        return gitlines.with_paths(commits, touched.out)

    def is_ancestor(self, old: str, new: str) -> bool:
        """Tell whether `old` is contained in `new`."""
        shas = self.resolve(old), self.resolve(new)
        return self.run("merge-base", "--is-ancestor", *shas, codes=(0, 1)).code == 0

    def merge_base(self, a: str, b: str) -> str | None:
        """Give the newest commit that both contain, None when their histories are unrelated."""
        shas = self.resolve(a), self.resolve(b)
        return self.run("merge-base", *shas, codes=(0, 1)).text or None

    def diff(self, old: str, new: str, paths: Sequence[str] = (), *, context: int = 3) -> str:
        """Give the unified diff between two revisions or trees."""
        args = ["diff-tree", "-p", "-r", f"-U{context}", "--full-index", "--no-renames"]
        args += ["--no-ext-diff", "--no-textconv", "--no-color"]
        answer = self.run(*args, self.tree_of(old), self.tree_of(new), "--", *paths)
        return answer.out.decode(errors="replace")

    def diff_trees(self, old: str, new: str, paths: Sequence[str] = ()) -> list[Change]:
        """List the paths that differ between two revisions or trees."""
        args = ["diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames"]
        answer = self.run(*args, self.tree_of(old), self.tree_of(new), "--", *paths)
        return gitlines.changes(answer.out)

    def changed_lines(
        self, old: str, new: str, paths: Sequence[str] = ()
    ) -> dict[str, tuple[tuple[range, range], ...]]:
        """Give, for each changed file, the pairs of old and new line ranges that differ."""
        return {
            change.path: gitlines.hunks(self.diff(old, new, [change.path], context=0))
            for change in self.diff_trees(old, new, paths)
        }

    def blame(
        self, revision: str, path: str, first: int, last: int, since: str | None = None
    ) -> list[BlameLine]:
        """Tell which commit last changed each line; those before `since` are marked `older`.

        Always give `since` on a long history: it bounds the search to the window of deploys.
        """
        until = self.resolve(revision)
        window = [until] if since is None else [until, f"^{self.resolve(since)}"]
        content = self.show(until, path)
        lines = 0 if content is None else content.count(b"\n") + (not content.endswith(b"\n"))
        first, last = max(1, first), min(last, lines)
        if first > last:
            return []
        answer = self.run("blame", "--porcelain", f"-L{first},{last}", *window, "--", path)
        return gitlines.blamed(answer.out)

    # -- trees in memory

    def revert_tree(self, commit: str, onto: str) -> Reverted:
        """Take one commit out of a revision, in memory: three trees merged, nothing checked out.

        The inverse commit has the commit as its parent and the tree of the commit's first parent,
        so merging it is exactly "that revision without this commit". No conflict is resolved.
        """
        target = self.resolve(onto)
        window = self._window(target)
        sha = self.resolve(commit)
        if sha not in window and not self.is_ancestor(sha, target):
            return Reverted(None, reason=f"{sha[:12]} is not contained in {target[:12]}")
        parents = self.parents(sha)
        if not parents:
            return Reverted(None, reason=f"{sha[:12]} is the first commit of its history")
        text = f"tree {self.tree_of(parents[0])}\nparent {sha}\n{NOBODY}\ninverse\n"
        inverse = gitlines.write_object(self.scratch, self.object_format, "commit", text.encode())
        args = ["merge-tree", "--write-tree", "--name-only", "--no-messages", "-z"]
        answer = self.run(*args, target, inverse, codes=(0, 1))
        tree, *conflicts = _items(answer.out)
        if answer.code == 0:
            return Reverted(tree)
        return Reverted(
            None, tuple(dict.fromkeys(conflicts)), "later commits changed the same lines"
        )

    def tree_with(self, base: str, files: Mapping[str, bytes | None]) -> str:
        """Give the tree of `base` with some files replaced, added, or (None) removed."""
        tree = self.tree_of(base)
        lines = []
        for path, content in files.items():
            gitlines.check_path(path)
            if content is None:
                lines.append(f"0 {'0' * len(tree)}\t{path}\0")
                continue
            known = self._entry(tree, path)
            mode = known[0] if known and known[0] in (REGULAR, EXECUTABLE) else REGULAR
            blob = self.run("hash-object", "-w", "--stdin", "-t", "blob", content=content).text
            lines.append(f"{mode} {blob}\t{path}\0")
        return self._indexed(tree, ["update-index", "-z", "--index-info"], "".join(lines))

    def apply(self, base: str, patch: str) -> str:
        """Give the tree of `base` with a unified diff applied; GitFailed when it does not fit."""
        return self._indexed(self.tree_of(base), ["apply", "--cached", "-"], patch)

    def commit(self, tree: str, parents: Iterable[str], message: str) -> str:
        """Make a commit of a tree in the scratch folder and give its sha."""
        flags = [word for parent in parents for word in ("-p", parent)]
        return self.run("commit-tree", tree, *flags, content=message.encode()).text

    # -- how

    def run(
        self,
        *args: str,
        content: bytes | None = None,
        codes: tuple[int, ...] = (0,),
        env: Mapping[str, str] | None = None,
    ) -> gitcalls.Answer:
        """Run git in the private directory: only on full shas, since it holds no refs."""
        return gitcalls.call(args, git_dir=self.scratch, env=env, content=content, codes=codes)

    def _own(self, *args: str, codes: tuple[int, ...] = (0,)) -> gitcalls.Answer:
        """Run git on the repository itself: for refs, and only to read."""
        borrowed = {}
        if hasattr(self, "scratch"):
            borrowed["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = str(self.scratch / "objects")
        try:
            return gitcalls.call(args, git_dir=self.git_dir, codes=codes, env=borrowed)
        except gitcalls.GitFailed as error:
            raise RepositoryUnreadable(
                f"The repository {str(self.path)!r} cannot be read: {error.message}"
            ) from error

    def _verified(self, revision: str, kind: str) -> str:
        if (revision, kind) in self._verified_shas:
            return self._verified_shas[revision, kind]
        if not BAD_NAME.search(revision):
            name = f"{revision}^{{{kind}}}"
            args = ("rev-parse", "--verify", "--quiet", "--end-of-options", name)
            answer = self._own(*args, codes=(0, 1, 128))
            if answer.code == 0:
                if FULL_SHA.fullmatch(revision):  # a name may mean another commit tomorrow
                    self._verified_shas[revision, kind] = answer.text
                return answer.text
        mend = (
            "the clone is shallow: `git fetch --unshallow` brings its full history"
            if self.is_shallow
            else "name a commit, branch or tag that it has"
        )
        raise UnknownRevision(
            f"The repository {str(self.path)!r} has no revision {revision!r}; {mend}."
        )

    def _window(self, sha: str, limit: int = WINDOW) -> frozenset[str]:
        """Read a commit's newest ancestors at once: the same ones are asked for many times."""
        if sha not in self._windows:
            answer = self.run("log", "--format=%H %T %P", f"--max-count={limit}", sha)
            rows = [line.split() for line in answer.text.splitlines()]
            self._seen |= {row[0]: (row[1], tuple(row[2:])) for row in rows}
            found = frozenset(row[0] for row in rows)
            if limit < WINDOW:
                return found
            self._windows[sha] = found
        return self._windows[sha]

    def _range(self, revisions: str) -> list[str]:
        old, dots, new = revisions.partition("..")
        return [self.resolve(new), f"^{self.resolve(old)}"] if dots else [self.resolve(old)]

    def _entry(self, tree: str, path: str) -> tuple[str, str] | None:
        answer = self.run("ls-tree", "-z", "--full-tree", tree, "--", path)
        for entry in _items(answer.out):
            meta, _, found = entry.partition("\t")
            mode, kind, sha = meta.split()
            if found == path and kind != "tree":
                return mode, sha
        return None

    def _indexed(self, tree: str, command: list[str], content: str) -> str:
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            env = {"GIT_INDEX_FILE": f"{folder}/index"}
            self.run("read-tree", tree, env=env)
            raw = content.encode("utf-8", "surrogateescape")
            self.run(*command, content=raw, env=env)
            return self.run("write-tree", env=env).text


def _items(raw: bytes) -> list[str]:
    return [gitcalls.decoded(item) for item in raw.split(b"\0") if item]
