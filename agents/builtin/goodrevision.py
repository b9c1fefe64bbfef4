"""Which revision counts as the last good one, and how it was chosen.

Called by the diagnosis. A revision that a person or the record of deploys names is taken first;
else the nearest older revision on which the same test passes. The choice is said in the report.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from agents import git
from agents.builtin.reproduction import Mark
from agents.builtin.source import Source
from agents.case import Case
from incidents import models

REACH = 256  # first-parent commits that the search goes back, at most


@dataclass(frozen=True)
class Deployed:
    """One revision that reached production."""

    revision: str
    at: datetime
    name: str


@dataclass(frozen=True)
class Good:
    """A revision before the failure, and the words that say why it was taken."""

    revision: str
    how: str


def deploys(source: Source, case: Case, head: str) -> tuple[Deployed, ...]:
    """Return the revisions that reached production and are contained in `head`, oldest first."""
    found = [
        Deployed(tag.sha, tag.at, f"tag {tag.name}")
        for tag in (source.repository.tags(case.tags) if case.tags else ())
    ]
    for change in case.changes:
        if change.kind is models.ChangeKind.DEPLOY and change.after:
            try:
                sha = source.repository.resolve(change.after)
            except git.UnknownRevision:
                continue
            found.append(Deployed(sha, change.at, f"deploy recorded by {change.source}"))
    contained = {commit.sha for commit in source.between(None, head)}
    return tuple(sorted((item for item in found if item.revision in contained), key=lambda d: d.at))


def candidates(
    source: Source,
    released: Sequence[Deployed],
    floor: str | None,
    head: str,
    reach: int = REACH,
) -> list[Good]:
    """Return the revisions worth trying, nearest first: earlier deploys, else 1, 2, 4, … back.

    Whoever reaches further than usual looks beside the deploys as well.
    """
    window = [commit.sha for commit in source.window(floor, head, reach + 1)]
    names = {item.revision: item for item in released if item.revision != head}
    tagged = [sha for sha in reversed(window[:-1]) if sha in names]
    if tagged and floor is None and reach <= REACH:
        steps = _doubling(tagged)
        return [
            Good(sha, f"the newest deploy on which it passes ({names[sha].name})") for sha in steps
        ]
    older = list(reversed(window[:-1]))
    return [Good(sha, "the nearest older revision on which it passes") for sha in _doubling(older)]


def _doubling(items: Sequence[str]) -> list[str]:
    if not items:
        return []
    picked, step = [], 1
    while step <= len(items):
        picked.append(items[step - 1])
        step *= 2
    if picked[-1] != items[-1]:
        picked.append(items[-1])
    return picked


def nearest(
    options: Sequence[Good], test: Callable[[Sequence[str]], list[str]]
) -> tuple[Good | None, Good | None]:
    """Return the nearest good option and the oldest bad one; `test` marks several at once."""
    oldest_bad: Good | None = None
    for start in range(0, len(options), 2):
        pair = options[start : start + 2]
        for option, mark in zip(pair, test([item.revision for item in pair]), strict=True):
            if mark == Mark.GOOD:
                return option, oldest_bad
            if mark == Mark.BAD:
                oldest_bad = option
    return None, oldest_bad
