"""The experiments of production-fixer: each changes one variable against what was tried before.

Called by `fixer`, one after the other until one decides. They reproduce and measure; what that
proves is said by the same rule as in a diagnosis (`verdict.decide`), never here.
"""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from agents import case as cases
from agents.builtin import bisect, environment, goodrevision, measuring, variables, variation
from agents.builtin import reproduction as replaying
from agents.builtin.diagnose import Inquiry
from agents.builtin.failures import Failure, State
from agents.builtin.goodrevision import Good
from agents.builtin.proof import ROUNDS
from agents.builtin.reenact import Effort
from agents.builtin.reproduction import Replays
from agents.builtin.scene import Scene
from agents.builtin.verdict import AtGood, Replayed
from agents.builtin.workbench import Workbench
from incidents.models import Verdict
from incidents.reports import Bottleneck, HypothesisStatus, Replaying

SHOWN = (Replayed.ALWAYS, Replayed.SOMETIMES)
PRESSED = Effort(many=20, cap=120)
OFTEN = Effort(many=120, share=0.4, cap=300)
WIDE = Effort(many=20, reach=4096)
PROBES = 5
MANIFEST = ("requirements", "pyproject", "package", "go.mod", "cargo", "gemfile", "pom.xml", "lock")

OPEN, SUPPORTED, RULED_OUT = (
    HypothesisStatus.OPEN,
    HypothesisStatus.SUPPORTED,
    HypothesisStatus.RULED_OUT,
)


@dataclass(frozen=True)
class Result:
    """What an experiment showed."""

    words: str
    status: HypothesisStatus = OPEN
    evidence: tuple[str, ...] = ()


@dataclass
class Lab:
    """One escalation while it works."""

    bench: Workbench
    inquiry: Inquiry
    how: Replaying | None = None  # the variation that showed the failure
    bottleneck: Bottleneck | None = None
    differences: list[str] = field(default_factory=list)

    @property
    def decided(self) -> bool:
        """Whether a replay or a probe has settled the cause."""
        decision = self.inquiry.picture().decision
        if decision.verdict is Verdict.LIKELY:
            return self.inquiry.found is not None and decision.culprit is not None
        return decision.verdict in (Verdict.CONFIRMED, Verdict.NO_CODE_CAUSE)

    def commands(self) -> Iterator[tuple[cases.Command, Path | None]]:
        """Yield what replays the failure: captured requests, the test, then the load."""
        for command, requests, _ in self.inquiry.commands():
            yield command, requests
        if self.bench.case.load is not None:
            yield self.bench.case.load, None

    def hunt(self, how: Replaying, requests: Path | None, effort: Effort) -> Scene:
        """Replay in this variation; where it fails, find the commit and take it out and in."""
        found = variation.replays(self.bench, how, requests)
        load = self.bench.case.load
        scene = self.inquiry.play(found, effort)
        scene.artificial = how.pressure or bool(load and how.argv == load.argv)
        scene.varied = True
        if scene.replayed in SHOWN:
            self.how = how
            self.inquiry.rank_by(scene)
            self.inquiry.prove()
        return scene

    def record(self, replays: Replays, tree: str, label: str) -> tuple[str, ...]:
        """Put a telling run of a tree into the ledger."""
        runs = replays.tally(tree)
        failed = [run for run in runs if run.observed.state is not State.PASSED]
        telling = (failed or runs)[:1]
        return tuple(replaying.record(self.bench.ledger, run, label) for run in telling)

    def result(self, scene: Scene) -> Result:
        """Return what a hunt showed, in words."""
        runs = scene.replays.tally(scene.head)
        failed = sum(run.observed.state is not State.PASSED for run in runs)
        evidence = self.record(scene.replays, scene.head, "broken revision")
        if scene.replayed not in SHOWN:
            why = f" ({scene.gaps[-1]})" if scene.gaps else ""
            words = f"Fails in {failed} of {len(runs)} runs on the broken revision{why}."
            status = RULED_OUT if scene.replayed is Replayed.NEVER else OPEN
            return Result(words, status, evidence)
        good = scene.good.revision[:12] if scene.good else "no earlier revision"
        there = {
            AtGood.PASSES: f"passes at {good}",
            AtGood.FAILS_ALIKE: f"fails at {good} in the same way",
            AtGood.FAILS_SOMETIMES: f"fails at {good} now and then",
        }.get(scene.at_good, f"could not be run at {good}")
        what = f"Fails in {failed} of {len(runs)} runs ({scene.target}) and {there}."
        return Result(what, SUPPORTED, evidence)


