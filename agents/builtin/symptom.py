"""Finds the failure that a person's words speak of, by replaying what is configured.

Called by the hotfix role. The words only choose among the configured commands, or name one known
test; another program's trace, or a failure other than theirs, is said and left alone.
"""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from agents import case as cases
from agents.builtin import clues, failures, logs, pins, suspects, traces, trying
from agents.builtin.clues import Clues
from agents.builtin.failures import Failure, State
from agents.builtin.reproduction import Mark, Replays
from agents.builtin.scene import Scene
from agents.builtin.tracelines import Frame, Trace
from agents.builtin.traces import Located
from agents.builtin.verdict import Replayed
from agents.builtin.workbench import Workbench

RUNS, MORE_RUNS = 2, 10
CALM_SECONDS, PATIENCE = 8.0, 8.0


def _installed(frame: Frame) -> Frame:
    """Return a frame by its path in the package: a service may itself be installed when it runs."""
    inner = re.split(r"/(?:site|dist)-packages/", frame.path)[-1]
    return replace(frame, path=inner) if "/" in inner else frame


@dataclass(frozen=True)
class Shown:
    """A failure that a replay shows, and where in the code it arises."""

    scene: Scene
    target: Failure
    crash: Failure  # the error in the service's code: the words' own where the replay shows none
    located: tuple[Located, ...]

    def __str__(self) -> str:
        if self.located and self.located[0].file:
            return f"{self.crash} in {self.located[0].file}:{self.located[0].frame.line}"
        return str(self.crash)


def _printed(trace: Trace, output: str) -> bool:
    """Tell whether an output holds a trace's error with its very message."""
    said = f"{trace.exception.rpartition('.')[2]}: {trace.message}".splitlines()[0]
    return bool(trace.message) and said in output


