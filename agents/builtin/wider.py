"""Takes a commit out together with what was built on it, or puts its files back: trees in memory.

Called by the containments and by production-fixer where the commit alone cannot be taken out. It
says what goes with it; whether a tree holds is shown by replays, never here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agents.builtin.workbench import Workbench
from agents.git import Commit

MOST_DEPENDENTS = 8


@dataclass(frozen=True)
class Taken:
    """A tree without a commit, and the shas or the paths that went with it."""

    tree: str
    along: tuple[str, ...]


def with_dependents(bench: Workbench, head: str, culprit: str) -> Taken | str:
    """Take a commit out after later ones that touch its files: one of them, else all; or why not.

    One is enough as a rule, and the newest that is goes: what was built on other lines stays.
    """
    later = _later(bench, head, culprit)
    if not later:
        return "no later commit touches the same files"
    if len(later) > MOST_DEPENDENTS:
        return f"{len(later)} later commits build on it: too many"
    shas = [commit.sha for commit in reversed(later)]
    for group in (*([sha] for sha in shas), shas):
        made = _without(bench, head, [*group, culprit])
        if made is not None:
            return Taken(made, tuple(reversed(group)))
    return "it cannot be taken out even with what was built on it"


def files_before(bench: Workbench, head: str, culprit: str) -> Taken | str:
    """Put a commit's files back as they were before it, later changes of them too; or why not."""
    source = bench.source
    parents = source.parents(culprit)
    if not parents:
        return "it is the first commit"
    before, now = set(source.files(parents[0])), set(source.files(head))
    paths = tuple(path for path in source.paths(culprit) if path in before and path in now)
    if not paths:
        return "none of its files was there before it"
    return Taken(source.pinned(source.tree(head), parents[0], paths), paths)


def _later(bench: Workbench, head: str, culprit: str) -> list[Commit]:
    paths = set(bench.source.paths(culprit))
    return [
        one
        for one in bench.source.between(culprit, head)
        if not one.is_merge and paths.intersection(one.paths)
    ]


def _without(bench: Workbench, head: str, commits: Sequence[str]) -> str | None:
    """Return the tree of `head` with these taken out one after the other, None on a conflict."""
    repository, onto, tree = bench.repository, head, ""
    for one in commits:
        made = repository.revert_tree(one, onto)
        if made.tree is None:
            return None
        tree = made.tree
        onto = repository.commit(tree, [head], "a step of a revert")
    return tree
