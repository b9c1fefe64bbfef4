"""The proofs and hypotheses of a diagnosis: what was supposed, the decisive test, its result.

Used by the account; a hypothesis that no test decided is shown as open.
"""

from agents.builtin import picture as picture_of
from agents.builtin import reproduction, suspects
from agents.builtin.failures import State
from agents.builtin.picture import Picture
from agents.builtin.reproduction import Mark
from agents.builtin.scene import Scene
from agents.builtin.verdict import AtGood, Replayed, Trial, Without
from incidents.models import Verdict
from incidents.reports import Hypothesis, HypothesisStatus, Proof

PROOFS = 40
HYPOTHESES = 12


def proofs(picture: Picture) -> tuple[tuple[Proof, ...], dict[str, str]]:
    """Return one line per tested tree, and the evidence id of each tree's telling run."""
    labels = _labels(picture)
    lines: list[Proof] = []
    ids: dict[str, str] = {}
    replayed = [
        (scene, tree, runs) for scene in picture.scenes for tree, runs in scene.replays.runs.items()
    ]
    for scene, tree, runs in replayed:
        label = labels.get(tree, f"tree {tree[:12]}")
        failed = [run for run in runs if run.observed.state is not State.PASSED]
        telling = (failed or runs)[0]
        ids[tree] = reproduction.record(picture.bench.ledger, telling, label)
        lines.append(
            Proof(
                label=label,
                tree=tree,
                runs=len(runs),
                failures=len(failed),
                command=str(scene.replays.command),
                where=telling.completed.sandbox,
                seconds=round(sum(run.completed.seconds for run in runs), 3),
                evidence=ids[tree],
            )
        )
    return tuple(lines[:PROOFS]), ids


def _labels(picture: Picture) -> dict[str, str]:
    scene, source = picture.scene, picture.bench.source
    labels: dict[str, str] = {}
    if scene is None:
        return labels

    def named(tree: str | None, label: str) -> None:
        if tree is not None:
            labels.setdefault(tree, label)
            if scene.pinned:
                labels.setdefault(source.pinned(tree, picture.head, scene.pinned), label)

    named(source.tree(picture.head), "broken revision")
    if scene.good is not None:
        named(source.tree(scene.good.revision), "good revision")
    trial = picture.facts.trial
    if trial is not None:
        named(source.tree(trial.commit), f"suspect {trial.commit[:12]}")
        for parent in source.parents(trial.commit):
            named(source.tree(parent), f"parent of {trial.commit[:12]}")
        named(
            source.without(picture.head, trial.commit)[0],
            f"broken revision without {trial.commit[:12]}",
        )
        if scene.good is not None and trial.alone_fails is not None:
            named(
                source.with_only(scene.good.revision, trial.commit),
                f"good revision plus {trial.commit[:12]} alone",
            )
    for commit in source.asked():
        named(source.tree(commit), f"commit {commit[:12]}")
    return labels


def hypotheses(picture: Picture, ids: dict[str, str]) -> tuple[Hypothesis, ...]:
    """Return what was supposed, how it was tested and what came of it."""
    found = [*_tried(picture, ids), *_not_code(picture, ids), *_outside(picture)]
    return tuple(found[:HYPOTHESES])


def _tried(picture: Picture, ids: dict[str, str]) -> list[Hypothesis]:
    trial, found = picture.facts.trial, picture.found
    lines = []
    if trial is not None:
        supported = picture.decision.culprit == trial.commit
        lines.append(
            Hypothesis(
                statement=f"{picture.name(trial.commit)} brought the failure in.",
                test="Replay at it, at its parents, and on the broken revision without it.",
                result=trial_words(trial),
                status=HypothesisStatus.SUPPORTED if supported else HypothesisStatus.OPEN,
                evidence=picture_of.evidence_of(
                    picture, ids, trial.commit, *picture.bench.source.parents(trial.commit)
                ),
            )
        )
    marks = found.marks if found else {}
    for suspect in picture.ranked[:6]:
        commit = suspect.commit.sha
        if trial is not None and commit == trial.commit:
            continue
        lines.append(_suspected(picture, suspect, marks, trial, ids))
    return lines


