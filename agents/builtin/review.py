"""The blameless review, from timeline and reports: what happened, why, and what follows.

Called by the engine for the role incident-analyzer, with or without a code cause. Sentences that
the machine concluded are marked as inferred; systems and roles are named, never a person.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from agents.builtin import chronicle
from agents.builtin.workbench import ENGINE, Workbench
from agents.case import Case
from incidents import models, reports
from incidents.models import EntryKind, Severity, Verdict
from incidents.reports import ActionItemDraft, Claim

DUE_DAYS = {Severity.P0: 3, Severity.P1: 7, Severity.P2: 14, Severity.P3: 30}
SLOW_DETECTION = timedelta(minutes=5)


def review(bench: Workbench) -> reports.Review:
    """Return the review of the bench's case."""
    return write(bench.case)


def write(case: Case) -> reports.Review:
    """Return the review of a case; pure, so that it needs no repository."""
    history, found = case.history, case.diagnosis
    return reports.Review(
        engine=ENGINE,
        title=_title(case),
        summary=_summary(case),
        details=tuple(_details(case)),
        timeline=tuple(chronicle.told(history.timeline)),
        whys=found.whys if found else (),
        contributing=tuple(_contributing(case)),
        impact=found.impact if found else reports.Impact(note="No diagnosis was made."),
        went_well=tuple(_went_well(case)),
        could_improve=tuple(_could_improve(case)),
        action_items=tuple(_action_items(case)),
        prevention=tuple(_prevention(case)),
        lessons=tuple(_lessons(case)),
        stage_times=history.stage_times,
        cost=_cost(case),
    )


def _title(case: Case) -> str:
    name = case.incident or "Incident"
    return f"{name}: {case.title}" if case.title else name


def _summary(case: Case) -> str:
    found = case.diagnosis
    parts = []
    if found is None:
        parts.append("The incident ended without a diagnosis.")
    elif found.root_cause is not None:
        parts.append(found.root_cause.statement)
    else:
        parts.append("The cause was not established.")
    if found is not None and found.impact.failed is not None:
        parts.append(f"{found.impact.failed} requests failed.")
    if case.patch is not None:
        verb = "was contained" if case.patch.containment else "was mended"
        parts.append(f"It {verb} by: {case.patch.title}.")
    if times := _times(case.history.incident):
        parts.append(times)
    return " ".join(parts)


def _times(incident: models.Incident | None) -> str:
    if incident is None:
        return ""
    began = incident.onset or incident.opened_at
    parts = []
    if incident.onset is not None:
        parts.append(f"noticed after {_minutes(incident.opened_at - incident.onset)}")
    if incident.mitigated_at is not None:
        parts.append(f"mitigated after {_minutes(incident.mitigated_at - began)}")
    if incident.resolved_at is not None:
        parts.append(f"resolved after {_minutes(incident.resolved_at - began)}")
    return f"It was {', '.join(parts)}." if parts else ""


def _minutes(span: timedelta) -> str:
    seconds = max(0, round(span.total_seconds()))
    return f"{seconds} s" if seconds < 120 else f"{round(seconds / 60)} min"


def _details(case: Case) -> Iterator[tuple[str, str]]:
    incident, found = case.history.incident, case.diagnosis
    yield "Severity", str(incident.severity if incident else case.severity)
    if incident is not None:
        yield "Service", incident.service or "not named"
        yield "Status", str(incident.status)
        yield "Opened", chronicle.moment(incident.opened_at)
        moments: tuple[tuple[str, datetime | None], ...] = (
            ("Onset", incident.onset),
            ("Acknowledged", incident.acknowledged_at),
            ("Mitigated", incident.mitigated_at),
            ("Resolved", incident.resolved_at),
        )
        for name, at in moments:
            yield name, chronicle.moment(at) if at else "not recorded"
    if found is not None:
        yield "Verdict", str(found.verdict)
        yield "Broken revision", found.revision
        if found.culprit:
            yield "Change at fault", found.culprit
    if case.patch is not None:
        yield "Remedy", f"{case.patch.remedy}: {case.patch.title}"
    for cost in case.history.costs:
        cached = cost.cache_read / cost.tokens_in if cost.tokens_in else 0.0
        yield (
            f"Cost of {cost.role}",
            f"${cost.dollars:.4f} on {cost.engine}: {cost.questions} questions, "
            f"{cost.tokens_in} tokens in ({cached:.0%} from the cache), {cost.tokens_out} out",
        )


