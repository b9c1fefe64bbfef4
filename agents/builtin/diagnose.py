"""The diagnosis, in order: logs, traces, suspects, reproduction, proof, verdict.

Called by the engine for the role bug-diagnostician. It gathers facts; `verdict.decide` alone turns
them into a verdict, and `account.diagnosis` into a report. When time runs out it reports what it
has.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from agents import case as cases
from agents.builtin import (
    account,
    doubts,
    environment,
    failures,
    goodrevision,
    kinship,
    logs,
    pins,
    suspects,
    traces,
    variables,
    variation,
    verdict,
)
from agents.builtin import picture as picture_of
from agents.builtin.goodrevision import Good
from agents.builtin.measuring import Measured
from agents.builtin.picture import Picture
from agents.builtin.proof import Found, Proof
from agents.builtin.reenact import Effort, Reenactment
from agents.builtin.reproduction import Replays
from agents.builtin.scene import Scene
from agents.builtin.tracelines import Frame, Trace
from agents.builtin.verdict import AtGood, Facts, Replayed, Trial
from agents.builtin.workbench import Workbench
from incidents import errors, models, reports

TRACES = 6
HEALTHY_RATE = 0.05
# It was seen before: looking harder than the diagnosis did is worth the time.
AGAIN = Effort(many=120, share=0.4, cap=300)
WINDOW = 100  # commits that are blamed and scored while no good revision is known


@dataclass
class Inquiry:
    """One diagnosis while it is being made."""

    bench: Workbench
    head: str
    released: tuple[goodrevision.Deployed, ...] = ()
    good: str | None = None  # the newest revision before the broken one that may be good
    good_is_named: bool = False  # whether the operator's own word is for it
    unfinished: bool = False  # the time ran out before a replay said anything
    reading: logs.LogReading | None = None
    traces: list[Trace] = field(default_factory=list)
    risen: list[Trace] = field(default_factory=list)  # those that were not always there
    frames: list[Frame] = field(default_factory=list)
    ranked: list[suspects.Scored] = field(default_factory=list)
    probed: tuple[environment.Probed, ...] = ()
    scene: Scene | None = None
    scenes: list[Scene] = field(default_factory=list)
    found: Found | None = None
    variable: variables.Restored | None = None
    gaps: list[str] = field(default_factory=list)

    # --- what was seen ---------------------------------------------------------------------------

    def look(self) -> None:
        """Read logs, traces, changes and probes."""
        case = self.bench.case
        self.gaps += doubts.of_repository(self.bench.repository)
        if case.good is not None:
            self.good, self.good_is_named, gaps = doubts.of_good(
                self.bench.source, self.bench.repository, case.good, self.head
            )
            self.gaps += gaps
        self.released = goodrevision.deploys(self.bench.source, case, self.head)
        if case.logs:
            self.reading = logs.read(case.logs)
            self.gaps += [*self.reading.gaps, *self.reading.notes, *doubts.of_clock(self.reading)]
        for text in case.traces:
            parsed = traces.parse(text)
            self.traces += parsed
            self.risen += parsed
            self.bench.ledger.add(models.EvidenceKind.FRAME, "trace", "--trace", text)
            if not parsed:
                self.frames += suspects.of_output(text)
                if not self.frames:
                    self.gaps.append("the given trace could not be read as a stack trace")
        if self.reading is not None:
            self._traces_of_logs(self.reading)
        for trace in self.traces[:TRACES]:
            self.frames += _frames(trace)
        if case.depends_on:
            self.probed = environment.probe(case.depends_on, self.bench.ledger)
        self.rank()

    def _traces_of_logs(self, reading: logs.LogReading) -> None:
        for item in picture_of.telling(reading)[:TRACES]:
            self.bench.ledger.add(
                models.EvidenceKind.LOG,
                f"log, {item.count} times, {item.standing}",
                item.where,
                item.sample,
                item.first_seen,
            )
            if item.trace is not None:
                self.traces.append(item.trace)
                if not item.background:
                    self.risen.append(item.trace)

    @property
    def onset(self) -> datetime | None:
        """When it began: as given, else as the logs show it."""
        if self.bench.case.onset is not None:
            return self.bench.case.onset
        return self.reading.onset.at if self.reading and self.reading.onset else None

    def rank(self) -> None:
        """Score the commits after the good revision, with everything that is known by now."""
        source = self.bench.source
        floor = self.scene.good.revision if self.scene and self.scene.good else self.good
        if floor is None:
            window = source.window(None, self.head, WINDOW)
            floor = window[0].sha if len(window) > 1 else None
        if floor is not None and not self.bench.repository.is_ancestor(floor, self.head):
            floor = source.merge_base(floor, self.head)
        files = source.files(self.head)
        frames = suspects.locate(list(dict.fromkeys(self.frames)), files)
        messages = [trace.message for trace in self.traces]
        if self.scene and self.scene.target:
            messages.append(self.scene.target.message)
        words = [word for message in messages[:4] for word in suspects.words_of(message)]
        self.ranked = suspects.rank(
            source,
            head=self.head,
            good=floor,
            frames=frames,
            words=words,
            onset=self._bound_onset(),
        )

    def _bound_onset(self) -> datetime | None:
        """The onset, unless no commit is older: then logs and commits have different clocks."""
        if self.onset is None:
            return None
        newest = self.bench.source.commit(self.head).committed_at
        return max(self.onset, newest) if self.onset > newest - timedelta(days=1) else None

    # --- what replaying shows --------------------------------------------------------------------

    def replay(self) -> None:
        """Replay the failure with the captured requests, else with the test, at head and good."""
        for command, requests, is_replay in self.commands():
            replays = self.bench.replays(command, requests=requests, replay=is_replay)
            scene = self.play(replays)
            if scene.replayed in (Replayed.ALWAYS, Replayed.SOMETIMES):
                break
        if self.scene is None:
            self.gaps.append(
                "no command replays the failure, so nothing could be proved: give one "
                "(`--test`, or `test` in halon.toml)"
            )
            return
        self.gaps += self.scene.gaps
        self.rank_by(self.scene)

    def play(self, replays: Replays, effort: Effort | None = None) -> Scene:
        """Replay one command at head and good; what it shows is the scene from now on."""
        kinds = frozenset(trace.exception.rpartition(".")[2] for trace in self.traces)
        play = Reenactment(self.bench, replays, self.head, self.good, self.released, kinds)
        play.effort = effort or play.effort
        # With a dead dependency before us there is no need to hunt for a rare failure.
        play.patient = self.dead_dependency() is None
        self.unfinished = True
        scene = play.play()
        self.set_scene(scene)
        self.unfinished = False
        return scene

    def set_scene(self, scene: Scene) -> None:
        """Go on from what one replay showed."""
        self.scene = self.bench.scene = scene
        self.scenes.append(scene)

    def rank_by(self, scene: Scene) -> None:
        """Score the commits again, with the words of the failing run."""
        parsed = traces.parse(scene.words)
        self.frames = [
            *self.frames,
            *suspects.of_output(scene.words),
            *(frame for trace in parsed for frame in _frames(trace)),
        ]
        self.rank()

    def commands(self) -> list[tuple[cases.Command, Path | None, bool]]:
        """Return what replays the failure, the captured requests first; and whether it is they."""
        case = self.bench.case
        found: list[tuple[cases.Command, Path | None, bool]] = []
        if case.reproduce is not None:
            failing = self.reading.failing if self.reading else ()
            requests = self.bench.requests_file(failing)
            if requests is None:
                self.gaps.append("the logs hold no failing request that could be replayed")
            else:
                found.append((case.reproduce, requests, True))
        if case.test is not None:
            found.append((case.test, None, False))
        return found

    # --- proof -----------------------------------------------------------------------------------

    def prove(self) -> None:
        """Find the commit and take it out and in, if the replay allows it."""
        scene = self.scene
        if scene is None or scene.target is None or scene.good is None:
            return
        if scene.at_good is not AtGood.PASSES:
            return
        proof = Proof(
            self.bench.source, scene.replays, scene.target, scene.good.revision, self.head,
            scene.pinned, self.head, {item.commit.sha: item.score for item in self.ranked},
        )  # fmt: skip
        if scene.replayed is Replayed.ALWAYS:
            self.found = proof.search()
            if proof.flickered():
                scene.replayed = Replayed.SOMETIMES
                self.gaps.append("the failure came and went while it was being hunted")
        if scene.replayed is Replayed.SOMETIMES:
            self.found = proof.search_flaky(scene.rate)
        if self.found is not None:
            self.gaps += self.found.gaps
            self._spare_tests(self.found)

    def _spare_tests(self, found: Found) -> None:
        """Spare a commit that touches only tests: it changed what is asked, not the service."""
        if found.trial is None:
            return
        paths = self.bench.source.paths(found.trial.commit)
        if paths and all(pins.testlike(path) for path in paths):
            self.gaps.append(
                f"{found.trial.commit[:12]} changed only the test: what is expected changed, "
                "not the service"
            )
            found.trial = None

    # --- verdict ---------------------------------------------------------------------------------

    def facts(self) -> Facts:
        """Return the facts that the rule decides from."""
        scene = self.scene
        return Facts(
            replayed=scene.replayed if scene else self._nothing_replayed(),
            at_good=scene.at_good if scene else AtGood.UNKNOWN,
            trial=self.trial(),
            network_failure=_network(scene),
            test_changed=scene.test_changed if scene else False,
            record_complete=self.record_complete() and not (scene and scene.artificial),
            dead_dependency=self.dead_dependency(),
            healthy=self.healthy(),
            clear_suspect=suspects.clear(self.ranked),
            variable=self.variable.name if self.variable else None,
            elsewhere=self.elsewhere(),
        )

    def elsewhere(self) -> bool:
        """Tell whether the replayed failure surely is another one than that of logs and traces."""
        scene, trial = self.scene, self.trial()
        if scene is None or scene.target is None or trial is None:
            return False
        source = self.bench.source
        return kinship.strangers(
            source,
            self.head,
            traces=self.risen,
            target=scene.target,
            replayed=pins.of_failure(
                scene.target, scene.replays.command.argv, source.files(self.head)
            ),
            culprit=trial.commit,
        )

    def _nothing_replayed(self) -> Replayed:
        return Replayed.UNFINISHED if self.unfinished else Replayed.NO_COMMAND

    def dead_dependency(self) -> str | None:
        """Return the declared dependency that does not answer and that the failure leads to."""
        words = self.failure_words()
        dead = (item for item in self.probed if item.alive is False)
        return next((i.dependency.name for i in dead if environment.implicated(i, words)), None)

    def trial(self) -> Trial | None:
        """Return what is known about the suspect that was tried."""
        return self.found.trial if self.found else None

    def failure_words(self) -> str:
        """Return the words of the failure: from logs and traces, and from the replay."""
        parts = [f"{trace.exception}: {trace.message}" for trace in self.traces]
        if self.reading is not None:
            parts += [item.sample for item in picture_of.telling(self.reading)[:5]]
        parts += [scene.words[-20_000:] for scene in self.scenes if scene.target is not None]
        return "\n".join(parts)

    def record_complete(self) -> bool:
        """Tell whether nothing changed unseen: a named good revision, or a whole record."""
        if self.bench.repository.is_shallow:
            return False
        recorded = self.bench.case.record_complete and bool(self.released)
        return self.good_is_named or recorded

    def healthy(self) -> bool:
        """Tell whether the logs were read and show nothing above the usual."""
        reading = self.reading
        if reading is None or reading.records == 0 or reading.onset is not None or self.traces:
            return False
        if reading.gaps:  # noise, no times, a part unread: what was not seen may be what is wrong
            return False
        if reading.requests is not None:
            rate = reading.requests.rate()
            return rate is not None and rate < HEALTHY_RATE
        return reading.error_records == 0

    def picture(self) -> Picture:
        """Return everything that the report is written from."""
        facts = self.facts()
        return Picture(
            bench=self.bench,
            head=self.head,
            facts=facts,
            decision=verdict.decide(facts),
            reading=self.reading,
            traces=tuple(self.traces),
            ranked=tuple(self.ranked),
            released=self.released,
            probed=self.probed,
            scene=self.scene,
            scenes=tuple(self.scenes),
            found=self.found,
            onset=self.onset,
            variable=self.variable,
            outside=environment.outside(
                self.failure_words(), self.bench.case.read_only, _vendor(self.traces)
            ),
            gaps=tuple(dict.fromkeys([*self.gaps, *self._unprepared()])),
        )

    def _unprepared(self) -> tuple[str, ...]:
        return self.bench.preparing.problems() if self.bench.preparing else ()


def scene_of(bench: Workbench) -> Scene | None:
    """Return the scene of this case: that of a diagnosis made on this bench, else played again."""
    if bench.scene is None:
        found = bench.case.diagnosis
        if found is not None:
            good = bench.case.good or found.good_revision
            bench.case = replace(bench.case, revision=found.revision, good=good)
        inquiry = Inquiry(bench, bench.repository.resolve(bench.case.revision))
        inquiry.look()
        if bench.case.replaying is None:
            inquiry.replay()
        else:
            _again(inquiry, bench.case.replaying)
    return bench.scene


def _again(inquiry: Inquiry, how: reports.Replaying) -> None:
    """Show the failure in the way in which an escalation has shown it."""
    bench = inquiry.bench
    asked = (one for one in inquiry.commands() if one[0].argv == how.argv)
    _, requests, _ = next(asked, (None, None, False))
    found = variation.replays(bench, how, requests)
    if isinstance(found, Measured) and inquiry.good is not None:
        source = bench.source
        head, there = source.tree(inquiry.head), source.tree(inquiry.good)
        good = Good(inquiry.good, "named by the diagnosis")
        inquiry.set_scene(variation.measured_scene(found, head, good, there))
    else:
        inquiry.play(found, AGAIN).varied = True


def diagnose(bench: Workbench) -> reports.Diagnosis:
    """Return the diagnosis of the bench's case; raises only if the repository cannot be read."""
    return finished(Inquiry(bench, bench.repository.resolve(bench.case.revision)))


def finished(inquiry: Inquiry) -> reports.Diagnosis:
    """Take an inquiry to its end and return its report."""
    steps = (inquiry.look, inquiry.replay, inquiry.prove)
    for step in steps:
        try:
            step()
        except errors.TimeSpent as spent:
            inquiry.gaps.append(f"time: {spent.message}")
            break
    return account.diagnosis(inquiry.picture())


def _frames(trace: Trace) -> Sequence[Frame]:
    """Return the frames of a trace and of its causes; a cause lies nearer to the fault."""
    return [frame for item in (*reversed(trace.chained), trace) for frame in item.frames]


def _vendor(found: Sequence[Trace]) -> str | None:
    for trace in found:
        path = trace.frames[0].path if trace.frames else ""
        # The language's own library is no dependency that could be at fault.
        if traces.VENDOR_DIRS.intersection(path.split("/")):
            return path
    return None


def _network(scene: Scene | None) -> bool:
    if scene is None or scene.target is None:
        return False
    if scene.target.exception == "timeout":
        return False
    # The whole output: a connection error is often wrapped in one of the service's own.
    return failures.network_words(scene.words)
