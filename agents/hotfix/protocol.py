"""The hotfix protocol on one tracker file: contain, verify, drop; needs no server at all.

Called by the shell, the watch and the urgent worker. The engine works on objects of ours; the tree
gets only the files of the fix, each compared first, and the tracker its answer. Whatever goes
wrong is answered in the file, with the tree as it was.
"""

import contextlib
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from agents import git
from agents.builtin import clues
from agents.builtin.clues import Front
from agents.case import Case
from agents.engine import Budget, Engine, Role
from agents.hotfix import files, steps, tracker, tree
from agents.hotfix.notebook import IN_PLACE, Notebook, Record, State, digest
from agents.hotfix.tracker import Tracker
from agents.hotfix.tree import Change, WorkTree
from incidents import errors, report_text, reports

SECONDS = 55.0  # under a minute, whatever happens
WAIT_SECONDS = 20.0
FETCHED = "`/hotfix TEXT` in the chat takes its words"

Setup = Callable[[WorkTree, Front], Case]


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


@dataclass(frozen=True)
class Protocol:
    """The protocol with an engine, and what is configured for the tree that a tracker lies in."""

    engine: Engine
    setup: Setup
    seconds: float = SECONDS

    # --- a tracker is worked ---------------------------------------------------------------------

    def work(self, path: Path, *, again: bool = False, wait: float = WAIT_SECONDS) -> Result:
        """Contain what a tracker speaks of; `again` repeats what came to nothing before."""
        if not tracker.rested(path, wait):
            raise tracker.StillWritten(
                f"{path.name!r} is still being written; save and close it, and ask again."
            )
        read = tracker.read(path)
        try:
            return self._work(read, again=again)
        except tracker.Gone:
            raise
        except errors.HalonError as error:
            return _refused(read, error.message)

    def _work(self, read: Tracker, *, again: bool) -> Result:
        here = tree.find(read.path)
        words = read.words()
        if here.tracks(here.inside(read.path)):
            raise tracker.Unfit(
                f"git tracks {read.path.name!r}, and only files of one's own are worked here: a "
                f"file that came with a pull could be anybody's. Use /hotfix: {FETCHED}."
            )
        notes = Notebook(here)
        with notes.locked():
            known = notes.get(read.key)
            if known is not None and known.state is State.WRITING:
                _take_out(here, notes, known)  # we were killed in the middle
                known = None
            if known is not None and (known.state in IN_PLACE or not again):
                return _seen(read, known)
            if not tracker.writable(read):
                raise tracker.Unfit(
                    f"{str(read.path)!r} cannot be written, so nothing was changed: the way back "
                    "would stand nowhere. Let this user write it."
                )
            return self._contain(here, notes, read, words)

    def _contain(self, here: WorkTree, notes: Notebook, read: Tracker, words: str) -> Result:
        with tree.open_repository(here) as repository:
            head = repository.head()
            overlay = _in_place(here, notes)
            case = self._case(here, read, words, head, overlay)
            report = self._played(case, overlay, notes)
            planned = None
            if report.patch is not None:
                base = repository.tree_with(head, overlay)
                planned = tree.plan(here, repository, base, report.patch.diff)
            now = tracker.find_again(read)
            why = _why_not(here, planned) if planned else ""
            report = report.model_copy(update={"tracker": str(now.path), "not_written": why})
            state = State.NOTHING
            if planned is not None and report.patch is not None:
                state = State.OFFERED if why else State.CONTAINED
            record = Record(read.key, here.inside(now.path), state, _now(), words=words)
            if planned is not None and report.patch is not None:
                changes = () if why else planned.changes
                kept = notes.keep(read.key, changes, report.patch.diff)
                record = replace(record, changes=kept)
                fits = _fits(here, repository, report.patch, planned) if why else True
                report = steps.told(report, here, notes.patch(read.key), fits=fits)
            else:
                report = steps.nothing(report)
            return self._lay(here, notes, now, record, report, planned if not why else None)

    def _lay(
        self,
        here: WorkTree,
        notes: Notebook,
        now: Tracker,
        record: Record,
        report: reports.Hotfix,
        planned: tree.Planned | None,
    ) -> Result:
        """Write the files of the fix, then the answer; a failure of either takes both back."""
        if planned is not None:
            record = notes.put(replace(record, state=State.WRITING))
            written: list[Change] = []
            try:
                for change in planned.changes:
                    files.replace(here.root, change.path, change.before, change.after, change.mode)
                    written.append(change)
                report = report.model_copy(update={"written": True})
                answered = tracker.write(now, report_text.markdown(report))
            except errors.HalonError:
                for change in reversed(written):
                    files.replace(here.root, change.path, change.after, change.before, change.mode)
                notes.put(replace(record, state=State.NOTHING))
                raise
            state = State.CONTAINED
        else:
            answered, state = tracker.write(now, report_text.markdown(report)), record.state
        notes.put(replace(record, state=state, report=report.model_dump(mode="json")))
        return Result(answered.path, state, report.summary, report)

    def _case(
        self, here: WorkTree, read: Tracker, words: str, head: str, overlay: dict[str, bytes]
    ) -> Case:
        front, _ = clues.front(words)
        case = self.setup(here, front)
        return replace(
            case,
            repository=here.root,
            revision=head,
            traces=(words,),
            overlay=tuple(sorted(overlay.items())),
            incident=name_of(read.path),
            severity=front.severity or case.severity,
        )

    def _played(self, case: Case, overlay: dict[str, bytes], notes: Notebook) -> reports.Hotfix:
        report = self.engine.run(Role.HOTFIX, case, Budget(self.seconds))
        if not isinstance(report, reports.Hotfix):
            raise errors.PermanentFailure(f"{self.engine.name} answered with a {report.kind}")
        if not report.contained and overlay and "it passes" in report.summary:
            names = [one.tracker for one in notes.records() if one.state in IN_PLACE]
            said = f"It is contained already, by {', '.join(dict.fromkeys(names))}."
            return report.model_copy(update={"summary": f"{said} {report.summary}"})
        return report

    # --- afterwards ------------------------------------------------------------------------------

    def verify(self, path: Path) -> Result:
        """Replay the failure again without and with the fix, as it lies on the disk."""
        read, here, notes = _opened(path)
        with notes.locked():
            record, report = _of(notes, read, here)
            if report.patch is None:
                raise errors.WrongState("There is no fix to verify: nothing was contained.")
            for kept in record.changes:
                held = files.read(here.root, kept.path)
                if (
                    record.state in IN_PLACE
                    and digest(held.content if held else None) != kept.after
                ):
                    raise errors.WrongState(
                        f"{kept.path!r} was edited since the fix was written, so the fix that was "
                        "proved is not the one that lies there; look at `git diff`."
                    )
            overlay = _in_place(here, notes, but=record.key)
            case = self._case(here, read, record.words, report.patch.base, overlay)
            checked = self.engine.run(
                Role.HOTFIX, replace(case, patch=report.patch), Budget(self.seconds)
            )
            if not isinstance(checked, reports.Hotfix):
                raise errors.PermanentFailure(f"{self.engine.name} answered with a {checked.kind}")
            said = f"{_now()}: {checked.summary} "
            if checked.contained:
                said += f"Before: {checked.before}; with it: {checked.after}; {checked.suite}."
            return _noted(notes, read, record, report, record.state, said, checked.contained)

    def drop(self, path: Path) -> Result:
        """Take a fix out of the tree again: every file as it was, byte for byte."""
        read, here, notes = _opened(path)
        with notes.locked():
            record, report = _of(notes, read, here)
            if record.state not in (State.CONTAINED, State.WRITING, State.SHIPPED):
                raise errors.WrongState("There is nothing of it in the tree, so nothing to drop.")
            _take_out(here, notes, record)
            said = f"{_now()}: dropped; every file is as it was before."
            report = report.model_copy(update={"written": False, "dropped": True})
            return _noted(notes, read, record, report, State.DROPPED, said)