Act = Callable[[Lab], Result]


@dataclass(frozen=True)
class Idea:
    """A hypothesis, the one variable that its test changes, and what the test needs."""

    kind: str
    statement: str
    variable: str
    test: str
    need: str
    ready: Callable[[Lab], bool]
    act: Act
    marks: Callable[[Lab], tuple[object, ...]] = lambda lab: ()  # what else tells it from a repeat


# --- the acts ------------------------------------------------------------------------------------


def under_load(lab: Lab) -> Result:
    """Replay the load at the broken revision and at the good one."""
    load = lab.bench.case.load
    if load is None:
        return Result("No load is configured.")
    return lab.result(lab.hunt(Replaying(argv=load.argv, setup=load.setup), None, PRESSED))


def under_pressure(lab: Lab) -> Result:
    """Replay with threads switched as often as the interpreter can."""
    return _each(lab, PRESSED, pressure=True)


def often(lab: Lab) -> Result:
    """Replay as often as the time allows."""
    return _each(lab, OFTEN)


def further_back(lab: Lab) -> Result:
    """Look for a revision that passes beyond what the diagnosis looked at, deploy or not."""
    return _each(lab, WIDE)


def _each(lab: Lab, effort: Effort, *, pressure: bool = False) -> Result:
    told = Result("Nothing could be replayed.")
    for command, requests in lab.commands():
        how = Replaying(argv=command.argv, setup=command.setup, pressure=pressure)
        told = lab.result(lab.hunt(how, requests, effort))
        if told.status is SUPPORTED:
            break
    return told


def with_environment(lab: Lab) -> Result:
    """Replay with the present environment; where it fails, restore one variable after the other."""
    both = _environments(lab)
    if both is None:
        return Result("The record of deploys has no two environments.")
    good, present = both
    changed = variables.between(good, present)
    lab.differences += [str(item) for item in changed]
    told = Result("Nothing could be replayed.")
    for command, requests in lab.commands():
        env = tuple(sorted(variables.usable(present).items()))
        how = Replaying(argv=command.argv, setup=command.setup, env=env)
        scene = lab.hunt(how, requests, PRESSED)
        told = lab.result(scene)
        if scene.replayed in SHOWN and scene.target is not None:
            return _restored(lab, scene, scene.target, how, requests, both)
    return told


def _restored(
    lab: Lab,
    scene: Scene,
    target: Failure,
    how: Replaying,
    requests: Path | None,
    both: tuple[cases.Environment, cases.Environment],
) -> Result:
    good, present = both

    def made(values: variables.Variables) -> Replays:
        env = tuple(sorted(values.items()))
        varied = variation.replays(lab.bench, how.model_copy(update={"env": env}), requests)
        varied.limit_seconds = scene.replays.limit_seconds
        return varied

    flaky = scene.replayed is Replayed.SOMETIMES
    rounds = bisect.runs_needed(scene.rate) if flaky else ROUNDS
    trial = variables.Trial(
        made, scene.head, target, variables.usable(good), variables.usable(present), rounds
    )
    changed = [item for item in variables.between(good, present) if not item.secret]
    found = trial.deciding(changed)
    if len(found) != 1:
        together = trial.all_together()
        names = ", ".join(item.name for item, _ in found or [(one, ()) for one in changed])
        words = f"It fails with the present environment; no single variable decides ({names})."
        return Result(words if together else f"{words} Nor do all together.", OPEN)
    item, (without, alone) = found[0]
    evidence = (
        *lab.record(scene.replays, scene.head, "broken revision, present environment"),
        *lab.record(without, scene.head, f"broken revision, {item.name} restored"),
        *lab.record(alone, scene.head, f"broken revision, only {item.name} changed"),
    )
    words = (
        f"{item}. With it the broken revision fails, with only this one restored it passes "
        f"{len(without.tally(scene.head))} of {len(without.tally(scene.head))} runs."
    )
    if scene.at_good is not AtGood.PASSES:  # else a commit is to be convicted, or nothing is
        at = f"{present.at:%Y-%m-%d %H:%M} UTC"
        said = f"The environment variable {item.name} was changed by the deploy of {at} ({item})."
        lab.inquiry.variable = variables.Restored(item.name, said, variables.former(item), evidence)
    return Result(words, SUPPORTED, evidence)