def _contributing(case: Case) -> Iterator[Claim]:
    found = case.diagnosis
    if found is None:
        return
    if found.root_cause is not None:
        yield Claim(text=found.root_cause.statement, evidence=found.root_cause.evidence)
    if found.culprit is not None and not _had_test(case):
        yield Claim(
            text="No test of the service showed the failure before the change went out.",
            inferred=True,
        )
    elif found.culprit is not None:
        yield Claim(
            text="A test of the service shows the failure, yet the change reached production.",
            inferred=True,
        )
    for gap in found.gaps[:5]:
        yield Claim(text=f"It could not be seen: {gap}", inferred=True)


def _had_test(case: Case) -> bool:
    test = case.patch.regression_test if case.patch else None
    return test is not None and test.existing


def _went_well(case: Case) -> Iterator[Claim]:
    found, patch, history = case.diagnosis, case.patch, case.history
    if found is not None and found.verdict is Verdict.CONFIRMED:
        yield Claim(
            text="The cause was proved by replaying the failure with the change in and out.",
            evidence=found.root_cause.evidence if found.root_cause else (),
        )
    if found is not None and found.verdict is Verdict.NO_CODE_CAUSE:
        yield Claim(
            text="No change was blamed or rolled back for something that was not its doing.",
            inferred=True,
        )
    if patch is not None and patch.regression_test is not None:
        yield Claim(
            text=f"The fix came with a test that failed before it: {patch.regression_test.path}."
        )
    if history.tests is not None and history.tests.approve:
        yield Claim(text="The fix was tested in five categories before it was deployed.")
    if history.rollout is not None and history.rollout.state is models.RolloutState.DONE:
        yield Claim(text="The fix was rolled out in steps that were each judged by live traffic.")
    if history.rollout is not None and history.rollout.state is models.RolloutState.TAKEN_BACK:
        yield Claim(text="The canary was taken back before all traffic saw it.")
    for time in history.stage_times:
        if time.target_seconds is not None and 0 < time.working_seconds <= time.target_seconds:
            yield Claim(text=f"{time.stage} stayed within its target.")


def _could_improve(case: Case) -> Iterator[Claim]:
    incident, found, history = case.history.incident, case.diagnosis, case.history
    if (
        incident is not None
        and incident.onset
        and incident.opened_at - incident.onset > SLOW_DETECTION
    ):
        late = _minutes(incident.opened_at - incident.onset)
        yield Claim(text=f"{late} passed between the onset and the incident's opening.")
    if found is not None and found.culprit is not None and not _had_test(case):
        yield Claim(text="The failing case had no test.", inferred=True)
    if found is None or found.verdict in (Verdict.INCONCLUSIVE, Verdict.LIKELY):
        yield Claim(text="The cause was not proved; see the gaps of the diagnosis.", inferred=True)
    for time in history.stage_times:
        if time.target_seconds is not None and time.working_seconds > time.target_seconds:
            yield Claim(text=f"{time.stage} missed its target of {time.target_seconds:.0f} s.")
    waited = sum(time.waiting_seconds for time in history.stage_times)
    if waited > 600:
        yield Claim(text=f"{waited / 60:.0f} min were spent waiting for answers.")
    for entry in history.timeline:
        if entry.kind is EntryKind.TAKEN_BACK:
            yield Claim(
                text="A fix passed its tests and failed under production traffic.",
                evidence=(f"T{entry.sequence}",),
            )
            break


