"""The hotfix protocol on one tracker file: contain, verify, drop; needs no server at all.

Called by the shell, the watch and the urgent worker. The engine works on objects of ours; the tree
gets only the files of the fix, each compared first, and the tracker its answer. Whatever goes
wrong is answered in the file, with the tree as it was.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from agents import git
from agents.builtin import clues
from agents.builtin.clues import Front
from agents.case import Case
from agents.engine import Budget, Engine, Role
from agents.hotfix import answers, files, layers, steps, tracker, tree
from agents.hotfix.answers import Result
from agents.hotfix.notebook import IN_PLACE, Notebook, Record, State, digest
from agents.hotfix.tracker import Tracker
from agents.hotfix.tree import WorkTree
from incidents import errors, report_text, reports

SECONDS = 55.0  # under a minute, whatever happens
WAIT_SECONDS = 20.0
FETCHED = "`/hotfix TEXT` in the chat takes its words"

Setup = Callable[[WorkTree, Front], Case]


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
            return answers.refused(read, error.message)

    def _work(self, read: Tracker, *, again: bool) -> Result:
        here = tree.find(read.path)
        words = read.words()
        _must_be_own(here, read)
        notes = Notebook(here)
        with notes.locked():
            known = notes.get(read.key)
            if known is not None and known.state is State.WRITING:
                layers.take_out(here, notes, known)  # we were killed in the middle
                known = None
            if known is not None and (known.state in IN_PLACE or not again):
                return answers.seen(read, known)
            if not tracker.writable(read):
                raise tracker.Unfit(
                    f"{str(read.path)!r} cannot be written, so nothing was changed: the way back "
                    "would stand nowhere. Let this user write it."
                )
            return self._contain(here, notes, read, words)

    def _contain(self, here: WorkTree, notes: Notebook, read: Tracker, words: str) -> Result:
        with tree.open_repository(here) as repository:
            head = repository.head()
            fixes = layers.in_place(here, notes)
            overlay = fixes | _named_tests(here, repository, head, words)
            case = self._case(here, read, words, head, overlay)
            report = self._played(case, notes, fixed=bool(fixes))
            planned = None
            if report.patch is not None:
                base = repository.tree_with(head, overlay)
                planned = tree.plan(here, repository, base, report.patch.diff)
            now = tracker.find_again(read)
            _must_be_own(here, now)  # git writes its index after the files of a pull
            _must_not_have_moved(repository, head)
            why = _why_not(here, planned) if planned else ""
            report = report.model_copy(update={"tracker": str(now.path), "not_written": why})
            state = State.NOTHING
            if planned is not None and report.patch is not None:
                state = State.OFFERED if why else State.CONTAINED
            record = Record(read.key, here.inside(now.path), state, answers.now(), words=words)
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
        done = replace(record, report=report.model_dump(mode="json"))
        if planned is None:
            answered = tracker.write(now, report_text.markdown(report))
            notes.put(done)
            return Result(answered.path, record.state, report.summary, report)
        report = report.model_copy(update={"written": True})
        done = replace(done, state=State.CONTAINED, report=report.model_dump(mode="json"))
        done = replace(done, number=notes.put(replace(record, state=State.WRITING)).number)
        try:
            for change in planned.changes:
                files.replace(here.root, change.path, change.before, change.after, change.mode)
            answered = tracker.write(now, report_text.markdown(report))
            notes.put(done)
        except errors.HalonError:
            layers.take_out(here, notes, record)
            notes.put(replace(done, state=State.NOTHING, report=None))
            raise
        return Result(answered.path, State.CONTAINED, report.summary, report)

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
            incident=tracker.name_of(read.path),
            severity=front.severity or case.severity,
        )

    def _played(self, case: Case, notes: Notebook, *, fixed: bool) -> reports.Hotfix:
        report = self.engine.run(Role.HOTFIX, case, Budget(self.seconds))
        if not isinstance(report, reports.Hotfix):
            raise errors.PermanentFailure(f"{self.engine.name} answered with a {report.kind}")
        if not report.contained and fixed and report.passing:
            names = [one.tracker for one in notes.records() if one.state in IN_PLACE]
            said = f"It is contained already, by {', '.join(dict.fromkeys(names))}."
            return report.model_copy(update={"summary": f"{said} {report.summary}"})
        return report

    # --- afterwards ------------------------------------------------------------------------------

    def verify(self, path: Path) -> Result:
        """Replay the failure again without and with the fix, as it lies on the disk."""
        read, here, notes = answers.opened(path)
        with notes.locked():
            record, report = answers.of(notes, read, here)
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
            base, overlay = report.patch.base, layers.in_place(here, notes, but=record.key)
            with tree.open_repository(here) as repository:
                overlay |= _named_tests(here, repository, base, record.words)
            case = self._case(here, read, record.words, base, overlay)
            checked = self.engine.run(
                Role.HOTFIX, replace(case, patch=report.patch), Budget(self.seconds)
            )
            if not isinstance(checked, reports.Hotfix):
                raise errors.PermanentFailure(f"{self.engine.name} answered with a {checked.kind}")
            said = f"{answers.now()}: {checked.summary} "
            if checked.contained:
                said += f"Before: {checked.before}; with it: {checked.after}; {checked.suite}."
            return answers.noted(notes, read, record, report, record.state, said, checked.contained)

    def drop(self, path: Path) -> Result:
        """Take a fix out of the tree again: every file as it was, byte for byte."""
        read, here, notes = answers.opened(path)
        with notes.locked():
            record, report = answers.of(notes, read, here)
            if record.state not in (State.CONTAINED, State.WRITING, State.SHIPPED):
                raise errors.WrongState("There is nothing of it in the tree, so nothing to drop.")
            layers.take_out(here, notes, record)
            said = f"{answers.now()}: dropped; every file is as it was before."
            report = report.model_copy(update={"written": False, "dropped": True})
            return answers.noted(notes, read, record, report, State.DROPPED, said)


def _named_tests(
    here: WorkTree, repository: git.Repository, head: str, words: str
) -> dict[str, bytes]:
    """Return the named test as it lies on the disk: somebody may have written it this minute."""
    found: dict[str, bytes] = {}
    for path in clues.test_files(clues.read(words).tests[:1]):
        with contextlib.suppress(errors.HalonError):
            held = files.read(here.root, path)
            if held is not None and held.content != repository.show(head, path):
                found[path] = held.content
    return found


def _must_be_own(here: WorkTree, read: Tracker) -> None:
    if here.tracks(here.inside(read.path)):
        raise tracker.Unfit(
            f"git tracks {read.path.name!r}, and only files of one's own are worked here: a file "
            f"that came with a pull could be anybody's. Use /hotfix: {FETCHED}."
        )


def _must_not_have_moved(repository: git.Repository, head: str) -> None:
    if (now := repository.head()) != head:
        raise tracker.Unfit(
            f"The tree went from {head[:12]} to {now[:12]} while it was worked, so nothing was "
            "changed: a fix is proved for one revision. Save the file again, or use `halon hotfix`."
        )


def _why_not(here: WorkTree, planned: tree.Planned) -> str:
    """Return why a proved fix is not written into this tree, or an empty text."""
    if (begun := here.unfinished) is not None:
        return f"somebody is in the middle of {begun} here; end it first"
    if here.locked:
        return "git is at work in this tree (it holds index.lock)"
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
