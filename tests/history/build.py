"""Grows a history commit by commit.

Used by tests/histories.py. Every date, message and file follows from the seed, so that a seed
gives the same commits everywhere.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Protocol

from tests.history.base import World, files_of, spell
from tests.history.exam import Exam
from tests.history.fault import Fault
from tests.history.fillers import BIG, BROKEN, FILLERS, MENDED
from tests.history.innocents import Innocent
from tests.history.plan import Plan
from tests.history.tree import (
    Edit,
    Misplaced,
    Tree,
    all_of,
    behind_a_shim,
    put,
    rename_module,
    requote,
)

NEW_NAMES = ("calculation", "core_parts", "engine_room", "inner_rules", "second_edition")


@dataclass(frozen=True)
class Commit:
    """One commit: its parents by position, and every file it has."""

    parents: tuple[int, ...]
    message: str
    when: datetime
    tree: Tree


@dataclass
class History:
    """A history that is being written; the last commit is HEAD."""

    world: World
    plan: Plan
    when: datetime
    commits: list[Commit] = field(default_factory=list)
    deploys: list[tuple[int, datetime]] = field(default_factory=list)
    good: int = 0
    guilty: int | None = None
    unused: list[tuple[str, Edit]] = field(default_factory=list)

    @property
    def tree(self) -> Tree:
        return self.commits[-1].tree

    @property
    def onset(self) -> datetime:
        """The trouble begins minutes after the last deploy."""
        return self.deploys[-1][1] + timedelta(minutes=2 + len(self.commits) % 9, seconds=17)

    def commit(self, message: str, edit: Edit, *, on: int | None = None) -> int:
        """Add a commit upon the newest one, or upon `on`; return its position."""
        base = len(self.commits) - 1 if on is None else on
        tree = self.commits[base].tree.copy() if self.commits else Tree({})
        edit(tree)
        self.when += timedelta(
            minutes=self.world.rng.randint(11, 900), seconds=self.world.rng.randrange(60)
        )
        self.commits.append(Commit((base,) if base >= 0 else (), message, self.when, tree))
        return len(self.commits) - 1

    def everyday(self, *, on: int | None = None) -> tuple[int, Edit]:
        """Add a commit that changes nothing a probe sees."""
        while self.unused:
            message, edit = self.unused.pop()
            try:
                return self.commit(message, edit, on=on), edit
            except Misplaced:
                continue  # the place it wants was changed by another commit
        raise Misplaced("no everyday commit is left")

    def deploy(self) -> None:
        """Tag the newest commit as deployed a few minutes later."""
        if not self.deploys or self.deploys[-1][0] != len(self.commits) - 1:
            self.when += timedelta(minutes=self.world.rng.randint(3, 12))
            self.deploys.append((len(self.commits) - 1, self.when))


class Step(Protocol):
    """Adds one commit upon a given one; returns its position and what it edited."""

    def __call__(self, *, on: int | None = None) -> tuple[int, Edit]: ...


def grow(world: World, case: Fault | Innocent, plan: Plan) -> History:
    """Write the whole history but for its test."""
    rng = world.rng
    start = datetime(
        2026,
        rng.randint(1, 6),
        rng.randint(1, 28),
        rng.randint(0, 23),
        rng.randint(0, 59),
        tzinfo=timezone(timedelta(hours=rng.choice((-7, 0, 0, 2, 9)))),
    )
    history = History(world, plan, start, unused=rng.sample(FILLERS, len(FILLERS)))
    _begin(history, case)
    before, between, after = plan.length
    for _ in range(before):
        history.everyday()
    if isinstance(case, Fault) and plan.reapply:
        _make_and_take_back(history, case)
    if isinstance(case, Innocent) and case.older:
        history.commit(case.older.message, case.older.edit)
        history.everyday()
    history.deploy()
    history.good = len(history.commits) - 1
    _section(history, between, _specials(plan, case, "before"))
    if isinstance(case, Fault):
        _convict(history, case)
    elif plan.merge:
        _merge(history, [history.everyday] * 2)
    _section(history, after, _specials(plan, case, "after"))
    if plan.formatted:
        _format(history, case)
    if isinstance(case, Fault) and plan.moved == "shim":
        history.commit(
            f"Move {spell(world, case.crash)} into its own place",
            behind_a_shim("xpkg", case.crash, rng.choice(NEW_NAMES), case.names),
        )
    if plan.latent:
        history.deploy()
        history.everyday()
        history.commit(*rng.choice(BIG))
    history.deploy()
    for _ in range(plan.waiting):
        history.everyday()
    return history


def _begin(history: History, case: Fault | Innocent) -> None:
    files = files_of(history.world)
    later = [path for path in files if path.startswith("tests/") or path.endswith(".md")]

    def first(tree: Tree) -> None:
        tree.files |= {path: text for path, text in files.items() if path not in later}
        if isinstance(case, Innocent) and case.base:
            case.base(tree)  # in the first commit, so that no commit can be said to have brought it

    def second(tree: Tree) -> None:
        tree.files |= {path: files[path] for path in later}

    history.commit("Begin", first)
    history.commit("Tests and a word of welcome", second)


def _make_and_take_back(history: History, case: Fault) -> None:
    """Make the fault and take it back, both before the revision called good."""
    before = history.tree.copy()
    history.commit(case.message, case.edit)

    def back(tree: Tree) -> None:
        tree.files = dict(before.files)

    history.commit(f'Revert "{case.message}"', back)


def _convict(history: History, case: Fault) -> None:
    """Add the guilty commit, alone or on a branch that is merged afterwards."""
    plan, message = history.plan, case.message
    edit = case.edit
    if plan.reapply:
        message = f'Reapply "{case.message}"'
    if plan.bundled:
        edit = all_of(
            edit,
            put("xpkg/notes_of_release.md", "# Notes\n\nSee the changes.\n"),
            put("xpkg/legacy.py", '"""Old names."""\n\nOLD = {"total": "amount"}\n'),
        )
    if not plan.merge:
        history.guilty = history.commit(message, edit)
        return

    def guilty(*, on: int | None = None) -> tuple[int, Edit]:
        history.guilty = history.commit(message, edit, on=on)
        return history.guilty, edit

    steps: list[Step] = [guilty, *[history.everyday] * history.world.rng.randint(0, 2)]
    history.world.rng.shuffle(steps)
    _merge(history, steps)


def _merge(history: History, steps: list[Step]) -> None:
    """Make commits on a branch, one on the trunk meanwhile, and merge them."""
    fork = tip = len(history.commits) - 1
    done: list[Edit] = []
    for step in steps:
        tip, edit = step(on=tip)
        done.append(edit)
    trunk, _ = history.everyday(on=fork)
    merged = history.commit(f"Merge branch 'work-{tip}'", all_of(*done), on=trunk)
    history.commits[merged] = replace(history.commits[merged], parents=(trunk, tip))


def _specials(plan: Plan, case: Fault | Innocent, side: str) -> list[Callable[[History], object]]:
    found: list[Callable[[History], object]] = []
    if case.decoy and plan.decoy == side:
        message, edit = case.decoy
        found.append(lambda history: history.commit(message, edit))
    if plan.broken == side:
        found.append(_break_and_mend)
    if isinstance(case, Fault) and side == "after":
        if plan.scar and case.scar:
            scar = case.scar
            found.append(lambda history: history.commit(*scar))
        if plan.moved == "rename":
            found.append(
                lambda history: history.commit(
                    f"Better name for {spell(history.world, case.crash)}",
                    rename_module("xpkg", case.crash, history.world.rng.choice(NEW_NAMES)),
                )
            )
    return found


def _break_and_mend(history: History) -> None:
    history.commit("Collect pending ones", BROKEN)
    for _ in range(history.world.rng.randint(0, 2)):
        history.everyday()
    history.commit("Fix build", MENDED)


def _section(history: History, count: int, specials: list[Callable[[History], object]]) -> None:
    """Add everyday commits with the special ones strewn in."""
    rng = history.world.rng
    todo: list[Callable[[History], object]] = [lambda at: at.everyday() for _ in range(count)]
    for special in specials:
        todo.insert(rng.randint(0, len(todo)), special)
    for index, step in enumerate(todo):
        step(history)
        if index and rng.random() < 0.12 and history.guilty is None:
            history.deploy()


def _format(history: History, case: Fault | Innocent) -> None:
    """A formatter runs over one module, the guilty lines and their neighbours left out."""
    spare: set[str] = set()
    if history.guilty is not None:
        commit = history.commits[history.guilty]
        parent = history.commits[commit.parents[0]].tree.files
        for path, text in commit.tree.files.items():
            spare |= _around(parent.get(path, ""), text)
    module = case.crash if isinstance(case, Fault) else "service"
    history.commit("Run the formatter", requote(f"xpkg/{module}.py", spare))


def _around(before: str, after: str) -> set[str]:
    diff = difflib.unified_diff(before.split("\n"), after.split("\n"), n=4, lineterm="")
    return {line[1:] for line in diff if line[:1] in " +-"}


def finish(history: History, exam: Exam) -> None:
    """Put the test into every commit, or into the newest only, or into none."""
    if exam.place == "newest":
        history.commit("Test for the reported case", put(exam.path, exam.text))
    elif exam.place == "tree":
        for commit in history.commits[1:]:
            commit.tree.files[exam.path] = commit.tree.current(exam.text)
    if not 12 <= len(history.commits) <= 40:
        raise Misplaced(f"{len(history.commits)} commits")