def _suspected(
    picture: Picture,
    suspect: suspects.Scored,
    marks: dict[str, str],
    trial: Trial | None,
    ids: dict[str, str],
) -> Hypothesis:
    commit = suspect.commit.sha
    parent = suspect.commit.parents[0] if suspect.commit.parents else ""
    result, status = "Not tested.", HypothesisStatus.OPEN
    evidence: tuple[str, ...] = ()
    if marks.get(commit) == Mark.GOOD:
        result, status = "The replay passes with it.", HypothesisStatus.RULED_OUT
        evidence = picture_of.evidence_of(picture, ids, commit)
    elif marks.get(parent) == Mark.BAD:
        result, status = "The failure was there before it.", HypothesisStatus.RULED_OUT
        evidence = picture_of.evidence_of(picture, ids, parent)
    elif trial is not None and picture.decision.verdict is Verdict.CONFIRMED:
        result, status = _before_or_after(picture, commit, trial.commit), HypothesisStatus.RULED_OUT
        evidence = picture_of.evidence_of(picture, ids, trial.commit)
    elif picture.decision.verdict is Verdict.NO_CODE_CAUSE:
        result, status = "The failure is older than it.", HypothesisStatus.RULED_OUT
    return Hypothesis(
        statement=f"{picture.name(commit)} brought the failure in.",
        test="Replay at it and at its parent.",
        result=result,
        status=status,
        evidence=evidence,
    )


def _before_or_after(picture: Picture, commit: str, culprit: str) -> str:
    if picture.bench.repository.is_ancestor(culprit, commit):
        return "The failure was there before it."
    return "The replay passes after it, until the culprit."


def trial_words(trial: Trial) -> str:
    """Return what the trial of one suspect showed, in words."""
    words = {True: "fails", False: "passes", None: "cannot be tested"}
    parents = {True: "pass", False: "fail", None: "cannot be tested"}
    without = {
        Without.GONE: "passes",
        Without.STILL_THERE: "still fails",
        Without.INSEPARABLE: "cannot be tested (later changes build on it)",
        Without.NOT_RUN: "was not tested",
    }
    parts = [
        f"at it the replay {words[trial.at_suspect_fails]}",
        f"its parents {parents[trial.parents_pass]}",
        f"the broken revision without it {without[trial.without]}",
    ]
    if trial.alone_fails is not None:
        parts.append(f"the good revision plus it alone {words[trial.alone_fails]}")
    if not trial.unbroken:
        parts.append("the failure went away in between")
    if not trial.only_one:
        parts.append("another commit fits as well")
    if not trial.enough_runs:
        parts.append("too few equal runs")
    return "; ".join(parts) + "."


def _not_code(picture: Picture, ids: dict[str, str]) -> list[Hypothesis]:
    scene = picture.scene
    if scene is not None and scene.replayed is Replayed.NEVER:
        return [_by_itself(picture, item, ids) for item in picture.scenes]
    if scene is None or scene.good is None:
        return []
    results = {
        AtGood.PASSES: ("It passes there.", HypothesisStatus.RULED_OUT),
        AtGood.FAILS_ALIKE: ("It fails there in the same way.", HypothesisStatus.SUPPORTED),
        AtGood.FAILS_SOMETIMES: ("It fails there now and then.", HypothesisStatus.SUPPORTED),
        AtGood.UNTESTABLE: ("It cannot run there.", HypothesisStatus.OPEN),
        AtGood.UNKNOWN: ("It was not run there.", HypothesisStatus.OPEN),
    }
    result, status = results[scene.at_good]
    return [
        Hypothesis(
            statement="No commit is the cause: environment, data, load or a dependency is.",
            test=f"Replay at the last good revision {scene.good.revision[:12]} ({scene.good.how}).",
            result=result,
            status=status,
            evidence=picture_of.evidence_of(picture, ids, scene.good.revision),
        )
    ]


def _by_itself(picture: Picture, scene: Scene, ids: dict[str, str]) -> Hypothesis:
    runs = len(scene.replays.tally(scene.head))
    aided = ", with stand-ins for its dependencies" if scene.replays.command.setup else ""
    return Hypothesis(
        statement="The broken revision fails by itself, whatever is around it.",
        test=f"Replay it in the sandbox{aided}: {scene.replays.command}",
        result=f"It passes in all of {runs} runs.",
        status=HypothesisStatus.RULED_OUT,
        evidence=(ids[scene.head],) if scene.head in ids else (),
    )


def _outside(picture: Picture) -> list[Hypothesis]:
    lines = [
        Hypothesis(
            statement=f"The dependency {item.dependency.name} is down.",
            test=f"A read-only probe of {item.dependency.probe or 'it'}.",
            result=item.words,
            status={
                True: HypothesisStatus.RULED_OUT,
                False: HypothesisStatus.SUPPORTED,
                None: HypothesisStatus.OPEN,
            }[item.alive],
            evidence=(item.evidence,) if item.evidence else (),
        )
        for item in picture.probed
    ]
    lines += [
        Hypothesis(
            statement=f"The cause is {item.what}.",
            test="A live check by a person or a declared probe.",
            result="Named by the failure; not checked.",
        )
        for item in picture.outside[:3]
    ]
    return lines
