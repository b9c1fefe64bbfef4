"""The regression test of a patch: it fails before and passes after, or its absence is a named gap.

Used by the remedies. A test of the repository that shows the failure is named; else a small new
one is written in the service's own style, which asks the captured requests again by the replay
command. Personal data of the captured requests never enters the repository.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agents import case as cases
from agents.builtin import pins, trying
from agents.builtin.failures import State
from agents.builtin.reproduction import Mark
from agents.builtin.scene import Scene
from agents.builtin.workbench import Workbench
from incidents import redaction, reports

KEPT_REQUESTS = 3
RUNS = 2
PYTHON = re.compile(r"(?:^|/)python[\d.]*$")
# Values under these names are a person's or a secret, whatever they look like.
PRIVATE = re.compile(
    r"^(?:.*_)?(?:card|token|secret|password|iban|account|phone|street|birthday|name)$",
    re.IGNORECASE,
)
TOKEN = re.compile(r"<([a-z]+)-(\d+)>")
HEADER = '''"""Asks the requests of {incident} again: they failed then, and must not now."""

import os
import subprocess
import sys
import time
{imports}from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE{up}
COMMAND = {command}
STAND_INS = {setup}
CANNOT_RUN = (2, 125)  # the command's word for: it never reached the service
PATIENCE_SECONDS = 20


def replay():
    """Return the exit code and the output of the replay, once its stand-ins are up."""
    environment = dict(os.environ, HALON_REQUESTS=str(HERE / "{fixture}"))
    started = [
        subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for argv in STAND_INS
    ]
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            done = subprocess.run(
                COMMAND, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode not in CANNOT_RUN or time.monotonic() > deadline:
                return done.returncode, done.stdout + done.stderr
            time.sleep(0.2)
    finally:
        for process in started:
            process.kill()
            process.wait()

'''
UNITTEST = """
class {name}(unittest.TestCase):
    def test_requests_are_served(self):
        code, output = replay()
        self.assertEqual(0, code, output)
"""
PYTEST = """
def test_requests_of_{slug}_are_served():
    code, output = replay()
    assert code == 0, output