def costs_more(lab: Lab) -> Result:
    """Measure good and bad under the same load; where one costs more, find the commit."""
    good = _good(lab)
    if good is None:
        return Result("No good revision is known.")
    source = lab.bench.source
    head, there = source.tree(lab.inquiry.head), source.tree(good.revision)
    told = Result("No command ends well on both revisions, so nothing could be compared.")
    for command, requests in reversed([*lab.commands()]):  # the load first: it is made for this
        how = Replaying(argv=command.argv, setup=command.setup)
        plain = variation.replays(lab.bench, how, requests)
        plain.at_least([there, head], measuring.RUNS)
        runs = plain.tally(there), plain.tally(head)
        if any(one.observed.state is not State.PASSED for one in (*runs[0], *runs[1])):
            continue
        told = Result(f"From {good.revision[:12]}: {measuring.shown(*runs)}.", RULED_OUT)
        clear = measuring.compare(*runs)
        if clear is not None:
            return _hunted_cost(lab, how, requests, clear, good)
    return told


def _hunted_cost(
    lab: Lab, how: Replaying, requests: Path | None, clear: measuring.Difference, good: Good
) -> Result:
    source = lab.bench.source
    how = how.model_copy(update={"metric": clear.metric.value, "limit": clear.limit})
    found = variation.replays(lab.bench, how, requests)
    if not isinstance(found, measuring.Measured):
        return Result("Nothing could be measured.")
    head, there = source.tree(lab.inquiry.head), source.tree(good.revision)
    scene = variation.measured_scene(found, head, good, there)
    ids = (
        *lab.record(found, there, "last good revision"),
        *lab.record(found, head, "broken revision"),
    )
    judged = measuring.JUDGED[clear.metric].words
    lab.bottleneck = Bottleneck(
        what=f"{judged} under {found.command}",
        good=measuring.figure(clear.metric, clear.good),
        bad=measuring.figure(clear.metric, clear.bad),
        places=_places(lab, how, requests, clear.metric, (there, head)),
        evidence=ids,
    )
    words = f"{judged}: {lab.bottleneck.good} → {lab.bottleneck.bad}, in every run."
    if lab.inquiry.traces:
        # What costs more need not be what raises: a new feature may rightly need memory.
        return Result(
            f"{words} The logs speak of errors, so no commit is blamed for it.", OPEN, ids
        )
    lab.inquiry.set_scene(scene)
    lab.how = how
    if scene.replayed in SHOWN and scene.at_good is AtGood.PASSES:
        lab.inquiry.prove()
    return Result(words, SUPPORTED, ids)


def _places(
    lab: Lab,
    how: Replaying,
    requests: Path | None,
    metric: measuring.Metric,
    trees: tuple[str, str],
) -> tuple[str, ...]:
    """Profile both revisions once; Python alone is profiled, others have figures only."""
    kind = "memory" if metric is measuring.Metric.MEMORY else "cpu"
    env = {**dict(how.env), **variation.loaded(lab.bench, {variation.PROFILE: kind})}
    plain = Replaying(argv=how.argv, setup=how.setup, env=tuple(env.items()))
    profiled = variation.replays(lab.bench, plain, requests)
    profiled.at_least(trees, 1)
    return measuring.places(profiled.tally(trees[0]), profiled.tally(trees[1]), metric)


def dependencies(lab: Lab) -> Result:
    """Ask every declared probe several times: slow or now and then is seen only so."""
    probed = [environment.probe(lab.bench.case.depends_on, lab.bench.ledger) for _ in range(PROBES)]
    words, status, worst = [], RULED_OUT, []
    for answers in zip(*probed, strict=True):
        known = [one for one in answers if one.alive is not None]
        alive = sum(bool(one.alive) for one in known)
        dead = [one for one in known if not one.alive]
        if known:
            slow = statistics.median(one.seconds for one in known)
            name = known[0].dependency.name
            words.append(f"{name} answered {alive} of {len(known)}, median {slow * 1000:.0f} ms")
            # Only one that never answers counts as dead: the rule goes by it.
            worst.append(dead[0] if not alive else next(one for one in known if one.alive))
            status = SUPPORTED if dead else status
    lab.inquiry.probed = tuple(worst) or lab.inquiry.probed
    evidence = tuple(one.evidence for one in worst if one.evidence)
    return Result(f"{'; '.join(words)}.", status, evidence)


