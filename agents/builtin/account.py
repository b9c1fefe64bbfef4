"""Writes the diagnosis report from the established facts: every sentence points at its evidence.

Called once at the end of a diagnosis. It adds no knowledge: a claim without a recorded fact is
marked as inferred, and the verdict's words come from the rule that decided.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation

from agents.builtin import environment, fingerprint, reproduction, suspects
from agents.builtin.goodrevision import Deployed
from agents.builtin.logs import LogReading, TemplateCount
from agents.builtin.proof import Found
from agents.builtin.reproduction import Mark
from agents.builtin.scene import Scene
from agents.builtin.tracelines import Trace
from agents.builtin.verdict import AtGood, Decision, Facts, Replayed, Trial, Without
from agents.builtin.workbench import ENGINE, Workbench
from incidents import models, reports
from incidents.models import Verdict
from incidents.reports import Claim, Hypothesis, HypothesisStatus, Impact, Proof, RootCause

SYMPTOMS, CHANGES, PROOFS, HYPOTHESES = 6, 20, 40, 12


@dataclass(frozen=True)
class Picture:
    """All that one inquiry established."""

    bench: Workbench
    head: str
    facts: Facts
    decision: Decision
    reading: LogReading | None
    traces: tuple[Trace, ...]
    ranked: tuple[suspects.Scored, ...]
    released: tuple[Deployed, ...]
    probed: tuple[environment.Probed, ...]
    scene: Scene | None
    scenes: tuple[Scene, ...]
    found: Found | None
    onset: datetime | None
    outside: tuple[environment.Outside, ...]
    gaps: tuple[str, ...]

    def name(self, commit: str) -> str:
        """Return a commit as people read it: short hash and subject."""
        return f"{commit[:12]} “{self.bench.source.commit(commit).subject[:80]}”"


def diagnosis(picture: Picture) -> reports.Diagnosis:
    """Return the report of an inquiry."""
    proofs, tree_evidence = _proofs(picture)
    hypotheses = _hypotheses(picture, tree_evidence)
    decision = picture.decision
    root = _root_cause(picture, tree_evidence)
    symptoms = _symptoms(picture, tree_evidence)
    return reports.Diagnosis(
        engine=ENGINE,
        verdict=decision.verdict,
        summary=_summary(picture, root),
        revision=picture.head,
        good_revision=picture.scene.good.revision if picture.scene and picture.scene.good else None,
        symptoms=symptoms,
        onset=picture.onset,
        onset_kind=_onset_kind(picture),
        timeline=_timeline(picture, tree_evidence),
        changes=_changes(picture),
        suspects=_suspects(picture),
        hypotheses=hypotheses,
        proofs=proofs,
        whys=_whys(picture, symptoms, tree_evidence),
        root_cause=root,
        culprit=decision.culprit,
        impact=impact(picture),
        recommended=_recommended(picture),
        alternatives=_alternatives(picture),
        must_pass=_must_pass(picture),
        gaps=picture.gaps + _more_gaps(picture),
        fingerprint=_fingerprint(picture),
        exception=_exception(picture),
        seconds=round(picture.bench.deadline.spent, 3),
        # Last, so that everything that was recorded above is in it.
        evidence=picture.bench.ledger.items(),
    )


def _proofs(picture: Picture) -> tuple[tuple[Proof, ...], dict[str, str]]:
    """Return one line per tested tree, and the evidence id of each tree's telling run."""
    labels = _labels(picture)
    lines: list[Proof] = []
    ids: dict[str, str] = {}
    replayed = [
        (scene, tree, runs) for scene in picture.scenes for tree, runs in scene.replays.runs.items()
    ]
    for scene, tree, runs in replayed:
        label = labels.get(tree, f"tree {tree[:12]}")
        failed = [run for run in runs if not run.completed.ok]
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


def _tree(picture: Picture, revision: str) -> str:
    scene, source = picture.scene, picture.bench.source
    tree = source.tree(revision)
    return source.pinned(tree, picture.head, scene.pinned) if scene and scene.pinned else tree


def _evidence_of(picture: Picture, ids: dict[str, str], *revisions: str) -> tuple[str, ...]:
    found = [ids.get(_tree(picture, revision)) for revision in revisions]
    return tuple(item for item in dict.fromkeys(found) if item is not None)