"""


@dataclass(frozen=True)
class Made:
    """The test, and the patched tree with its files where it is new."""

    test: reports.RegressionTest | None = None
    tree: str | None = None
    gaps: tuple[str, ...] = ()


def make(bench: Workbench, scene: Scene, head: str, tree: str, incident: str) -> Made:
    """Return the regression test for a patched tree."""
    target = scene.target
    if target is not None and target.test and not target.at_start:
        return _existing(bench, scene, target.test, head, tree)
    if bench.requests is None or bench.case.reproduce is None:
        return _command_itself(bench, scene, tree)
    return _written(bench, head, tree, incident)


def _existing(bench: Workbench, scene: Scene, test: str, head: str, tree: str) -> Made:
    paths = [path for path in scene.pinned if path in test] or list(scene.pinned)
    path = paths[0] if paths else test
    if path not in bench.source.files(tree):
        outside = not paths
        return Made(
            gaps=()
            if outside and _outside(bench, scene)
            else (f"the patch takes away the test that shows the failure ({path})",),
            test=_told(bench, scene, head, tree, path)
            if outside and _outside(bench, scene)
            else None,
        )
    return Made(_told(bench, scene, head, tree, path))


def _outside(bench: Workbench, scene: Scene) -> bool:
    """Tell whether the test lies in a folder that the operator gave beside the repository."""
    words = " ".join(scene.replays.command.argv)
    return any(str(folder) in words for folder in bench.case.read_only)


def _told(
    bench: Workbench, scene: Scene, head: str, tree: str, path: str
) -> reports.RegressionTest:
    after = trying.marks(scene, trying.with_test(bench, scene, head, tree), trying.RUNS)
    before = trying.marks(scene, scene.head, trying.RUNS)
    return reports.RegressionTest(
        path=path,
        command=str(scene.replays.command),
        existing=True,
        before=f"fails in {before.count(Mark.BAD)} of {len(before)} runs",
        after=f"passes in {after.count(Mark.GOOD)} of {len(after)} runs",
    )


def _command_itself(bench: Workbench, scene: Scene, tree: str) -> Made:
    """Name a tracked check that the command runs, if there is one."""
    files = bench.source.files(tree)
    named = [path for path in pins.named(scene.replays.command.argv, files) if pins.testlike(path)]
    if not named:
        return Made(
            gaps=(
                "no regression test: the command that shows the failure is not in the repository",
            )
        )
    return Made(_told(bench, scene, tree, tree, named[0]))


def _written(bench: Workbench, head: str, tree: str, incident: str) -> Made:
    """Write the new test and see it fail before and pass after."""
    replay = bench.case.reproduce
    test = bench.case.test
    if replay is None or bench.requests is None:
        return Made(gaps=("no regression test: there is no replay command",))
    if not PYTHON.search(replay.argv[0]):
        return Made(gaps=("no regression test: one is written for Python services only",))
    files = bench.source.files(head)
    style, folder = _style(bench, head, files)
    slug = re.sub(r"\W+", "_", incident.lower()).strip("_")
    path, fixture = f"{folder}test_{slug}.py", f"{folder}test_{slug}.jsonl"
    requests = [line for line in bench.requests.read_text(encoding="utf-8").splitlines() if line]
    content = {
        path: _text(style, incident, slug, folder, replay).encode(),
        fixture: "".join(f"{line}\n" for line in harmless(requests[:KEPT_REQUESTS])).encode(),
    }
    command = cases.Command(_runner(style, path, replay.argv[0], test))
    runs = bench.replays(command)
    old = bench.repository.tree_with(head, content)
    new = bench.repository.tree_with(tree, content)
    runs.at_least([old, new], RUNS)
    before = [run.observed.state for run in runs.tally(old)]
    after = [run.observed.state for run in runs.tally(new)]
    if set(before) != {State.FAILED} or set(after) != {State.PASSED}:
        return Made(
            gaps=(
                "no regression test: the captured requests without personal data do not tell the "
                f"broken from the mended service (before: {', '.join(before)}; "
                f"after: {', '.join(after)})",
            )
        )
    return Made(
        reports.RegressionTest(
            path=path,
            command=str(command),
            before=f"fails in {len(before)} of {len(before)} runs",
            after=f"passes in {len(after)} of {len(after)} runs",
        ),
        tree=new,
    )


def _style(bench: Workbench, head: str, files: Sequence[str]) -> tuple[str, str]:
    """Return "pytest" or "unittest", by what the service has, and its test folder with a slash."""
    tests = [path for path in files if re.search(r"(?:^|/)test_\w+\.py$", path)]
    texts = [bench.repository.show(head, path) or b"" for path in tests[:20]]
    unittests = sum(b"unittest.TestCase" in text or b"(TestCase" in text for text in texts)
    argv = bench.case.test.argv if bench.case.test else ()
    style = "unittest" if texts and unittests * 2 >= len(texts) else "pytest"
    if "unittest" in argv:
        style = "unittest"
    folders = [path.rpartition("/")[0] for path in tests]
    folder = max(set(folders), key=folders.count) if folders else "tests"
    return style, f"{folder}/" if folder else ""


def _text(style: str, incident: str, slug: str, folder: str, replay: cases.Command) -> str:
    up = ".parent" * len([part for part in folder.split("/") if part])
    head = HEADER.format(
        incident=incident,
        imports="import unittest\n" if style == "unittest" else "",
        up=up,
        command=_argv(replay.argv),
        setup="[" + ", ".join(_argv(argv) for argv in replay.setup) + "]",
        fixture=f"test_{slug}.jsonl",
    )
    name = "".join(part.capitalize() for part in slug.split("_")) + "Test"
    return head + (UNITTEST if style == "unittest" else PYTEST).format(name=name, slug=slug)


def _argv(argv: Sequence[str]) -> str:
    """Return an argv as source; the interpreter is whichever runs the test."""
    first = "sys.executable" if PYTHON.search(argv[0]) else json.dumps(argv[0])
    return "[" + ", ".join([first, *(json.dumps(word) for word in argv[1:])]) + "]"


def _runner(style: str, path: str, python: str, test: cases.Command | None) -> tuple[str, ...]:
    if test is not None and PYTHON.search(test.argv[0]):
        python = test.argv[0]
    if style == "unittest":
        return (python, "-m", "unittest", path.removesuffix(".py").replace("/", "."))
    return (python, "-m", "pytest", "-q", path)


def harmless(lines: Sequence[str]) -> list[str]:
    """Return recorded requests with secrets and personal data replaced by invented ones."""
    numbering = redaction.Counting()
    clean = []
    for line in lines:
        value = redaction.redact_json(_masked(json.loads(line)), numbering)
        clean.append(TOKEN.sub(_invented, json.dumps(value, sort_keys=True)))
    return clean


def _masked(value: Any) -> Any:
    """Return a JSON value whose private texts are replaced by the name that they stand under."""
    if isinstance(value, dict):
        return {
            key: f"{key}-1"
            if isinstance(item, str) and item and PRIVATE.match(key)
            else _masked(item)
            for key, item in value.items()
        }
    return [_masked(item) for item in value] if isinstance(value, list) else value


def _invented(found: re.Match[str]) -> str:
    kind, number = found[1], int(found[2])
    if kind == "email":
        return f"person{number}@example.invalid"
    if kind == "phone":
        return f"+1555010{number:04d}"
    return f"{kind}{number}"
