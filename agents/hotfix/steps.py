"""What a person types next: the lines of the tracker and the chat, made from what was done.

Called by the protocol and the hotfix stage. Values stand in code spans, so that nothing of a path
or a command steers the page; no line is ever run by Halon itself.
"""

import shlex
from pathlib import Path

from agents.hotfix.tree import WorkTree
from incidents import reports
from incidents.report_text import code, inert


def told(report: reports.Hotfix, here: WorkTree, patch: Path, *, fits: bool) -> reports.Hotfix:
    """Return a report with its steps for somebody who stands before the tree."""
    if report.patch is None:
        return nothing(report)
    file = shlex.quote(report.tracker or "")
    root = shlex.quote(str(here.root))
    paths = " ".join(shlex.quote(path) for path in report.patch.paths)
    apply = f"git -C {root} apply {shlex.quote(str(patch))}"
    if report.not_written:
        now = [("Put it in", apply)] if fits else []
        steps = [
            f"Put it in: {code(apply)}"
            if fits
            else "The diff does not fit the files as they lie there: carry its lines over by hand.",
            f"Run {code(report.command)} in {code(here.root)}: it must pass.",
        ]
        undo = [f"Once it was put in: {code(apply.replace(' apply ', ' apply -R '))}"]
        return report.model_copy(
            update={"now": tuple(now), "steps": tuple(steps), "undo": tuple(undo)}
        )
    now = [
        ("Check it again", f"halon hotfix verify {file}"),
        ("Ship it (canary, gates)", f"halon hotfix ship {file}"),
        ("Take it out", f"halon hotfix drop {file}"),
    ]
    steps = [
        f"Look: {code(f'git -C {root} diff -- {paths}')} shows the diff above and nothing else.",
        f"In {code(here.root)}, run {code(report.command)}: the failure must be gone.",
        f"After the deploy: {report_watch(report.patch)}.",
    ]
    undo = [
        f"{code(f'halon hotfix drop {file}')} puts every file back, byte for byte.",
        f"Without Halon: {code(apply.replace(' apply ', ' apply -R '))}",
    ]
    return report.model_copy(update={"now": tuple(now), "steps": tuple(steps), "undo": tuple(undo)})


def report_watch(patch: reports.Patch) -> str:
    """Return what shows that a patch holds."""
    return inert(patch.watch)


def nothing(report: reports.Hotfix) -> reports.Hotfix:
    """Return a report of something that came to nothing, with what a person can do."""
    back = (
        "If a deploy or a setting changed just before: take that back, it is the quickest way out."
    )
    shown = (
        "Name a test that fails because of it, a small new one where there is none: between two "
        f"lines of {code('---')} at the head of the words, "
        f"{code('test: tests/test_cart.py::test_guest')}. What is saved is tried again."
    )
    chain = f"{code('/incident P0! WHAT FAILS')} in the chat starts the whole chain."
    steps = (back, shown, chain) if report.passing else (back, chain)
    return report.model_copy(update={"steps": steps})