def _action_items(case: Case) -> Iterator[ActionItemDraft]:
    owner = case.owners[0] if case.owners else "the service's owners"
    due = DUE_DAYS[case.severity]
    found, patch = case.diagnosis, case.patch
    if patch is not None and patch.containment:
        yield ActionItemDraft(
            text=f"Mend the cause that is contained in {', '.join(patch.paths)}; remove the guard.",
            owner=owner, due_days=due,
            check=f"the text {patch.title!r} is gone from the release branch",
        )  # fmt: skip
    if patch is not None and patch.remedy is reports.RemedyKind.REVERT and patch.culprit:
        yield ActionItemDraft(
            text=f"Bring what {patch.culprit[:12]} was for back, without the failure it brought.",
            owner=owner, due_days=due * 2,
            check=str(patch.regression_test.command) if patch.regression_test else None,
        )  # fmt: skip
    if found is not None and found.culprit and (patch is None or patch.regression_test is None):
        yield ActionItemDraft(
            text="Add a test that shows this failure and runs before every deploy.",
            owner=owner, due_days=due, check="the test fails on " + found.culprit[:12],
        )  # fmt: skip
    elif patch is not None and patch.regression_test is not None and patch.regression_test.existing:
        yield ActionItemDraft(
            text=f"Let no deploy pass without {patch.regression_test.path}: it shows the failure.",
            owner=owner, due_days=due, check=patch.regression_test.command,
        )  # fmt: skip
    if found is not None and found.verdict is Verdict.NO_CODE_CAUSE:
        what = (
            found.root_cause.dependency if found.root_cause else None
        ) or "what was outside of the code"
        yield ActionItemDraft(
            text=f"Decide how the service shall behave when {what} fails, and test it.",
            owner=owner, due_days=due, check=None,
        )  # fmt: skip
    if found is None or found.verdict in (Verdict.INCONCLUSIVE, Verdict.LIKELY):
        yield ActionItemDraft(
            text="Close the diagnosis' gaps and establish the cause.",
            owner=owner,
            due_days=due,
            check=None,
        )
    incident = case.history.incident
    if (
        incident is not None
        and incident.onset
        and incident.opened_at - incident.onset > SLOW_DETECTION
    ):
        yield ActionItemDraft(
            text="Add an alert on this failure's log line, so that it is noticed within 5 minutes.",
            owner=owner, due_days=due,
            check=f"an alert matches {found.exception if found else 'the failure'}",
        )  # fmt: skip


def _prevention(case: Case) -> Iterator[Claim]:
    found = case.diagnosis
    if case.patch is not None and case.patch.watch:
        yield Claim(text=f"Technical: watch {case.patch.watch}.")
    if found is not None and found.culprit is not None:
        yield Claim(
            text="Technical: ask recorded requests of each change before it deploys.",
            inferred=True,
        )
        yield Claim(
            text="Cultural: when a field becomes optional, name its readers in the description.",
            inferred=True,
        )
    if found is not None and found.verdict is Verdict.NO_CODE_CAUSE:
        yield Claim(
            text="Technical: probe every dependency and page on the probe, not on its victims.",
            inferred=True,
        )


def _lessons(case: Case) -> Iterator[Claim]:
    found = case.diagnosis
    if found is None:
        return
    ruled_out = [
        item for item in found.hypotheses if item.status is reports.HypothesisStatus.RULED_OUT
    ]
    if found.verdict is Verdict.CONFIRMED and ruled_out:
        yield Claim(
            text=f"{len(ruled_out)} other explanations were ruled out by a test: "
            "nearness in time alone says little.",
            inferred=True,
        )
    if found.verdict is Verdict.NO_CODE_CAUSE:
        yield Claim(
            text="A deploy shortly before an alarm is not evidence against it.", inferred=True
        )


def _cost(case: Case) -> Decimal:
    if case.history.costs:
        return sum((cost.dollars for cost in case.history.costs), Decimal(0))
    parts = (case.diagnosis, case.patch, case.history.tests)
    return sum((part.cost for part in parts if part is not None), Decimal(0))
