"""The review: blameless, with marked inferences and action items that can be checked."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agents import case as cases
from agents.builtin import review
from incidents import models, report_text, reports
from incidents.models import EntryKind, Severity, Verdict

NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
SHA = "3f" * 20
ANN = models.Person(models.Platform.SLACK, "U123ANN")
EVIDENCE = reports.EvidenceItem(
    id="E1", kind="commit", source="git", locator=SHA, excerpt="x", sha256="0" * 64
)
FOUND = reports.Diagnosis(
    engine="builtin",
    verdict=Verdict.CONFIRMED,
    summary="It broke.",
    revision="ab" * 20,
    culprit=SHA,
    evidence=(EVIDENCE,),
    root_cause=reports.RootCause(statement="The change broke it.", commit=SHA, evidence=("E1",)),
    exception="KeyError",
)
PATCH = reports.Patch(
    engine="builtin",
    remedy=reports.RemedyKind.GUARD,
    title="containment: x is None in a.py:3",
    diff="d",
    digest="0" * 64,
    base="ab" * 20,
    tree="cd" * 20,
    paths=("a.py",),
    culprit=SHA,
    containment=True,
)


def entry(number: int, kind: EntryKind) -> models.TimelineEntry:
    at = NOW + timedelta(minutes=number)
    return models.TimelineEntry(
        number, 1, number, kind, at, ANN, {"stage": "diagnose"}, None, "", "", ""
    )


def case_of(**fields: object) -> cases.Case:
    incident = models.Incident(
        1, "checkout fails", Severity.P0, models.Status.RESOLVED, "checkout", NOW, ANN,
        onset=NOW - timedelta(minutes=20), mitigated_at=NOW + timedelta(minutes=9),
        resolved_at=NOW + timedelta(minutes=40), commander=ANN,
    )  # fmt: skip
    entries = (entry(1, EntryKind.OPENED), entry(2, EntryKind.TAKEN_BACK))
    known: dict[str, object] = {
        "repository": Path("unused"),
        "incident": "INC-1",
        "severity": Severity.P0,
        "owners": ("@payments",),
        "diagnosis": FOUND,
        "history": cases.History(incident=incident, timeline=entries),
    }
    return cases.Case(**(known | fields))  # type: ignore[arg-type]


def test_no_person_is_named_anywhere() -> None:
    assert "U123ANN" not in report_text.markdown(review.write(case_of(patch=PATCH)))


def test_every_claim_has_evidence_or_is_marked_as_inferred() -> None:
    found = review.write(case_of())
    claims = (*found.timeline, *found.contributing)
    assert [claim.text for claim in claims if not claim.evidence and not claim.inferred] == []


def test_a_containment_has_an_item_that_removes_it_in_time() -> None:
    items = review.write(case_of(patch=PATCH)).action_items
    guard = next(item for item in items if "remove the guard" in item.text)
    assert (guard.owner, guard.due_days, guard.check is not None) == ("@payments", 3, True)


def test_a_missing_test_and_late_detection_become_items() -> None:
    texts = " ".join(item.text for item in review.write(case_of()).action_items)
    assert ("Add a test" in texts, "Add an alert" in texts) == (True, True)


def test_times_are_counted_from_the_onset() -> None:
    found = review.write(case_of())
    assert "noticed after 20 min, mitigated after 29 min, resolved after 60 min" in found.summary


def test_a_fix_that_was_taken_back_is_remembered() -> None:
    found = review.write(case_of())
    assert any("failed under production traffic" in claim.text for claim in found.could_improve)


def test_an_incident_without_a_code_cause_has_a_review_too() -> None:
    outside = reports.Diagnosis(
        engine="builtin", verdict=Verdict.NO_CODE_CAUSE, summary="", revision="ab" * 20,
        root_cause=reports.RootCause(statement="payment is down", dependency="payment"),
    )  # fmt: skip
    found = review.write(case_of(diagnosis=outside))
    assert any("payment" in item.text for item in found.action_items)


def test_an_incident_without_a_diagnosis_has_a_review_too() -> None:
    case = replace(case_of(), diagnosis=None, history=cases.History())
    assert review.write(case).summary == "The incident ended without a diagnosis."
