"""Which twists a history has, and which of them go together.

Used by tests/history/build.py; the twists are drawn before the first commit is written.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.history.fault import Fault
from tests.history.innocents import Innocent


@dataclass(frozen=True)
class Plan:
    """Which twists a history has."""

    place: str  # of the test: tree, newest (only the newest commit has it), with (out of the tree)
    runner: str  # pytest, unittest, script
    whole: bool  # the whole suite is run, not the one test
    decoy: str  # before, after, or empty
    merge: bool
    broken: str  # before, after, or empty: a commit that cannot be imported
    reapply: bool  # the fault was made once before, and taken back
    moved: str  # rename, shim, or empty
    formatted: bool
    scar: bool
    latent: bool  # a big innocent deploy right before the onset, later than the guilty one
    bundled: bool
    newest: bool  # the guilty commit is the newest
    dirty: bool
    injected: bool
    good: str  # sha, short, tag, null
    trace: str  # file, log
    branch: str
    length: tuple[
        int, int, int
    ]  # everyday commits before the good one, before and after the guilty
    waiting: int  # commits after the last deploy

    def twists(self) -> list[str]:
        """Return the names of the twists, for people."""
        named = {
            f"test-{self.place}": self.place != "tree",
            f"decoy-{self.decoy}": bool(self.decoy),
            "merge": self.merge,
            f"broken-{self.broken}": bool(self.broken),
            "reapply": self.reapply,
            self.moved: bool(self.moved),
            "format": self.formatted,
            "scar": self.scar,
            "latent": self.latent,
            "bundled": self.bundled,
            "newest": self.newest,
            "dirty": self.dirty,
            "injected": self.injected,
            "good-null": self.good == "null",
            "whole-suite": self.whole,
        }
        return [name for name, holds in named.items() if holds]


def draw_plan(rng: random.Random, case: Fault | Innocent) -> Plan:
    """Draw the twists that go together with a fault or an innocent failure."""
    guilty = isinstance(case, Fault)
    newest = guilty and rng.random() < 0.1
    outside = isinstance(case, Innocent) and bool(case.outside)
    place = "with" if outside else rng.choices(("tree", "newest", "with"), (5, 2, 3))[0]
    if newest and place == "newest":
        place = "tree"
    runner = rng.choice(("pytest", "pytest", "unittest", "script"))
    moved = rng.choices(("", "rename", "shim"), (70, 20, 10))[0]
    names = case.names if isinstance(case, Fault) else []
    if newest or not names or (moved == "shim" and case.kind == "import"):
        moved = ""
    decoys = ("", "before", "after") if guilty else ("after",)
    decoy = rng.choice(decoys) if case.decoy else ""
    merge = rng.random() < 0.25 and not newest
    good = rng.choice(("sha", "short", "tag", "null"))
    if case.kind == "older" and good == "null":
        good = "sha"  # only against a revision called good is this failure nobody's in the range
    return Plan(
        place=place,
        runner="script" if place == "with" and runner == "unittest" else runner,
        whole=runner != "script" and place != "with" and rng.random() < 0.35,
        decoy="" if newest and decoy == "after" else decoy,
        merge=merge,
        broken=""
        if rng.random() < 0.7
        else rng.choice(("before", "before" if newest else "after")),
        reapply=guilty and not merge and rng.random() < 0.12,
        moved=moved,
        formatted=not newest and rng.random() < 0.2,
        scar=isinstance(case, Fault)
        and case.scar is not None
        and not newest
        and rng.random() < 0.3,
        latent=not newest and rng.random() < 0.35,
        bundled=guilty and rng.random() < 0.2,
        newest=newest,
        dirty=rng.random() < 0.12,
        injected=rng.random() < 0.15,
        good=good,
        trace=rng.choice(("file", "file", "log")),
        branch=rng.choice(("main", "master", "trunk", "release/2")),
        length=(rng.randint(2, 7), rng.randint(1, 9), 0 if newest else rng.randint(1, 9)),
        waiting=0 if newest else rng.randint(0, 3),
    )