def _environments(lab: Lab) -> tuple[cases.Environment, cases.Environment] | None:
    return variables.pair(lab.bench.case.environments, lab.inquiry.good)


def _good(lab: Lab) -> Good | None:
    """Return the revision to compare with: named, found by the diagnosis, or deployed before."""
    found = lab.bench.case.diagnosis
    if lab.inquiry.good is not None:
        return Good(lab.inquiry.good, "named by the operator")
    if found is not None and found.good_revision is not None:
        return Good(found.good_revision, "found by the diagnosis")
    before = [one for one in lab.inquiry.released if one.revision != lab.inquiry.head]
    options = goodrevision.candidates(
        lab.bench.source, lab.inquiry.released, None, lab.inquiry.head
    )
    return options[0] if before and options else None


def changed_manifests(lab: Lab) -> list[str]:
    """Return the files naming dependencies' versions that differ from the good revision."""
    good = _good(lab)
    if good is None:
        return []
    changed = lab.bench.repository.diff_trees(good.revision, lab.inquiry.head)
    names = (one.path for one in changed)
    return [path for path in names if any(sign in Path(path).name.lower() for sign in MANIFEST)]


def _any_command(lab: Lab) -> bool:
    case = lab.bench.case
    return any((case.reproduce, case.test, case.load))


def shows_already(lab: Lab) -> bool:
    """Tell whether the plain replay fails on the broken revision, as the diagnosis saw it."""
    found = lab.bench.case.diagnosis
    proofs = found.proofs if found else ()
    return any(one.label == "broken revision" and one.failures for one in proofs)


IDEAS: tuple[Idea, ...] = (
    Idea(
        "load",
        "It shows only under load: something runs out, or requests get into each other's way.",
        "the work that is done",
        "The configured load on the broken and on the good revision.",
        "the command that puts the service under load in the sandbox (`load` in halon.toml)",
        lambda lab: lab.bench.case.load is not None,
        under_load,
        lambda lab: (lab.bench.case.load,),
    ),
    Idea(
        "environment",
        "The code is innocent: the deploy changed a variable of its environment.",
        "the environment, one variable after the other",
        "The same replay with the variables of the present and of the last good deploy.",
        "the variables of the last two deploys (`env` in the record of deploys)",
        lambda lab: _any_command(lab) and _environments(lab) is not None,
        with_environment,
        lambda lab: (lab.bench.case.environments,),
    ),
    Idea(
        "pressure",
        "Two threads race, and the replay is too short for them to meet.",
        "how often the interpreter switches between threads",
        "The same replay with threads that give way between calls of the service (Python only).",
        "a command that shows the failure at times (`test` or `reproduce` in halon.toml)",
        lambda lab: _any_command(lab) and not shows_already(lab),
        under_pressure,
    ),
    Idea(
        "cost",
        "Nothing is raised: the broken revision needs more memory or time for the same work.",
        "the revision",
        "The same load on the last good and on the broken revision, measured.",
        "a revision that was good (a deploy before this one, or `changes` in halon.toml)",
        lambda lab: _any_command(lab) and _good(lab) is not None and not shows_already(lab),
        costs_more,
    ),
    Idea(
        "dependency",
        "A dependency answers slowly, or not every time.",
        "how often it is asked",
        f"Each declared probe {PROBES} times.",
        "what the service depends on, with a probe for each (`depends_on` in halon.toml)",
        lambda lab: any(one.probe for one in lab.bench.case.depends_on),
        dependencies,
        lambda lab: (datetime.now(UTC),),  # the world moves on: it may be asked again
    ),
    Idea(
        "window",
        "It is older than anything that was looked at.",
        "how far back a good revision is looked for",
        "The same replay on revisions up to 4,096 commits back, deployed or not.",
        "a command whose failure shows on the broken revision",
        lambda lab: shows_already(lab) and _good(lab) is None,
        further_back,
    ),
    Idea(
        "often",
        "It is rare: it was run too few times.",
        "the number of runs",
        f"The same replay up to {OFTEN.many} times.",
        "a command that shows the failure at times (`test` or `reproduce` in halon.toml)",
        lambda lab: _any_command(lab) and not shows_already(lab),
        often,
    ),
)
