"""What makes the given facts doubtful: a cut history, a good revision that is none, a wrong clock.

Called by the diagnosis while it looks. Each doubt is one sentence and becomes a gap of the report;
nothing here decides a verdict.
"""

from datetime import UTC, datetime, timedelta

from agents import git
from agents.builtin.logreading import LogReading
from agents.builtin.source import Source

SKEW = timedelta(minutes=15)


def of_repository(repository: git.Repository) -> list[str]:
    """Return what cannot be seen in a repository."""
    found = []
    if repository.is_shallow:
        found.append(
            "the repository is shallow: older commits cannot be seen; "
            "`git fetch --unshallow` brings them"
        )
    if begun := repository.unfinished:
        found.append(f"{begun} is under way in the repository: only what is committed was read")
    return found


def of_good(
    source: Source, repository: git.Repository, named: str, head: str
) -> tuple[str | None, bool, list[str]]:
    """Return the revision that can stand for the one named as good, whether it is that one, doubts.

    Raises `git.UnknownRevision` if there is none of that name.
    """
    good = repository.resolve(named)
    if good == head:
        doubt = f"{named!r} was named as good and is the broken revision itself: it was not used"
        return None, False, [doubt]
    if repository.is_ancestor(good, head):
        return good, True, []
    said = f"{named!r} was named as good and is not an ancestor of the broken revision"
    fork = source.merge_base(good, head)
    if fork is None:
        return None, False, [f"{said}, nor do they share any history: it was not used"]
    return fork, False, [f"{said}: their fork {fork[:12]} was used, which nobody called good"]


def of_clock(reading: LogReading) -> list[str]:
    """Return the doubt about logs whose newest record lies in the future."""
    if reading.end is None or reading.end < datetime.now(UTC) + SKEW:
        return []
    return [
        f"the logs go on until {reading.end:%Y-%m-%d %H:%M} UTC, which is in the future: the clock "
        "or the zone that they were written with is wrong, and the onset with it"
    ]
