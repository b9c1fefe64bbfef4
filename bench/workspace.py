"""Measures the workspaces and the in-memory revert against plain git, on a repository made here.

Run with `python -m bench.workspace`; also called by the bench as a whole. Both sides of a row run
in turn, on the same disk, in the same process.
"""

import functools
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

from agents import git, sandbox, workspace

FILES = 5000
COMMITS = 12
ROUNDS = 7
STARTS = 9
FILES_PER_COMMIT = 10


class Row(TypedDict):
    """One figure beside its anchor; times in milliseconds, medians."""

    what: str
    aim: str
    value: float
    anchor: float
    ratio: float


def rows() -> list[Row]:
    """Measure every figure of this file."""
    with tempfile.TemporaryDirectory(prefix="halon-bench-") as folder:
        root = Path(folder)
        shas = _history(root / "repository")
        return [_ready(root, shas), _revert(root, shas), *_starts(root)]


def _ready(root: Path, shas: list[str]) -> Row:
    """A private folder of another revision, ready to run its code."""
    with git.Repository(root / "repository") as repository:
        pool = workspace.Workspaces(repository, root / "pool")
        with pool.lease(shas[0]):
            pass
        ours, theirs = [], []
        for number in range(ROUNDS):
            sha = shas[-1] if number % 2 == 0 else shas[0]
            place = root / f"worktree-{number}"
            ours.append(_milliseconds(functools.partial(_lease, pool, sha)))
            theirs.append(_milliseconds(functools.partial(_add, root / "repository", place, sha)))
            _git(root / "repository", "worktree", "remove", "--force", str(place))
    what = f"a private workspace of {FILES} files, warm / git worktree add"
    return _row(what, "<= 0.3", ours, theirs)


def _revert(root: Path, shas: list[str]) -> Row:
    """Whether a commit can be taken out of the newest revision without a conflict."""
    place = root / "reverts"
    _git(root / "repository", "worktree", "add", "--quiet", "--detach", str(place), shas[-1])
    suspects = shas[1 : ROUNDS + 1]
    with git.Repository(root / "repository") as repository:
        checks = [functools.partial(_clean, repository, sha, shas[-1]) for sha in suspects]
        ours = [_milliseconds(check) for check in checks]
    reverts = [functools.partial(_try_revert, place, sha, shas[-1]) for sha in suspects]
    theirs = [_milliseconds(revert) for revert in reverts]
    return _row("is a revert clean? / git revert in a kept worktree", "<= 0.2", ours, theirs)


def _starts(root: Path) -> list[Row]:
    """What a sandbox adds to the start of a command."""
    tree = root / "empty"
    tree.mkdir()
    profile, limits = sandbox.Profile(tree), sandbox.Limits(seconds=30)
    found = []
    for probe in sandbox.probe():
        if not probe.works:
            continue
        box = sandbox.choose(probe.name)
        start = functools.partial(box.run, ["/bin/true"], profile, limits)
        ours = [_milliseconds(start) for _ in range(STARTS)]
        bare = functools.partial(subprocess.run, ["/bin/true"], check=True)
        plain = [_milliseconds(bare) for _ in range(STARTS)]
        found.append(_row(f"a command in sandbox {probe.name} / bare", "< 60 ms more", ours, plain))
    return found


def _lease(pool: workspace.Workspaces, sha: str) -> None:
    with pool.lease(sha):
        pass


def _add(repository: Path, place: Path, sha: str) -> None:
    _git(repository, "worktree", "add", "--quiet", "--detach", str(place), sha)


def _clean(repository: git.Repository, sha: str, onto: str) -> None:
    if repository.revert_tree(sha, onto).tree is None:
        raise RuntimeError(f"the revert of {sha} was expected to be clean")


def _try_revert(place: Path, sha: str, back: str) -> None:
    _git(place, "revert", "--no-edit", sha)
    _git(place, "reset", "--quiet", "--hard", back)


def _row(what: str, aim: str, ours: list[float], theirs: list[float]) -> Row:
    value, anchor = statistics.median(ours), statistics.median(theirs)
    return Row(what=what, aim=aim, value=value, anchor=anchor, ratio=value / anchor)


def _milliseconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000


def _history(folder: Path) -> list[str]:
    """Make a repository whose commits each change a few files, in separate places."""
    folder.mkdir()
    _git(folder, "init", "--quiet", "-b", "main")
    for number in range(FILES):
        path = folder / f"package{number % 50:02}" / f"module{number:04}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"value_{line} = {number}\n" for line in range(60)))
    shas = [_commit(folder, "first")]
    for commit in range(1, COMMITS):
        for number in range(FILES_PER_COMMIT):
            which = (commit * 97 + number * 31) % FILES
            path = folder / f"package{which % 50:02}" / f"module{which:04}.py"
            path.write_text(path.read_text() + f"changed_{commit} = True\n")
        shas.append(_commit(folder, f"change {commit}"))
    return shas


def _commit(folder: Path, subject: str) -> str:
    _git(folder, "add", "--all")
    _git(folder, "commit", "--quiet", "-m", subject)
    return _git(folder, "rev-parse", "HEAD")


def _git(folder: Path, *args: str) -> str:
    env = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(folder.parent),
        **{
            f"GIT_{who}_{what}": "bench@localhost"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
    }
    argv = ["git", "-C", str(folder), "-c", "gc.auto=0", *args]
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    for row in rows():
        print(
            f"{row['what']:70} {row['value']:8.1f} ms {row['anchor']:8.1f} ms"
            f"   x {row['ratio']:5.2f}   aim {row['aim']}"
        )