def noted_shipped(path: Path, said: str) -> Result:
    """Note in the tracker that its fix was handed to deploy."""
    read, here, notes = _opened(path)
    with notes.locked():
        record, report = _of(notes, read, here)
        return _noted(notes, read, record, report, State.SHIPPED, f"{_now()}: {said}")


def report_of(path: Path) -> tuple[reports.Hotfix, str, WorkTree]:
    """Return what was made of a tracker, its words, and its tree; raises when it was not worked."""
    read, here, notes = _opened(path)
    record, report = _of(notes, read, here)
    return report, record.words, here


def name_of(path: Path) -> str:
    """Return the tracker's name as code and log lines show it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.name.removesuffix(".md"))[:60].strip("-.")


def refuse(path: Path, message: str) -> Result:
    """Answer a tracker that could not be worked, in the file where that is possible."""
    return _refused(tracker.read(path), message)


def _refused(read: Tracker, message: str) -> Result:
    report = steps.nothing(reports.Hotfix(engine="none", contained=False, summary=message))
    try:
        answered = tracker.write(read, report_text.markdown(report))
    except errors.HalonError:
        return Result(read.path, None, message, report, fit=False, answered=False)
    return Result(answered.path, None, message, report, fit=False)


def _seen(read: Tracker, known: Record) -> Result:
    report = None if known.report is None else reports.Hotfix.model_validate(known.report)
    where = "its fix is in the tree" if known.state in IN_PLACE else "nothing was left to do"
    said = f"These words were worked at {known.at} already; {where}. Change them to ask anew."
    return Result(read.path, known.state, said, report, new=False)


def _opened(path: Path) -> tuple[Tracker, WorkTree, Notebook]:
    read = tracker.read(path)
    here = tree.find(read.path)
    return read, here, Notebook(here)


def _of(notes: Notebook, read: Tracker, here: WorkTree) -> tuple[Record, reports.Hotfix]:
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


def _noted(
    notes: Notebook,
    read: Tracker,
    record: Record,
    report: reports.Hotfix,
    state: State,
    said: str,
    fit: bool = True,
) -> Result:
    report = report.model_copy(update={"since": (*report.since, said)})
    notes.put(replace(record, state=state, report=report.model_dump(mode="json")))
    answered = True
    try:
        read = tracker.write(read, report_text.markdown(report))
    except errors.HalonError:
        answered = False
    return Result(read.path, state, said, report, fit=fit, answered=answered)


def _in_place(here: WorkTree, notes: Notebook, but: str = "") -> dict[str, bytes]:
    """Return the files of earlier fixes as they lie in the tree, as long as they are only ours."""
    found: dict[str, bytes] = {}
    for record in notes.records():
        if record.state not in (State.CONTAINED, State.SHIPPED) or record.key == but:
            continue
        for kept in record.changes:
            with contextlib.suppress(errors.HalonError):
                held = files.read(here.root, kept.path)
                if held is not None and digest(held.content) == kept.after:
                    found[kept.path] = held.content
    return found


def _take_out(here: WorkTree, notes: Notebook, record: Record) -> None:
    """Put the originals back; looks at every file before it touches the first."""
    waiting: list[Change] = []
    for kept in record.changes:
        held = files.read(here.root, kept.path)
        there = digest(held.content) if held else None
        if there == kept.before:
            continue
        if there != kept.after:
            raise errors.WrongState(_edited_since(notes, record, kept.path))
        waiting.append(
            Change(kept.path, held.content if held else None, notes.original(kept), kept.mode)
        )
    for change in waiting:
        files.replace(here.root, change.path, change.before, change.after, change.mode)


def _edited_since(notes: Notebook, record: Record, path: str) -> str:
    later = [
        one.tracker
        for one in notes.records()
        if one.number > record.number
        and one.state in IN_PLACE
        and any(kept.path == path for kept in one.changes)
    ]
    if later:
        return f"{later[-1]} was laid on top of it in {path!r}: drop that one first."
    patch = shlex.quote(str(notes.patch(record.key)))
    return (
        f"{path!r} was edited since the fix was written, and those edits are not ours to lose. "
        f"`git apply -R {patch}` takes out the fix alone."
    )


def _why_not(here: WorkTree, planned: tree.Planned) -> str:
    """Return why a proved fix is not written into this tree, or an empty text."""
    if (begun := here.unfinished) is not None:
        return f"somebody is in the middle of {begun} here; end it first"
    if planned.edited:
        names = ", ".join(planned.edited)
        return f"somebody's own edits lie in {names}, and they are not touched"
    return ""


def _fits(
    here: WorkTree, repository: git.Repository, patch: reports.Patch, planned: tree.Planned
) -> bool:
    """Tell whether the patch would apply to the files as they lie there."""
    try:
        lying: dict[str, bytes | None] = {}
        for path in patch.paths:
            held = files.read(here.root, path)
            lying[path] = held.content if held else None
        repository.apply(repository.tree_with(repository.head(), lying), patch.diff)
    except errors.HalonError:
        return False
    return True


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def trackers(folder: Path) -> Iterator[Path]:
    """Yield the tracker files of a watched folder: in itself and in its `tasks/hotfix`."""
    for place in (folder, folder / tracker.FOLDER):
        with contextlib.suppress(OSError):
            for entry in sorted(place.iterdir()):
                if tracker.NAME.fullmatch(entry.name) and not entry.is_dir():
                    yield entry
