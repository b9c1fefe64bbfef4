"""The test that shows a failure: as a pytest function, a unittest class or a script.

Used by tests/histories.py; where the test lies is one of the twists.
"""

from __future__ import annotations

import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

from tests.history.base import World, spell
from tests.history.fault import Fault
from tests.history.innocents import Innocent
from tests.history.plan import Plan

# Plugins of this Python that no project here uses, and that each of a hunt's runs would load again.
LEAN = [f"-pno:{name}" for name in ("anyio", "timeout", "xdist", "xdist.looponfail")]


@dataclass(frozen=True)
class Exam:
    """The test that shows the failure: where it lies, what it says, how it is run."""

    path: str
    text: str
    argv: list[str]
    outside: dict[str, str]
    place: str


def draw_exam(world: World, case: Fault | Innocent, plan: Plan, folder: Path) -> Exam:
    """Write the probe as a pytest function, a unittest class or a script."""
    rng = world.rng
    stem = rng.choice(("regression", "checkout", "incident", "reported_case"))
    probe, head = case.probe, ""
    if case.kind == "no start":
        head, _, probe = probe.partition("\n\n")
        head += "\n"
    body = textwrap.indent(probe, "    ")
    where = 'str(Path.cwd() / "src")' if world.layout else "str(Path.cwd())"
    opening = head + "from xpkg.app import App\n\n\n"
    if plan.place == "with" or plan.runner == "script":
        opening = (
            f"import sys\nfrom pathlib import Path\n\nsys.path.insert(0, {where})\n\n" + opening
        )
    python = sys.executable
    if plan.runner == "script":
        path = (
            f"check_{stem}.py"
            if plan.place == "with" or rng.random() < 0.5
            else f"tools/check_{stem}.py"
        )
        text = f'{opening}def main():\n{body}\n    print("ok")\n\n\n'
        text += 'if __name__ == "__main__":\n    main()\n'
        argv = [python, path]
    elif plan.runner == "pytest":
        path = f"test_{stem}.py" if plan.place == "with" else f"tests/test_{stem}.py"
        text = f"{opening}def test_{stem}():\n{body}\n"
        point = [] if plan.whole else [rng.choice((path, f"{path}::test_{stem}"))]
        argv = [
            python,
            "-m",
            "pytest",
            "-q",
            *LEAN,
            *rng.choice(([], ["-x"], ["-p", "no:cacheprovider"])),
            *point,
        ]
    else:
        path = f"tests/test_{stem}.py"
        text = "import unittest\n\n" + opening + "class Reported(unittest.TestCase):\n"
        text += textwrap.indent(f"def test_{stem}(self):\n{body}\n", "    ")
        argv = [python, "-m", "unittest", "-q", f"tests.test_{stem}"]
        if plan.whole:
            argv = [python, "-m", "unittest", "discover", "-s", "tests", "-t", "."]
    outside = {
        name: spell(world, each)
        for name, each in (case.outside.items() if isinstance(case, Innocent) else ())
    }
    if plan.place == "with":
        argv = [part.replace(path, str(folder / "outside" / path)) for part in argv]
        outside[path] = spell(world, text)
    return Exam(path, text, argv, outside, plan.place)
