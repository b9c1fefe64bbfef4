"""Which paths of a change need a human's word, read from the trees and not from what is claimed.

Called by the engines for the report, by the deploy stage for the question, and by the controller,
which believes neither. The rules themselves are in incidents/protection.py.
"""

from collections.abc import Sequence

from agents.builtin import pins
from agents.git import Repository
from incidents import protection
from incidents.reports import RemedyKind

# What goes back to an earlier state brings the tests of that state along; what is newly written has
# no business with the tests it is judged by.
WRITTEN = (RemedyKind.GUARD, RemedyKind.EDIT)
ADDED = "A"


def of(
    repository: Repository,
    base: str,
    tree: str,
    remedy: RemedyKind,
    named: Sequence[str],
    commands: Sequence[Sequence[str]],
) -> tuple[str, ...]:
    """Return the protected paths that differ between two trees, each with the reason.

    `named` are the service's globs, `commands` the argvs of its test and its reproduction.
    """
    changes = repository.diff_trees(base, tree)
    files = repository.files(base)
    must = {path for argv in commands for path in pins.named(argv, files) if pins.testlike(path)}
    if remedy in WRITTEN:
        must |= {one.path for one in changes if one.kind != ADDED and pins.testlike(one.path)}
    paths = [one.path for one in changes]
    return tuple(str(one) for one in protection.protected(paths, named, must))
