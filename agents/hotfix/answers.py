"""What became of a tracker: the result, its record, and the answer written into the file.

Called by the protocol and by the shell. An answer is written last; that it cannot be written is
part of the result, never a reason to lose it.
"""

import shlex
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from agents.hotfix import steps, tracker, tree
from agents.hotfix.notebook import IN_PLACE, Notebook, Record, State
from agents.hotfix.tracker import Tracker
from agents.hotfix.tree import WorkTree
from incidents import errors, report_text, reports


@dataclass(frozen=True)
class Result:
    """What became of a tracker; `fit` is False where it could not be worked at all."""

    path: Path
    state: State | None
    sentence: str
    report: reports.Hotfix | None = None
    fit: bool = True
    answered: bool = True
    new: bool = True  # False: this content was worked before


def refused(read: Tracker, message: str) -> Result:
    """Answer a tracker that could not be worked, in the file where that is possible."""
    report = steps.nothing(reports.Hotfix(engine="none", contained=False, summary=message))
    try:
        answered = tracker.write(tracker.find_again(read), report_text.markdown(report))
    except errors.HalonError:
        return Result(read.path, None, message, report, fit=False, answered=False)
    return Result(answered.path, None, message, report, fit=False)


def seen(read: Tracker, known: Record) -> Result:
    """Return what became of words that were worked before."""
    report = None if known.report is None else reports.Hotfix.model_validate(known.report)
    where = "its fix is in the tree" if known.state in IN_PLACE else "nothing was left to do"
    said = f"These words were worked at {known.at} already; {where}. Change them to ask anew."
    return Result(read.path, known.state, said, report, new=False)


def opened(path: Path) -> tuple[Tracker, WorkTree, Notebook]:
    """Return a tracker, the working tree that it lies in, and what is kept of that tree."""
    read = tracker.read(path)
    here = tree.find(read.path)
    return read, here, Notebook(here)


def of(notes: Notebook, read: Tracker, here: WorkTree) -> tuple[Record, reports.Hotfix]:
    """Return the record of a tracker: of its words, else the newest of its name in the tree."""
    record = notes.get(read.key)
    if record is None or record.report is None:
        name = here.inside(read.path)
        mine = [one for one in notes.records() if one.tracker == name and one.report]
        in_place = [one for one in mine if one.state in IN_PLACE]
        found = in_place or mine
        record = found[-1] if found else None
    if record is None or record.report is None:
        raise errors.NotFound(
            f"{read.path.name!r} was not worked yet: `halon hotfix {shlex.quote(str(read.path))}`."
        )
    return record, reports.Hotfix.model_validate(record.report)


def noted(
    notes: Notebook,
    read: Tracker,
    record: Record,
    report: reports.Hotfix,
    state: State,
    said: str,
    fit: bool = True,
) -> Result:
    """Note what was done since with a worked tracker, in its record and in the file."""
    report = report.model_copy(update={"since": (*report.since, said)})
    notes.put(replace(record, state=state, report=report.model_dump(mode="json")))
    answered = True
    try:
        read = tracker.write(read, report_text.markdown(report))
    except errors.HalonError:
        answered = False
    return Result(read.path, state, said, report, fit=fit, answered=answered)


def noted_shipped(path: Path, said: str) -> Result:
    """Note in the tracker that its fix was handed to deploy."""
    read, here, notes = opened(path)
    with notes.locked():
        record, report = of(notes, read, here)
        return noted(notes, read, record, report, State.SHIPPED, f"{now()}: {said}")


def report_of(path: Path) -> tuple[reports.Hotfix, str, WorkTree]:
    """Return what was made of a tracker, its words, and its tree; raises when it was not worked."""
    read, here, notes = opened(path)
    record, report = of(notes, read, here)
    return report, record.words, here


def now() -> str:
    """Return the time of day as the answers show it."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
