"""Checks a history by running its test, before anybody is examined by it.

Used by tests/histories.py. What it cannot see to be true, it refuses with Unfit.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

from tests.history.base import spell
from tests.history.build import History
from tests.history.exam import Exam
from tests.history.fault import Fault
from tests.history.innocents import Innocent
from tests.history.repository import ENV, final_files, git
from tests.history.tree import Tree

RUNS = 40  # of a test that fails now and then


class Unfit(Exception):
    """The history is not what it should be."""


def lay_out(history: History, tree: Tree, exam: Exam | None, folder: Path) -> Path:
    """Write a revision's files into a new folder, with the test of HEAD."""
    files = final_files(history.world, tree)
    if exam is not None and exam.place == "newest":
        files[exam.path] = spell(history.world, history.tree.current(exam.text))
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def passes(exam: Exam, folder: Path) -> bool:
    """Run the test once in a folder."""
    done = subprocess.run(
        exam.argv, cwd=folder, env=ENV, capture_output=True, timeout=60, check=False
    )
    return done.returncode == 0


def examine(
    history: History, exam: Exam, case: Fault | Innocent, repo: Path, shas: list[str], scratch: Path
) -> list[str]:
    """Run the test where the answer is known; return the twists that were found to be true."""
    head = lay_out(history, history.tree, exam, scratch / "head")
    good = lay_out(history, history.commits[history.good].tree, exam, scratch / "good")
    if isinstance(case, Innocent):
        _examine_innocent(exam, case, head, good)
        return []
    assert history.guilty is not None
    parent_tree = history.commits[history.commits[history.guilty].parents[0]].tree
    parent = lay_out(history, parent_tree, exam, scratch / "parent")
    tries = 12 if case.kind == "intermittent" else 1
    _must("HEAD fails", any(not passes(exam, head) for _ in range(tries)))
    again = 3 if case.kind == "intermittent" else 1
    _must("good passes", all(passes(exam, good) for _ in range(again)))
    _must("the parent passes", all(passes(exam, parent) for _ in range(again)))
    without = scratch / "without"
    git(scratch, ["clone", "-q", str(repo), "without"])
    reverted = subprocess.run(
        ["git", "-C", str(without), "revert", "--no-edit", shas[history.guilty]],
        env=ENV,
        capture_output=True,
        check=False,
    )
    if reverted.returncode:
        return ["conflict"]
    _must("HEAD without the guilty commit passes", all(passes(exam, without) for _ in range(again)))
    return []


def is_far(history: History, trace: str) -> bool:
    """Say whether the guilty commit touches no file of a trace."""
    if history.guilty is None:
        return False
    commit = history.commits[history.guilty]
    after, before = commit.tree.files, history.commits[commit.parents[0]].tree.files
    changed = {path for path in after | before if after.get(path) != before.get(path)}
    now = {spell(history.world, history.tree.current(path)) for path in changed}
    return not any(f'/{path}"' in trace for path in now)


def _examine_innocent(exam: Exam, case: Innocent, head: Path, good: Path) -> None:
    for name, folder in (("HEAD", head), ("good", good)):
        if not case.fails:
            _must(f"{name} passes", passes(exam, folder))
        elif not case.flaky:
            _must(f"{name} fails", not passes(exam, folder))
        else:
            seen: set[bool] = set()
            for _ in range(RUNS):
                seen.add(passes(exam, folder))
                if len(seen) == 2:
                    break
            _must(f"{name} fails now and then", len(seen) == 2)


def _must(what: str, holds: bool) -> None:
    if not holds:
        raise Unfit(what)


def raise_for_real(history: History, case: Fault | Innocent, scratch: Path) -> str:
    """Run the program as deployed until it raises; return the traceback, its root as @ROOT@."""
    world = history.world
    tree = history.commits[history.deploys[-1][0]].tree
    folder = lay_out(history, tree, None, scratch / "deployed") / world.layout.rstrip("/")
    code = "from xpkg import worker\nfrom xpkg.app import App\n" + (case.drive or "")
    done = subprocess.run(
        [sys.executable, "-c", spell(world, tree.current(code))],
        cwd=folder,
        env=ENV,
        capture_output=True,
        timeout=60,
        check=False,
    )
    text = done.stderr.decode()
    if done.returncode == 0 or "Traceback" not in text:
        raise Unfit("production raises")
    text = re.sub(r'^  File "<string>".*\n(?:    .*\n)*', "", text, flags=re.MULTILINE)
    if f"{folder}/" not in text:
        raise Unfit("a frame lies in the project")
    text = text.replace(str(folder), "@ROOT@").replace(
        sysconfig.get_path("stdlib"), "/usr/lib/python3.11"
    )
    return textwrap.dedent(text)
