"""RunTests and Reproduce: the service's own configured commands, on a tree, in the sandbox.

No word of a command comes from the model: it chooses only the tree. Results are those of the same
replays that prove a cause and try a patch.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from agents.builtin import reproduction, trying
from agents.builtin.reproduction import Run
from agents.builtin.scene import Scene
from agents.tools.contract import Answer, Arguments, Nothing, Tool
from agents.tools.desk import Desk, kept_in
from agents.untrusted import Source
from incidents import errors

RUNS = 3
OUTPUT = 4000


class TreeArguments(Arguments):
    """Which tree to run on."""

    revision: Annotated[
        str | None, Field(description="A commit; left out: the tree with your edits.")
    ] = None
    without: Annotated[str | None, Field(description="Take this one commit out of it first.")] = (
        None
    )


def reproduce_tool(desk: Desk) -> Tool:
    """Return the tool that replays the failure."""

    def reproduce(given: TreeArguments) -> Answer:
        scene = _scene(desk)
        tree, label = _tree(desk, given)
        pinned = desk.bench.source.pinned(tree, scene.head, scene.pinned) if scene.pinned else tree
        marks = trying.marks(scene, pinned, RUNS)
        run = scene.replays.tally(pinned)[-1]
        name = reproduction.record(desk.ledger, _safe(desk, run), label)
        words = {"bad": "fails", "good": "passes", "kin": "fails otherwise", "skip": "cannot tell"}
        counted = ", ".join(
            f"{marks.count(mark)} of {len(marks)} {words[mark]}" for mark in dict.fromkeys(marks)
        )
        return _answer(desk, name, f"the failure on {label}: {counted}.", run)

    described = (
        "Replay the failure of this incident three times on a tree: your edited one, a revision, "
        "or one without a commit. It is the decisive test of a hypothesis about a commit."
    )
    return Tool("Reproduce", described, TreeArguments, reproduce, state=desk.state,
                restore=desk.restore_evidence)  # fmt: skip


def tests_tool(desk: Desk) -> Tool:
    """Return the tool that runs the service's suite on the edited tree."""

    def run_tests(given: Nothing) -> Answer:
        bench = desk.bench
        replays = trying.suite_replays(bench)
        if replays is None:
            raise errors.ToolRefused("This service has no test command; name that as a gap.")
        base, tree = bench.repository.tree_of(desk.base), desk.tree()
        no_worse, worse = trying.suite(bench, base, tree)
        run = replays.tally(tree)[-1]
        name = reproduction.record(desk.ledger, _safe(desk, run), "your tree")
        said = {True: "no test fails that passed before", False: "worse than before",
                None: "the suite cannot run, before or after"}[no_worse]  # fmt: skip
        return _answer(desk, name, f"the suite on your tree: {said}.", run, worse[:5])

    described = "Run the service's own test command on your tree and compare it with the base."
    return Tool("RunTests", described, Nothing, run_tests, state=desk.state,
                restore=desk.restore_evidence)  # fmt: skip


def _scene(desk: Desk) -> Scene:
    scene = desk.scene()
    if scene is None or scene.target is None:
        raise errors.ToolRefused(
            "No command replays this failure, so nothing can be tried; name that as a gap."
        )
    return scene


def _tree(desk: Desk, given: TreeArguments) -> tuple[str, str]:
    if given.revision is None and given.without is None:
        return desk.tree(), "your tree"
    revision = desk.commit(given.revision) if given.revision else desk.commit(desk.base)
    if given.without is None:
        return desk.bench.source.tree(revision), revision[:12]
    commit = desk.commit(given.without)
    tree, conflicts = desk.bench.source.without(revision, commit)
    if tree is None:
        raise kept_in(commit, conflicts)
    return tree, f"{revision[:12]} without {commit[:12]}"


def _safe(desk: Desk, run: Run) -> Run:
    """Return a run whose output holds no private text, for the ledger."""
    done = run.completed
    clean = type(done)(**{**done.__dict__, "output": desk.teller.safe(done.output)})
    return Run(run.tree, run.observed, clean)


def _answer(desk: Desk, name: str, said: str, run: Run, worse: Sequence[str] = ()) -> Answer:
    """Return the result in words of ours, and apart from them what the run itself printed."""
    output = run.completed.output.strip()
    shown = output if len(output) <= OUTPUT else f"[…]\n{output[-OUTPUT:]}"
    item = desk.ledger.get(name)
    kept = {"evidence": item.model_dump(mode="json")} if item else None
    text = "\n".join([*(f"new failure: {one}" for one in worse), "The last run printed:", shown])
    return Answer(text, kept=kept, source=Source.TEST, lead=f"[{name}] {said}")
