"""The rule of the verdict: each row, and that none convicts without the whole proof."""

import itertools
from dataclasses import replace

import pytest

from agents.builtin import verdict
from agents.builtin.verdict import AtGood, Facts, Replayed, Trial, Without
from incidents.models import Verdict

GUILTY = "a" * 40
TRIAL = Trial(
    GUILTY,
    at_suspect_fails=True,
    parents_pass=True,
    without=Without.GONE,
    enough_runs=True,
)
PROVED = Facts(Replayed.ALWAYS, AtGood.PASSES, TRIAL)
ALONE = Trial(GUILTY, without=Without.GONE, alone_fails=True, enough_runs=True)


def test_a_test_that_is_red_for_a_reason_of_its_own_convicts_nobody() -> None:
    found = verdict.decide(replace(PROVED, elsewhere=True))
    assert (found.verdict, found.culprit) == (Verdict.INCONCLUSIVE, None)


def test_a_first_bad_commit_whose_removal_mends_is_confirmed() -> None:
    found = verdict.decide(PROVED)
    assert (found.verdict, found.culprit) == (Verdict.CONFIRMED, GUILTY)


def test_first_bad_is_enough_when_it_cannot_be_taken_out_any_more() -> None:
    facts = replace(PROVED, trial=replace(TRIAL, without=Without.INSEPARABLE))
    assert verdict.decide(facts).verdict is Verdict.CONFIRMED


def test_in_an_untestable_range_the_commit_that_alone_brings_and_takes_it_is_confirmed() -> None:
    assert verdict.decide(replace(PROVED, trial=ALONE)).verdict is Verdict.CONFIRMED


@pytest.mark.parametrize(
    "weaker",
    [
        {"without": Without.STILL_THERE},
        {"parents_pass": False},
        {"at_suspect_fails": False},
        {"unbroken": False},
        {"enough_runs": False},
        {"parents_pass": None},
        {"at_suspect_fails": None},
        {"without": Without.NOT_RUN},
    ],
)
def test_a_proof_with_one_part_missing_confirms_nothing(weaker: dict[str, object]) -> None:
    trial = replace(TRIAL, **weaker)  # type: ignore[arg-type]
    assert verdict.decide(replace(PROVED, trial=trial)).verdict is not Verdict.CONFIRMED


@pytest.mark.parametrize(
    "weaker", [{"alone_fails": False}, {"alone_fails": None}, {"only_one": False}]
)
def test_a_range_is_not_settled_by_half_a_proof(weaker: dict[str, object]) -> None:
    trial = replace(ALONE, **weaker)  # type: ignore[arg-type]
    assert verdict.decide(replace(PROVED, trial=trial)).verdict is not Verdict.CONFIRMED


def test_no_combination_convicts_unless_the_good_revision_passes() -> None:
    others = [state for state in AtGood if state is not AtGood.PASSES]
    for replayed, at_good, complete in itertools.product(Replayed, others, (True, False)):
        facts = replace(PROVED, replayed=replayed, at_good=at_good, record_complete=complete)
        assert verdict.decide(facts).culprit is None


def test_a_failure_of_the_good_revision_too_is_no_code_cause_with_a_complete_record() -> None:
    facts = Facts(Replayed.ALWAYS, AtGood.FAILS_ALIKE, record_complete=True)
    assert verdict.decide(facts).verdict is Verdict.NO_CODE_CAUSE


def test_without_a_complete_record_no_code_cause_is_never_said() -> None:
    for replayed, at_good, dead in itertools.product(Replayed, AtGood, (None, "payment")):
        facts = Facts(replayed, at_good, record_complete=False, dead_dependency=dead)
        assert verdict.decide(facts).verdict is not Verdict.NO_CODE_CAUSE


def test_a_dependency_that_the_sandbox_cannot_reach_is_a_gap_not_evidence() -> None:
    facts = Facts(Replayed.ALWAYS, AtGood.FAILS_ALIKE, network_failure=True, record_complete=True)
    assert verdict.decide(facts).verdict is Verdict.INCONCLUSIVE


def test_a_dead_dependency_by_a_live_probe_is_no_code_cause() -> None:
    facts = Facts(Replayed.NEVER, record_complete=True, dead_dependency="payment")
    assert verdict.decide(facts).verdict is Verdict.NO_CODE_CAUSE


def test_a_dead_dependency_does_not_acquit_a_proved_commit() -> None:
    facts = replace(PROVED, record_complete=True, dead_dependency="payment")
    assert verdict.decide(facts).verdict is Verdict.CONFIRMED


def test_a_variable_that_decides_the_failure_is_no_code_cause() -> None:
    facts = Facts(Replayed.ALWAYS, AtGood.FAILS_ALIKE, variable="FACTOR")
    assert verdict.decide(facts).verdict is Verdict.NO_CODE_CAUSE


def test_a_variable_does_not_acquit_a_proved_commit() -> None:
    assert verdict.decide(replace(PROVED, variable="FACTOR")).verdict is Verdict.CONFIRMED


def test_a_test_that_was_changed_is_no_evidence_about_the_service() -> None:
    facts = Facts(Replayed.ALWAYS, AtGood.FAILS_ALIKE, test_changed=True, record_complete=True)
    assert verdict.decide(facts).verdict is Verdict.INCONCLUSIVE


def test_first_bad_with_too_few_runs_is_likely() -> None:
    found = verdict.decide(replace(PROVED, trial=replace(TRIAL, enough_runs=False)))
    assert (found.verdict, found.culprit) == (Verdict.LIKELY, GUILTY)


def test_a_flickering_failure_is_never_merely_likely() -> None:
    facts = replace(PROVED, replayed=Replayed.SOMETIMES, trial=replace(TRIAL, enough_runs=False))
    assert verdict.decide(facts).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("replayed", [Replayed.NEVER, Replayed.CANNOT_START, Replayed.ALWAYS])
def test_a_clear_suspect_counts_only_where_nothing_could_be_replayed(replayed: Replayed) -> None:
    assert verdict.decide(Facts(replayed, clear_suspect=GUILTY)).culprit is None


def test_without_a_command_a_clear_suspect_is_likely() -> None:
    found = verdict.decide(Facts(Replayed.NO_COMMAND, clear_suspect=GUILTY))
    assert (found.verdict, found.culprit) == (Verdict.LIKELY, GUILTY)


def test_healthy_logs_and_no_failing_test_are_no_incident() -> None:
    found = verdict.decide(Facts(Replayed.NEVER, healthy=True))
    assert (found.verdict, "No incident found" in found.why) == (Verdict.INCONCLUSIVE, True)


def test_every_row_can_decide() -> None:
    reached = {
        next(row.why for row in verdict.RULE if row.when(facts)) for facts in _every_kind_of_facts()
    }
    assert reached == {row.why for row in verdict.RULE}


def _every_kind_of_facts() -> list[Facts]:
    elsewhere = replace(PROVED, elsewhere=True)
    return [Facts(Replayed.ALWAYS, variable="FACTOR"), elsewhere, *_without_variables()]


def _without_variables() -> list[Facts]:
    trials = [None, TRIAL, replace(TRIAL, enough_runs=False)]
    flags = list(itertools.product((True, False), repeat=4))
    return [
        Facts(
            replayed, at_good, trial, network_failure=network, test_changed=changed,
            record_complete=complete, dead_dependency=dead, healthy=healthy, clear_suspect=clear,
        )
        for replayed, at_good, trial in itertools.product(Replayed, AtGood, trials)
        for network, changed, complete, healthy in flags
        for dead in (None, "payment")
        for clear in (None, GUILTY)
    ]  # fmt: skip