def _hypotheses(picture: Picture, ids: dict[str, str]) -> tuple[Hypothesis, ...]:
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
                evidence=_evidence_of(
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
        evidence = _evidence_of(picture, ids, commit)
    elif marks.get(parent) == Mark.BAD:
        result, status = "The failure was there before it.", HypothesisStatus.RULED_OUT
        evidence = _evidence_of(picture, ids, parent)
    elif trial is not None and picture.decision.verdict is Verdict.CONFIRMED:
        result, status = _before_or_after(picture, commit, trial.commit), HypothesisStatus.RULED_OUT
        evidence = _evidence_of(picture, ids, trial.commit)
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
            evidence=_evidence_of(picture, ids, scene.good.revision),
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


def _root_cause(picture: Picture, ids: dict[str, str]) -> RootCause | None:
    decision = picture.decision
    if decision.culprit is not None:
        scored = next((s for s in picture.ranked if s.commit.sha == decision.culprit), None)
        commit = picture.bench.source.commit(decision.culprit)
        path = (scored.path if scored else None) or next(iter(commit.paths), None)
        return RootCause(
            statement=f"The change {picture.name(decision.culprit)} brought "
            f"{failure_name(picture)}.",
            commit=decision.culprit,
            subject=commit.subject[:200],
            path=path,
            line=scored.line if scored else None,
            evidence=_evidence_of(picture, ids, decision.culprit, picture.head),
        )
    if decision.verdict is not Verdict.NO_CODE_CAUSE:
        return None
    if dead := picture.facts.dead_dependency:
        probe = next(item for item in picture.probed if item.dependency.name == dead)
        return RootCause(
            statement=f"The dependency {dead} does not answer ({probe.words}); "
            "no commit is guilty.",
            dependency=dead,
            evidence=(probe.evidence,) if probe.evidence else (),
        )
    named = picture.outside[0] if picture.outside else None
    good = picture.scene.good.revision if picture.scene and picture.scene.good else picture.head
    return RootCause(
        statement="No commit since the last good revision is the cause"
        + (
            f"; the failure points at {named.what}."
            if named
            else "; look at data, load and environment."
        ),
        dependency=named.dependency if named else None,
        evidence=_evidence_of(picture, ids, good, picture.head),
    )


def failure_name(picture: Picture) -> str:
    """Return the failure in a few words."""
    if picture.scene and picture.scene.target:
        return f"the failure {picture.scene.target}"
    return f"the failure {_exception(picture) or 'seen in the logs'}"


def _summary(picture: Picture, root: RootCause | None) -> str:
    parts = [picture.decision.why]
    if root is not None:
        parts.insert(0, root.statement)
    elif picture.scene and picture.scene.target:
        parts.append(f"What fails: {picture.scene.target}.")
    if picture.decision.verdict is Verdict.LIKELY and picture.facts.trial:
        parts.append(f"What is known: {trial_words(picture.facts.trial)}")
    if picture.found and picture.found.range and not picture.decision.culprit:
        first, last = picture.found.range[0], picture.found.range[-1]
        parts.append(f"It began somewhere in {first[:12]}..{last[:12]}.")
    return " ".join(parts)


def _symptoms(picture: Picture, ids: dict[str, str]) -> tuple[Claim, ...]:
    lines = []
    if picture.reading is not None:
        for item in telling(picture.reading)[:SYMPTOMS]:
            found = picture.bench.ledger.add(
                models.EvidenceKind.LOG,
                f"log, {item.count} times",
                item.where,
                item.sample,
                item.first_seen,
            )
            lines.append(
                Claim(text=f"{item.count} × {item.text[:200]}{_stands(item)}", evidence=(found,))
            )
    scene = picture.scene
    if scene is not None and scene.target is not None:
        runs = scene.replays.tally(scene.head)
        failed = sum(not run.completed.ok for run in runs)
        evidence = (ids[scene.head],) if scene.head in ids else ()
        lines.append(
            Claim(
                text=f"The replay fails in {failed} of {len(runs)} runs: {scene.target}",
                evidence=evidence,
            )
        )
    return tuple(lines)


def _stands(item: TemplateCount) -> str:
    return "" if item.background else f" ({item.standing})"


def telling(reading: LogReading) -> list[TemplateCount]:
    """Return the templates that may speak of the incident; all of them where none stands out.

    A log that begins after the onset has no quiet time to compare with.
    """
    ranked = list(reading.ranked())
    return [item for item in ranked if not item.background] or ranked


def _onset_kind(picture: Picture) -> str | None:
    reading = picture.reading
    return reading.onset.kind.value if reading and reading.onset else None


def _timeline(picture: Picture, ids: dict[str, str]) -> tuple[Claim, ...]:
    moments: list[tuple[datetime, Claim]] = []
    for item in picture.released[-8:]:
        found = _commit_evidence(picture, item.revision)
        text = (
            f"{item.at.isoformat()} {picture.name(item.revision)} reached production ({item.name})"
        )
        moments.append((item.at, Claim(text=text, evidence=(found,))))
    if culprit := picture.decision.culprit:
        commit = picture.bench.source.commit(culprit)
        claim = Claim(
            text=f"{commit.committed_at.isoformat()} {picture.name(culprit)} was committed",
            evidence=(_commit_evidence(picture, culprit),),
        )
        moments.append((commit.committed_at, claim))
    if picture.onset is not None:
        text = f"{picture.onset.isoformat()} the failures began"
        moments.append(
            (picture.onset, Claim(text=text, evidence=_log_evidence(picture), inferred=True))
        )
    return tuple(claim for _, claim in sorted(moments, key=lambda pair: pair[0]))


def _log_evidence(picture: Picture) -> tuple[str, ...]:
    kinds = (item for item in picture.bench.ledger.items() if item.kind == models.EvidenceKind.LOG)
    return tuple(item.id for item in kinds)[:1]


def _commit_evidence(picture: Picture, sha: str) -> str:
    commit = picture.bench.source.commit(sha)
    text = f"{commit.sha}\n{commit.subject}\n" + "\n".join(commit.paths[:50])
    return picture.bench.ledger.add(
        models.EvidenceKind.COMMIT, "git", commit.sha, text, commit.committed_at
    )


def _changes(picture: Picture) -> tuple[str, ...]:
    lines = [
        f"{item.at.isoformat()} {item.name}: {picture.name(item.revision)}"
        for item in reversed(picture.released)
    ]
    lines += [
        f"{item.at.isoformat()} {item.kind}: {item.note or item.after or ''} ({item.source})"
        for item in picture.bench.case.changes
        if item.kind is not models.ChangeKind.DEPLOY
    ]
    if not lines:
        recent = picture.bench.source.window(None, picture.head, 10)
        lines = [
            f"{c.committed_at.isoformat()} {c.sha[:12]} {c.subject[:100]}" for c in reversed(recent)
        ]
    return tuple(lines[:CHANGES])


def _suspects(picture: Picture) -> tuple[reports.Suspect, ...]:
    listed = list(suspects.shown(picture.ranked))
    trial = picture.facts.trial
    if trial is None:
        return tuple(listed)
    known = next((item for item in listed if item.commit == trial.commit), None)
    if known is not None:
        listed.remove(known)
    else:
        commit = picture.bench.source.commit(trial.commit)
        scored = next((s for s in picture.ranked if s.commit.sha == trial.commit), None)
        known = reports.Suspect(
            commit=trial.commit, path=next(iter(commit.paths), None), line=None,
            score=scored.score if scored else 0.0, why="", subject=commit.subject[:120],
        )  # fmt: skip
    why = "; ".join(part for part in (f"tried: {trial_words(trial)}", known.why) if part)
    return (known.model_copy(update={"why": why}), *listed)


def _whys(picture: Picture, symptoms: Sequence[Claim], ids: dict[str, str]) -> tuple[Claim, ...]:
    """Return the chain from the symptom to the change, and what let it through, as inferred."""
    chain = list(symptoms[:1])
    scene, culprit = picture.scene, picture.decision.culprit
    if scene is not None and scene.target is not None and scene.head in ids:
        chain.append(
            Claim(text=f"Because the code raises {scene.target}.", evidence=(ids[scene.head],))
        )
    top = next((item for item in picture.ranked if item.path and item.line), None)
    if top is not None and (culprit is None or top.commit.sha == culprit):
        found = _commit_evidence(picture, top.commit.sha)
        chain.append(Claim(text=f"Because of what {top.path}:{top.line} does.", evidence=(found,)))
    if culprit is not None:
        refs = _evidence_of(picture, ids, culprit) or (_commit_evidence(picture, culprit),)
        chain.append(Claim(text=f"Because {picture.name(culprit)} changed it.", evidence=refs))
        new = scene is not None and any(
            path not in picture.bench.source.files(culprit) for path in scene.pinned
        )
        text = (
            "Because no test covered it when the change was made."
            if new
            else "Because it reached production although a test can show it, or no test ran."
        )
        chain.append(Claim(text=text, inferred=True))
    elif picture.decision.verdict is Verdict.NO_CODE_CAUSE and picture.outside:
        chain.append(Claim(text=f"Because of {picture.outside[0].what}.", inferred=True))
    return tuple(chain)


def impact(picture: Picture) -> Impact:
    """Return who was hurt, as far as the logs tell."""
    reading = picture.reading
    counts = reading.requests if reading else None
    if reading is None or counts is None:
        return Impact(note="No request counts were found.")
    split = len(counts.totals)
    if picture.onset is not None and reading.start is not None:
        split = max(0, min(split, int((picture.onset - reading.start) / reading.bucket)))
    since = slice(split, None) if split < len(counts.totals) else slice(0, None)
    total, failed = sum(counts.totals[since]), sum(counts.errors[since])
    return Impact(
        requests=total,
        failed=failed,
        error_rate=failed / total if total else None,
        baseline_rate=counts.rate(0, split) if split < len(counts.totals) else None,
        since=picture.onset,
        money=_money(picture.bench.case.value_per_request, failed),
    )


def _money(value: str | None, failed: int) -> str:
    if value is None:
        return "not configured"
    number, _, currency = value.partition(" ")
    try:
        return f"about {Decimal(number) * failed} {currency}".strip()
    except InvalidOperation:
        return f"{failed} failed requests, each worth {value}"


def _recommended(picture: Picture) -> str:
    decision = picture.decision
    check = _validation(picture)
    if decision.culprit is not None:
        trial = picture.facts.trial
        how = "Revert it"
        if trial is not None and trial.without is not Without.GONE:
            how = "Undo its change by hand (a plain revert does not work any more)"
        return f"{how}. Check with: {check}. Undo: apply the same diff in reverse (git apply -R)."
    if decision.verdict is Verdict.NO_CODE_CAUSE:
        what = picture.facts.dead_dependency or (
            picture.outside[0].what if picture.outside else None
        )
        return f"Do not roll back. Look at {what or 'data, load and environment'} first."
    if picture.facts.healthy:
        return "Nothing has to be done on this evidence; watch the error rate."
    return f"Close the gaps below, then diagnose again. Next command to run: {check}."


def _validation(picture: Picture) -> str:
    if picture.scene is not None:
        return str(picture.scene.replays.command)
    case = picture.bench.case
    if case.test or case.reproduce:
        return str(case.test or case.reproduce)
    return "halon diagnose with --test and the command that shows the failure"


def _alternatives(picture: Picture) -> tuple[str, ...]:
    if picture.decision.culprit is None:
        return ()
    good = picture.scene.good if picture.scene else None
    lines = ["A guard at the crashing line: contains the error, leaves its cause in place."]
    if good is not None:
        lines.insert(
            0, f"Return to {good.revision[:12]}: gives up every change since then as well."
        )
    return tuple(lines)


def _must_pass(picture: Picture) -> tuple[str, ...]:
    case = picture.bench.case
    return tuple(str(command) for command in (case.reproduce, case.test) if command is not None)


def _more_gaps(picture: Picture) -> tuple[str, ...]:
    lines: list[str] = []
    scene = picture.scene
    if scene is not None and scene.others and scene.target is not None:
        names = "; ".join(str(item) for item in scene.others[:3])
        lines.append(f"other failures of the same run are not part of this proof: {names}")
    if scene is not None and picture.facts.network_failure:
        lines.append("a dependency cannot be reached from the sandbox, which has no network")
    if not picture.facts.record_complete:
        lines.append("no complete record of changes: something else may have changed unseen")
    if picture.reading is None:
        lines.append("no logs were given: onset and impact are unknown")
    if picture.found is not None:
        lines += picture.found.notes
    return tuple(dict.fromkeys(lines))


def _fingerprint(picture: Picture) -> str | None:
    if picture.traces:
        return fingerprint.fingerprint(picture.traces[0])
    if picture.scene and picture.scene.target:
        return fingerprint.fingerprint(str(picture.scene.target))
    return None


def _exception(picture: Picture) -> str | None:
    if picture.traces:
        return picture.traces[0].exception
    if (
        picture.scene
        and picture.scene.target
        and picture.scene.replayed in (Replayed.ALWAYS, Replayed.SOMETIMES)
    ):
        return picture.scene.target.exception
    return None
