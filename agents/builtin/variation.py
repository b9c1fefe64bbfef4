"""A replay in which exactly one thing differs from the plain one, so that it can be made again.

Used by production-fixer, which finds it, and by the test of the patch, which has to show the
failure in the same way. It runs nothing by itself.
"""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from agents import case as cases
from agents.builtin import measuring, payload
from agents.builtin.goodrevision import Good
from agents.builtin.measuring import Measured, Metric
from agents.builtin.reproduction import PYTHON_PATH, Mark, Replays, mark
from agents.builtin.scene import Scene
from agents.builtin.verdict import AtGood, Replayed
from agents.builtin.workbench import Workbench
from incidents.reports import Replaying

PRESSURE, PROFILE = "HALON_PRESSURE", "HALON_PROFILE"
SURE = 3


def replays(bench: Workbench, how: Replaying, requests: Path | None = None) -> Replays:
    """Return the replays of a command as `how` varies it."""
    env = dict(how.env)
    if how.pressure:
        env |= loaded(bench, {PRESSURE: "1"})
    command = cases.Command(how.argv, how.setup)
    made = bench.replays(command, requests=requests, replay=requests is not None, env=env)
    if how.metric is None or how.limit is None:
        return made
    return measured(made, Metric(how.metric), how.limit)


def loaded(bench: Workbench, env: Mapping[str, str]) -> dict[str, str]:
    """Return variables that load our payload into every Python process of a replay."""
    folder = bench.folder / "python"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)  # the sandbox's user is another one
    target = folder / "sitecustomize.py"
    target.write_bytes(Path(payload.__file__).read_bytes())
    target.chmod(0o644)
    return {PYTHON_PATH: str(folder), **env}


def measured(plain: Replays, metric: Metric, limit: float) -> Measured:
    """Return replays like these that fail above a limit."""
    kept = {one.name: getattr(plain, one.name) for one in fields(Replays) if one.name != "runs"}
    return Measured(**kept, metric=metric, limit=limit)


def measured_scene(found: Measured, head: str, good: Good, good_tree: str) -> Scene:
    """Return what measured replays show at the broken revision and at the good one."""
    target = measuring.failure(found.metric, found.limit)
    scene = Scene(found, head, target=target, good=good, varied=True)
    found.at_least([head, good_tree], SURE)
    bad = {mark(run.observed, target) for run in found.tally(head)}
    well = {mark(run.observed, target) for run in found.tally(good_tree)}
    scene.replayed = Replayed.ALWAYS if bad == {Mark.BAD} else Replayed.SOMETIMES
    if Mark.BAD not in bad:
        scene.replayed = Replayed.NEVER
    scene.at_good = AtGood.PASSES if well == {Mark.GOOD} else AtGood.FAILS_SOMETIMES
    scene.words = found.tally(head)[-1].completed.output
    return scene
