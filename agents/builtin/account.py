"""Writes the diagnosis report from the established facts: every sentence points at its evidence.

Called once at the end of a diagnosis. It adds no knowledge: a claim without a recorded fact is
marked as inferred, and the verdict's words come from the rule that decided.
"""

from agents.builtin import fingerprint, hypotheses, narrative, suspects
from agents.builtin import picture as picture_of
from agents.builtin.picture import Picture
from agents.builtin.verdict import Without
from agents.builtin.workbench import ENGINE
from incidents import reports
from incidents.models import Verdict
from incidents.reports import RootCause


def diagnosis(picture: Picture) -> reports.Diagnosis:
    """Return the report of an inquiry."""
    proofs, tree_evidence = hypotheses.proofs(picture)
    supposed = hypotheses.hypotheses(picture, tree_evidence)
    decision = picture.decision
    root = _root_cause(picture, tree_evidence)
    symptoms = narrative.symptoms(picture, tree_evidence)
    return reports.Diagnosis(
        engine=ENGINE,
        verdict=decision.verdict,
        summary=_summary(picture, root),
        revision=picture.head,
        good_revision=picture.scene.good.revision if picture.scene and picture.scene.good else None,
        symptoms=symptoms,
        onset=picture.onset,
        onset_kind=narrative.onset_kind(picture),
        timeline=narrative.timeline(picture, tree_evidence),
        changes=narrative.changes(picture),
        suspects=_suspects(picture),
        hypotheses=supposed,
        proofs=proofs,
        whys=narrative.whys(picture, symptoms, tree_evidence),
        root_cause=root,
        culprit=decision.culprit,
        impact=narrative.impact(picture),
        recommended=_recommended(picture),
        alternatives=_alternatives(picture),
        must_pass=_must_pass(picture),
        gaps=picture.gaps + _more_gaps(picture),
        fingerprint=_fingerprint(picture),
        exception=picture_of.exception(picture),
        seconds=round(picture.bench.deadline.spent, 3),
        # Last, so that everything that was recorded above is in it.
        evidence=picture.bench.ledger.items(),
    )


def _root_cause(picture: Picture, ids: dict[str, str]) -> RootCause | None:
    decision = picture.decision
    if decision.culprit is not None:
        scored = next((s for s in picture.ranked if s.commit.sha == decision.culprit), None)
        commit = picture.bench.source.commit(decision.culprit)
        path = (scored.path if scored else None) or next(iter(commit.paths), None)
        return RootCause(
            statement=f"The change {picture.name(decision.culprit)} brought "
            f"{picture_of.failure_name(picture)}.",
            commit=decision.culprit,
            subject=commit.subject[:200],
            path=path,
            line=scored.line if scored else None,
            evidence=picture_of.evidence_of(picture, ids, decision.culprit, picture.head),
        )
    if decision.verdict is not Verdict.NO_CODE_CAUSE:
        return None
    if (one := picture.variable) is not None:
        return RootCause(
            statement=one.words,
            dependency=f"the environment variable {one.name}",
            evidence=one.evidence,
        )
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
        evidence=picture_of.evidence_of(picture, ids, good, picture.head),
    )


def _summary(picture: Picture, root: RootCause | None) -> str:
    parts = [picture.decision.why]
    if root is not None:
        parts.insert(0, root.statement)
    elif picture.scene and picture.scene.target:
        parts.append(f"What fails: {picture.scene.target}.")
    if picture.decision.verdict is Verdict.LIKELY and picture.facts.trial:
        parts.append(f"What is known: {hypotheses.trial_words(picture.facts.trial)}")
    if picture.found and picture.found.range and not picture.decision.culprit:
        first, last = picture.found.range[0], picture.found.range[-1]
        parts.append(f"It began somewhere in {first[:12]}..{last[:12]}.")
    return " ".join(parts)


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
    why = "; ".join(part for part in (f"tried: {hypotheses.trial_words(trial)}", known.why) if part)
    return (known.model_copy(update={"why": why}), *listed)


def _recommended(picture: Picture) -> str:
    decision = picture.decision
    check = _validation(picture)
    if decision.culprit is not None:
        trial = picture.facts.trial
        how = "Revert it"
        if trial is not None and trial.without is not Without.GONE:
            how = "Undo its change by hand (a plain revert does not work any more)"
        return f"{how}. Check with: {check}. Undo: apply the same diff in reverse (git apply -R)."
    if (one := picture.variable) is not None:
        return f"Give {one.name} its former value{one.former} and deploy. Check with: {check}."
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