@dataclass
class Symptom:
    """What the words say, and what is found of it."""

    bench: Workbench
    head: str
    clues: Clues
    located: tuple[Located, ...] = ()
    gaps: list[str] = field(default_factory=list)
    passing: list[str] = field(default_factory=list)  # commands that do not show it

    def find(self) -> Shown | str:
        """Replay what is configured until it shows the failure; return that, or why not."""
        files = self.bench.source.files(self.head)
        self.located = suspects.locate([_installed(one) for one in self.clues.frames], files)
        foreign = self._foreign()
        if foreign:
            return foreign
        shown: list[str] = []
        for replays in self._commands():
            scene = Scene(replays, self.bench.source.tree(self.head))
            played = self._play(scene)
            if isinstance(played, Failure):
                return self._placed(scene, played)
            shown.append(f"{replays.command} {played}")
        if not shown:
            return (
                "no command is configured that could show it, and the file may not name one: set "
                "`test` or `reproduce` of the service in halon.toml, or give `--test`"
            )
        return "; ".join(dict.fromkeys(shown))

    def _foreign(self) -> str:
        """Say so when a trace has frames and none of them is this repository's."""
        trace = self.clues.trace
        if trace is None or not trace.frames or self.located or self.clues.tests:
            return ""
        files = self.bench.source.files(self.head)
        frames = [_installed(one) for one in self.clues.frames]
        if any(item.file for item in traces.resolve(frames, files)):
            return ""  # a test's own frame: the configured test will show it
        place = trace.frames[0]
        return (
            f"none of the {len(trace.frames)} frames of the trace lies in this repository (the "
            f"nearest to the error is {place.path}:{place.line}): it is another program's, or "
            "another revision's"
        )

    def _commands(self) -> list[Replays]:
        case = self.bench.case
        found = []
        files = self.bench.source.files(self.head)
        for name in clues.known_tests(self.clues.tests, files)[:1]:
            argv = clues.narrowed(case.test.argv, name) if case.test else None
            if argv is not None and case.test is not None:
                found.append(self.bench.replays(cases.Command(argv, case.test.setup)))
        if case.reproduce is not None:
            requests = self._requests()
            found.append(self.bench.replays(case.reproduce, requests=requests, replay=True))
        if case.test is not None:
            suite = trying.suite_replays(self.bench)
            found += [suite] if suite is not None else []
        return found

    def _requests(self) -> Path | None:
        """Return the failing requests of the words' own log lines, else of the service's logs."""
        excerpt = self.bench.folder / "words.log"
        excerpt.write_text(self.clues.words, encoding="utf-8", errors="replace")
        for files in ((excerpt,), self.bench.case.logs):
            if files:
                failing = logs.read(files).failing
                requests = self.bench.requests_file(failing)
                if requests is not None:
                    return requests
        return None

    def _play(self, scene: Scene) -> Failure | str:
        """Replay one command on the broken tree; return the failure, or why it is not shown."""
        scene.replays.at_least([scene.head], RUNS)
        runs = scene.replays.tally(scene.head)
        states = {run.observed.state for run in runs}
        if states == {State.PASSED} and self.clues.trace is None and len(runs) < MORE_RUNS:
            scene.replays.at_least([scene.head], MORE_RUNS)
            runs = scene.replays.tally(scene.head)
        if all(run.observed.state is State.UNTESTABLE for run in runs):
            return f"cannot run here ({runs[0].observed.why[:200]})"
        failing = [r for r in runs if r.observed.state in (State.FAILED, State.TIMED_OUT)]
        if not failing:
            self.passing.append(str(scene.replays.command))
            return f"passes {len(runs)} times of {len(runs)}, so it does not show this failure"
        scene.words = failing[0].completed.output
        if not any(run.observed.state is State.TIMED_OUT for run in runs):
            # What ends by itself here shall not hold us up where a candidate hangs.
            longest = max(run.completed.seconds for run in runs)
            scene.replays.limit_seconds = max(CALM_SECONDS, PATIENCE * longest)
        target = self._target(failing[0].observed.failures, scene.words)
        if isinstance(target, str):
            return target
        scene.target = target
        files = self.bench.source.files(self.head)
        frames = [
            item.file
            for item in traces.resolve(suspects.of_output(scene.words), files)
            if item.file is not None
        ]
        scene.pinned = pins.of_failure(target, scene.replays.command.argv, files, frames)
        marks = trying.marks(scene, scene.head, RUNS)
        steady = set(marks) == {Mark.BAD}
        scene.replayed = Replayed.ALWAYS if steady else Replayed.SOMETIMES
        if not steady:
            scene.replays.at_least([scene.head], MORE_RUNS)
            self.gaps.append("the failure comes and goes: it was replayed more often")
        return target

    def _target(self, shown: tuple[Failure, ...], output: str) -> Failure | str:
        """Return the failure that the words mean; another one is not theirs to mend."""
        if not shown:
            return "fails without saying how"
        trace = self.clues.trace
        named = {name.rpartition("::")[2].rpartition(".")[2] for name in self.clues.tests}

        def fits(item: Failure) -> int:
            kind = trace is not None and trace.exception.rpartition(".")[2] == item.exception
            test = any(name and name in item.test for name in named)
            return 2 * int(test) + int(kind)

        best = max(shown, key=fits)  # the first of those that fit equally
        if fits(best) == 2 and trace is not None and trace.exception:
            self.gaps.append(
                f"the named test fails with {best.exception}, the words speak of "
                f"{trace.exception}: they may be two failures"
            )
        if fits(best) or trace is None or not trace.exception:
            return best
        # A runner that could not load a test names no error of it, and prints theirs all the same.
        if best.exception == failures.UNKNOWN and _printed(trace, output):
            return best
        # A replay over HTTP shows the error as a status: then the words' own trace says the rest.
        if not best.test and self._speaks_of_it(output):
            return best
        return (
            f"fails in another way ({best}), not with {trace.exception}; nothing was done "
            "about that"
        )

    def _speaks_of_it(self, output: str) -> bool:
        trace = self.clues.trace
        printed = {t.exception.rpartition(".")[2] for t in traces.parse(output)}
        mine = trace.exception.rpartition(".")[2] if trace else ""
        return not printed or mine in printed

    def _placed(self, scene: Scene, target: Failure) -> Shown:
        """Settle where the error arises: as the replay prints it, else as the words do."""
        files = self.bench.source.files(self.head)
        printed = traces.parse(scene.words)
        frames = [frame for item in reversed(printed) for frame in item.frames]
        found = suspects.locate([*frames, *suspects.of_output(scene.words)], files)
        if found or not self.located:
            return Shown(scene, target, target, found)
        scene.words = f"{scene.words}\n{self.clues.words}"
        trace = self.clues.trace
        if trace is None:
            return Shown(scene, target, target, self.located)
        said = Failure(target.test, trace.exception.rpartition(".")[2], trace.message)
        return Shown(scene, target, said, self.located)
