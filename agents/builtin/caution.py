"""The checks of a patch that need no judgement: does it apply, can it be undone, what is near.

Used by the remedies and the test stage; reads trees and diffs only.
"""

import re
from collections.abc import Iterable, Iterator

from agents.builtin import suspects
from agents.builtin.workbench import Workbench
from agents.gitcalls import GitFailed
from incidents.reports import Check

MIGRATION = re.compile(
    r"(?:^|/)(?:migrations?|alembic|versions|db/migrate|schema)(?:/|$)|\.sql$|\.proto$|\.avsc$|schema\.\w+$"
)

SCHEMA = re.compile(
    r"\b(?:ALTER|DROP|CREATE|RENAME)\s+(?:UNIQUE\s+)?"
    r"(?:TABLE|COLUMN|INDEX|SCHEMA|DATABASE|VIEW|TYPE|SEQUENCE|CONSTRAINT)\b"
    r"|\bADD\s+COLUMN\b|\b(?:create|drop)_all\(|\bmigrations\.[A-Z]\w+\("
    r"|\bop\.(?:add|alter|bulk|create|drop|execute|rename)\w*\(",
    re.IGNORECASE,
)
DELETION = re.compile(
    r"\bDELETE\s+FROM\b|\bTRUNCATE\s+\w|\bFLUSH(?:ALL|DB)\b|\bdrop_?(?:collection|database)\b"
    r"|\bdelete_?many\b|\.delete\(\s*\)|\bpurge_?queue\b"
    r"|\brmtree\(|\bos\.(?:remove|unlink|rmdir)\(|\.unlink\(|\brm\s+-\w*[rf]",
    re.IGNORECASE,
)
TEST_FOLDER = re.compile(r"(?:^|/)tests?/")  # what lies there is not run in production


def needs_a_human(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the paths whose change may not fit data that was written since."""
    return tuple(
        path for path in paths if MIGRATION.search(path) or suspects.LOCK_FILE.search(path)
    )


def delicate(paths: Iterable[str], diff: str) -> tuple[str, ...]:
    """Return what of a patch a person must look at: delicate paths, and lines it adds that change a
    schema or delete data, as `path: line`."""
    return needs_a_human(paths) + tuple(_dangerous_lines(diff))


def _dangerous_lines(diff: str) -> Iterator[str]:
    path, served = "", True
    for row in diff.splitlines():
        if row.startswith("+++ "):
            path = row[4:].removeprefix("b/")
            served = TEST_FOLDER.search(path) is None
        elif row.startswith("+") and served and (SCHEMA.search(row) or DELETION.search(row)):
            yield f"{path}: {row[1:].strip()[:80]}"


def applied(bench: Workbench, base: str, diff: str) -> str | None:
    """Return the tree of `base` with a diff applied by git, or None if it does not fit."""
    try:
        return bench.repository.apply(base, diff)
    except GitFailed:
        return None


def reversed_tree(bench: Workbench, old: str, new: str) -> str | None:
    """Return the tree that taking the patch back from `new` gives."""
    return applied(bench, new, bench.repository.diff(new, old))


def checks(bench: Workbench, base: str, tree: str, diff: str) -> tuple[Check, ...]:
    """Return the checks of a patch, the first of which is that it applies."""
    old = bench.source.tree(base)
    paths = [change.path for change in bench.repository.diff_trees(base, tree)]
    found = delicate(paths, diff)
    rows = diff.splitlines()
    size = sum(line.startswith(("+", "-")) and not line.startswith(("+++", "---")) for line in rows)
    return (
        Check(
            text="the diff applies to the broken revision and gives exactly the tested tree",
            passed=applied(bench, base, diff) == tree,
        ),
        Check(
            text="taking it back restores the exact old tree",
            passed=reversed_tree(bench, base, tree) == old,
        ),
        Check(
            text="no migration, schema, lock file or data format is changed, no data deleted",
            passed=not found,
            detail=", ".join(found[:5]),
        ),
        Check(
            text="the change is small",
            passed=size <= 400,
            detail=f"{len(paths)} files, {size} lines",
        ),
        Check(
            text="no file of git itself and no link is changed",
            passed=all(
                change.new_mode != "120000" for change in bench.repository.diff_trees(base, tree)
            ),
        ),
    )
