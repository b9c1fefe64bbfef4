"""Stage runs: one holder at a time, and a stale fence changes nothing."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from incidents import errors
from incidents.lifecycle import Then
from incidents.models import (
    MACHINE,
    EntryKind,
    Outcome,
    RolloutState,
    RunState,
    Severity,
    Stage,
    Status,
)
from incidents.stages import TRIES, Ending
from incidents.steps import Steps
from incidents.timeline import Draft
from tests.incidents.builders import LEASE, RESPONDER, World

SAID = Draft(EntryKind.NOTE, {"text": "said"})


def test_the_worst_and_then_the_oldest_is_ready_first(world: World) -> None:
    for key, severity in (("a", "P2"), ("b", "P0"), ("c", "P2"), ("d", "P1")):
        world.open(key, severity=Severity(severity))
        world.clock.pass_(seconds=1)

    assert [2, 4, 1, 3] == [ready.run.incident for ready in world.stages.ready()]
    assert [True, False, False, False] == [ready.urgent for ready in world.stages.ready()]


def test_a_run_is_woken_at_most_once_in_ten_seconds(world: World) -> None:
    world.open()
    (ready,) = world.stages.ready()

    assert world.stages.woken(ready.run.id)
    assert not world.stages.woken(ready.run.id)
    assert [] == world.stages.ready()
    world.clock.pass_(seconds=10)
    assert world.stages.woken(ready.run.id)


def test_a_run_is_claimed_by_one_worker(world: World) -> None:
    run = world.stages.queue_stage(world.open().number, Stage.TRIAGE)
    claimed = world.claim(run)

    assert (RunState.LEASED, 1, "w1") == (
        claimed.run.state,
        claimed.run.fence,
        claimed.run.owner,
    )
    assert world.clock.at + LEASE == claimed.run.lease_until
    assert world.stages.claim(run.id, "w2", LEASE) is None


def test_a_rehearsed_claim_takes_nothing_and_leaves_a_real_one_to_be_made(world: World) -> None:
    world.stages.rehearse()  # on an empty database, as a new machine's is
    run = world.stages.queue_stage(world.open().number, Stage.TRIAGE)
    queued = world.stages.get(run.id)

    world.stages.rehearse()

    assert queued == world.stages.get(run.id)
    assert 1 == world.claim(run).run.fence


def test_a_stale_wake_up_claims_nothing(world: World) -> None:
    run = world.stages.queue_stage(world.open().number, Stage.TRIAGE)
    world.claim(run)
    world.clock.pass_(seconds=16)

    assert world.stages.claim(run.id, "w2", LEASE, fence_seen=0) is None
    assert world.stages.claim(run.id, "w2", LEASE, fence_seen=1) is not None


def test_a_lost_lease_is_ready_again_with_a_new_fence(world: World) -> None:
    run = world.stage(world.open(), Stage.TRIAGE)
    world.clock.pass_(seconds=14)
    assert [] == world.stages.expired()
    assert world.stages.claim(run.id, "w2", LEASE) is None

    world.clock.pass_(seconds=1)

    assert [run.id] == [lost.id for lost in world.stages.expired()]
    assert [run.id] == [ready.run.id for ready in world.stages.ready()]
    assert 2 == world.claim(run, "w2").run.fence


def test_a_renewed_lease_is_not_lost(world: World) -> None:
    run = world.stage(world.open(), Stage.TRIAGE)
    world.clock.pass_(seconds=14)
    world.stages.renew(run.id, run.fence, LEASE)
    world.clock.pass_(seconds=14)

    assert [] == world.stages.expired()


WRITES: dict[str, Callable[[World, int, int], object]] = {
    "renew": lambda world, run, fence: world.stages.renew(run, fence, LEASE),
    "wait": lambda world, run, fence: world.stages.wait(run, fence, (SAID,)),
    "retry": lambda world, run, fence: world.stages.retry(run, fence, LEASE, "down"),
    "finish": lambda world, run, fence: world.stages.finish(
        run, fence, Ending(Outcome.DONE, {"a": 1}, (SAID,))
    ),
    "milestone": lambda world, run, fence: world.stages.milestone(
        run, fence, Ending(Outcome.NO_INCIDENT, entries=(SAID,))
    ),
    "step": lambda world, run, fence: Steps(world.store, run, fence).step("s", {}, lambda: 1),
    "effect": lambda world, run, fence: Steps(world.store, run, fence).effect(
        "e", lambda: "made", lambda: None
    ),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_stale_fence_changes_nothing(world: World, write: str) -> None:
    incident = world.open()
    stale = world.stage(incident, Stage.TRIAGE)
    world.clock.pass_(seconds=16)
    world.claim(stale, "w2")
    before = (world.incidents.runs(1), world.timeline.entries(1), world.incidents.get(1))

    with pytest.raises(errors.StaleFence):
        WRITES[write](world, stale.id, stale.fence)

    assert before == (world.incidents.runs(1), world.timeline.entries(1), world.incidents.get(1))


@pytest.mark.parametrize("write", WRITES)
def test_a_run_that_has_ended_takes_no_more_writes(world: World, write: str) -> None:
    run = world.stage(world.open(), Stage.TRIAGE)
    world.stages.finish(run.id, run.fence, Ending(Outcome.NO_INCIDENT))

    with pytest.raises(errors.StaleFence):
        WRITES[write](world, run.id, run.fence)


def test_the_supervisors_word_ends_the_leases_of_a_dead_worker(world: World) -> None:
    world.open("a"), world.open("b")
    ready = [one.run for one in world.stages.ready()]
    dead, alive = world.claim(ready[0], "w-dead"), world.claim(ready[1], "w-alive")
    assert [dead.run.id] == [run.id for run in world.stages.release_leases_of("w-dead")]

    assert [dead.run.id] == [ready.run.id for ready in world.stages.ready()]
    assert world.stages.claim(alive.run.id, "w3", LEASE) is None


def test_finishing_queues_what_the_table_says(world: World) -> None:
    incident = world.open()
    finished = world.end(incident, Stage.TRIAGE, Outcome.DONE)

    assert (RunState.FINISHED, Outcome.DONE) == (finished.run.state, finished.run.outcome)
    assert finished.queued is not None
    assert (Stage.DIAGNOSE, RunState.READY) == (finished.queued.stage, finished.queued.state)
    assert ["opened", "decision"] == world.kinds(incident)


def test_finishing_stores_the_report_and_says_the_entries_first(world: World) -> None:
    incident = world.open()
    run = world.stage(incident, Stage.TRIAGE)
    world.stages.finish(run.id, run.fence, Ending(Outcome.DONE, {"kind": "x"}, (SAID,)))
    last = world.stages.last(incident.number, Stage.TRIAGE)

    assert last is not None
    assert {"kind": "x"} == last.report
    assert ["opened", "note", "decision"] == world.kinds(incident)


def test_a_finish_that_cannot_say_its_entry_finishes_nothing(world: World) -> None:
    """The run, its report, the entries and what follows are one transaction."""
    incident = world.open()
    run = world.stage(incident, Stage.TRIAGE)
    broken = Draft(EntryKind.NOTE, {"text": object()})
    with pytest.raises(TypeError):
        world.stages.finish(run.id, run.fence, Ending(Outcome.DONE, {"a": 1}, (SAID, broken)))

    assert run == world.stages.get(run.id)
    assert ["opened"] == world.kinds(incident)
    assert 1 == len(world.incidents.runs(1))


def test_a_third_rejected_patch_escalates_and_a_second_escalation_needs_a_human(
    world: World,
) -> None:
    incident = world.open(stage=Stage.PATCH)
    for _ in range(2):
        world.end(incident, Stage.PATCH, Outcome.PATCHED)
        assert Stage.PATCH is world.end(incident, Stage.TEST, Outcome.REJECT).following.stage
    world.end(incident, Stage.PATCH, Outcome.PATCHED)
    assert Stage.ESCALATE is world.end(incident, Stage.TEST, Outcome.REJECT).following.stage

    world.end(incident, Stage.ESCALATE, Outcome.PATCHED)
    last = world.end(incident, Stage.TEST, Outcome.REJECT)

    assert Then.NEEDS_HUMAN is last.following.then
    assert world.incidents.get(1).needs_human is not None


def test_a_rollout_taken_back_is_diagnosed_once_more_then_escalates(world: World) -> None:
    incident = world.open(stage=Stage.DEPLOY)

    assert Stage.DIAGNOSE is world.end(incident, Stage.DEPLOY, Outcome.TAKEN_BACK).following.stage
    assert Stage.ESCALATE is world.end(incident, Stage.DEPLOY, Outcome.TAKEN_BACK).following.stage


def test_reaching_full_traffic_mitigates_once_and_the_run_goes_on(world: World) -> None:
    incident = world.open(stage=Stage.DEPLOY)
    run = world.stage(incident, Stage.DEPLOY)
    world.stages.wait(run.id, run.fence)
    first = world.stages.milestone(run.id, run.fence, Ending(Outcome.FULL))
    again = world.stages.milestone(run.id, run.fence, Ending(Outcome.FULL))

    assert first is not None
    assert (Then.MITIGATED, None) == (first.then, again)
    assert Status.MITIGATED is world.incidents.get(1).status
    assert RunState.WAITING is world.stages.get(run.id).state

    done = world.stages.finish(run.id, run.fence, Ending(Outcome.DONE))
    assert Status.RESOLVED is world.incidents.get(1).status
    assert done.queued is not None
    assert Stage.REVIEW is done.queued.stage


def test_an_impossible_outcome_is_a_bug_that_needs_a_human(world: World) -> None:
    incident = world.open()
    finished = world.end(incident, Stage.TRIAGE, Outcome.FULL)

    assert Then.IMPOSSIBLE is finished.following.then
    assert ["opened", "decision", "needs_human"] == world.kinds(incident)


def test_a_stage_that_is_live_is_not_queued_twice(world: World) -> None:
    incident = world.open()
    again = world.stages.queue_stage(incident.number, Stage.TRIAGE)

    assert [again.id] == [run.id for run in world.incidents.runs(incident.number)]


def test_nothing_follows_in_an_incident_that_people_have_ended(world: World) -> None:
    incident = world.open()
    run = world.stage(incident, Stage.TRIAGE)
    world.incidents.cancel(incident.number, RESPONDER, "a false alarm")

    assert world.stages.finish(run.id, run.fence, Ending(Outcome.DONE)).queued is None


def test_cancelling_stops_a_running_stage_at_its_next_step(world: World) -> None:
    incident = world.open()
    run = world.stage(incident, Stage.TRIAGE)
    steps = Steps(world.store, run.id, run.fence)
    steps.step("one", {}, lambda: 1)
    world.incidents.cancel(incident.number, RESPONDER, "a false alarm")

    assert world.stages.renew(run.id, run.fence, LEASE).cancel
    with pytest.raises(errors.Cancelled):
        steps.step("two", {}, lambda: pytest.fail("it ran after the cancel"))


def test_cancelling_takes_open_rollouts_back_first(world: World) -> None:
    incident = world.open(stage=Stage.DEPLOY)
    rollout = world.rollout(incident)
    run = world.stages.get(rollout.stage_run)
    world.stages.wait(run.id, run.fence)
    world.incidents.cancel(incident.number, RESPONDER, "a false alarm")

    assert "take back" == world.rollouts.get(rollout.id).request
    held = world.stages.get(run.id)
    assert (RunState.WAITING, True) == (held.state, held.cancel)


def test_cancelling_ends_what_nobody_works_on(world: World) -> None:
    incident = world.open()
    world.incidents.cancel(incident.number, RESPONDER, "a false alarm")

    assert [(RunState.CANCELLED, Outcome.CANCELLED)] == [
        (run.state, run.outcome) for run in world.incidents.runs(1)
    ]
    assert [] == world.stages.ready()


def test_a_cancelled_run_whose_worker_died_ends_instead_of_running_again(world: World) -> None:
    incident = world.open()
    run = world.stage(incident, Stage.TRIAGE)
    world.incidents.cancel(incident.number, RESPONDER, "a false alarm")
    world.clock.pass_(seconds=16)

    assert world.stages.claim(run.id, "w2", LEASE) is None
    assert RunState.CANCELLED is world.stages.get(run.id).state


def test_a_temporary_failure_is_tried_again_later_and_not_for_ever(world: World) -> None:
    run = world.stage(world.open(), Stage.TRIAGE)
    for _ in range(TRIES - 1):
        again = world.stages.retry(run.id, run.fence, timedelta(seconds=5), "down")
        assert again is not None
        assert [] == world.stages.ready()
        world.clock.pass_(seconds=5)
        run = world.claim(run).run

    assert world.stages.retry(run.id, run.fence, timedelta(seconds=5), "down") is None
    assert RunState.LEASED is world.stages.get(run.id).state


def test_a_run_that_kills_its_workers_fails_and_says_so(world: World) -> None:
    incident = world.open()
    run = world.stage(incident, Stage.TRIAGE)
    for _ in range(TRIES - 1):
        world.clock.pass_(seconds=16)
        world.claim(run)
    world.clock.pass_(seconds=16)

    assert world.stages.claim(run.id, "w9", LEASE) is None
    assert RunState.FAILED is world.stages.get(run.id).state
    assert "trouble" in world.kinds(incident)


def test_waiting_time_is_counted_apart_from_working_time(world: World) -> None:
    incident = world.open()
    world.clock.pass_(seconds=5)  # in the queue
    run = world.stage(incident, Stage.TRIAGE)
    world.clock.pass_(seconds=10)
    world.stages.wait(run.id, run.fence)
    world.clock.pass_(seconds=100)
    assert world.stages.resume(run.id)
    run = world.claim(run).run
    world.clock.pass_(seconds=7)
    world.stages.finish(run.id, run.fence, Ending(Outcome.NO_INCIDENT))
    (clock,) = world.incidents.clocks(incident.number)

    assert (17, 105) == (clock.working.total_seconds(), clock.waiting.total_seconds())
    assert not clock.running


def test_only_a_waiting_run_is_resumed(world: World) -> None:
    run = world.stage(world.open(), Stage.TRIAGE)

    assert not world.stages.resume(run.id)


def test_a_run_asked_for_by_a_person_answers_the_call_for_one(world: World) -> None:
    incident = world.open(stage=None)
    world.incidents.needs_human(incident.number, "Decide.", MACHINE)
    world.stages.queue_stage(incident.number, Stage.ESCALATE, RESPONDER)

    assert world.incidents.get(1).needs_human is None


def test_an_open_rollout_state_is_known(world: World) -> None:
    assert RolloutState.PLANNED is world.rollout(world.open(stage=None)).state


def test_what_went_wrong_is_stored_without_secrets(world: World) -> None:
    incident = world.open()
    run = world.stage(incident, Stage.TRIAGE)
    said = "git fetch https://bot:hunter2hunter2@example.com failed"
    retried = world.stages.retry(run.id, run.fence, timedelta(0), said)
    assert retried is not None
    again = world.claim(run.id).run
    ended = world.stages.finish(again.id, again.fence, Ending(Outcome.FAILED, error=said)).run

    safe = "git fetch https://bot:<password-1>@example.com failed"
    assert (safe, safe) == (retried.error, ended.error)
