"""Rollouts as stored: one per service, moved by the newest leader only."""

from dataclasses import replace
from datetime import timedelta

import pytest

from incidents import errors
from incidents.approvals import digest
from incidents.models import Act, Bucket, EntryKind, Result, Rollout, RolloutState, Stage, Version
from incidents.timeline import Draft
from tests.incidents.builders import RESPONDER, START, World, planned

SAID = Draft(EntryKind.PHASE, {"percent": 10})


@pytest.fixture
def rollout(world: World) -> Rollout:
    return world.rollout(world.open(stage=None))


def test_a_rollout_is_stored_once_and_its_plan_is_hashed_here(
    world: World, rollout: Rollout
) -> None:
    run = world.stages.get(rollout.stage_run)

    assert digest({"phases": [10, 50, 100]}) == rollout.plan_hash
    assert rollout == world.rollouts.create(planned(world.incidents.get(1), run), run.fence)


def test_a_service_has_one_open_rollout(world: World, rollout: Rollout) -> None:
    other = world.open("k2", stage=None)
    run = world.stage(other, Stage.DEPLOY)
    with pytest.raises(errors.WrongState, match="another open rollout"):
        world.rollouts.create(planned(other, run, "r2"), run.fence)

    world.rollouts.save(replace(rollout, state=RolloutState.DONE), 1, "done", {})
    assert "r2" == world.rollouts.create(planned(other, run, "r2"), run.fence).id
    assert ["r2"] == [one.id for one in world.rollouts.open_rollouts("checkout")]
    assert [] == world.rollouts.open_rollouts("payment")
    assert [] == world.rollouts.open_rollouts(incident=1)


def test_only_the_holder_of_the_run_creates_its_rollout(world: World) -> None:
    incident = world.open(stage=None)
    run = world.stage(incident, Stage.DEPLOY)
    with pytest.raises(errors.StaleFence):
        world.rollouts.create(planned(incident, run), run.fence - 1)

    assert [] == world.rollouts.open_rollouts()


def test_a_tick_its_event_and_its_entry_are_one(world: World, rollout: Rollout) -> None:
    moved = replace(rollout, state=RolloutState.BAKING, phase=10, phase_started_at=START)
    saved = world.rollouts.save(moved, 3, "shift", {"to": 10}, (SAID,))

    assert (RolloutState.BAKING, 10, 3) == (saved.state, saved.phase, saved.fence)
    assert [(1, "shift", {"to": 10})] == [
        (event.sequence, event.kind, event.content) for event in world.rollouts.events("r1")
    ]
    assert "phase" == world.kinds(world.incidents.get(1))[-1]


def test_a_leader_that_was_replaced_changes_nothing(world: World, rollout: Rollout) -> None:
    kept = world.rollouts.save(rollout, 5, "tick", {})
    stale = replace(rollout, phase=100)
    for act in (
        lambda: world.rollouts.save(stale, 4, "shift", {}, (SAID,)),
        lambda: world.rollouts.clear_request("r1", 4),
        lambda: world.rollouts.effect("r1", 4, "shift", lambda: pytest.fail("moved"), lambda: None),
    ):
        with pytest.raises(errors.StaleFence):
            act()

    assert kept == world.rollouts.get("r1")
    assert 1 == len(world.rollouts.events("r1"))
    assert ["opened"] == world.kinds(world.incidents.get(1))


def test_a_fail_latches_whatever_a_stale_copy_says(world: World, rollout: Rollout) -> None:
    world.rollouts.save(replace(rollout, latched=True, result=Result.FAIL), 1, "fail", {})

    assert world.rollouts.save(rollout, 1, "tick", {}).latched


def test_what_people_ask_survives_the_controllers_tick(world: World, rollout: Rollout) -> None:
    world.rollouts.request("r1", Act.HOLD, RESPONDER)
    saved = world.rollouts.save(replace(rollout, phase=10), 1, "tick", {})

    assert (Act.HOLD, RESPONDER) == (saved.request, saved.request_by)
    world.rollouts.clear_request("r1", 1)
    assert world.rollouts.get("r1").request is None


def test_a_take_back_is_never_replaced_by_a_hold(world: World, rollout: Rollout) -> None:
    asked = [
        world.rollouts.request("r1", act, RESPONDER).request
        for act in (Act.HOLD, Act.TAKE_BACK, Act.HOLD)
    ]

    assert [Act.HOLD, Act.TAKE_BACK, Act.TAKE_BACK] == asked


def test_only_an_open_rollout_is_held_and_only_so(world: World, rollout: Rollout) -> None:
    with pytest.raises(errors.WrongState):
        world.rollouts.request("r1", Act.EXPAND, RESPONDER)
    world.rollouts.save(replace(rollout, state=RolloutState.DONE), 1, "done", {})
    with pytest.raises(errors.WrongState, match="has ended"):
        world.rollouts.request("r1", Act.HOLD, RESPONDER)
    with pytest.raises(errors.NotFound):
        world.rollouts.get("r9")


def test_a_shift_is_made_once(world: World, rollout: Rollout) -> None:
    made: list[str] = []

    def shift() -> str:
        made.append("10")
        return "10 %"

    answers = [world.rollouts.effect("r1", 1, "r1-10", shift, lambda: None) for _ in range(2)]

    assert (["10 %", "10 %"], ["10"]) == (answers, made)


def test_counts_come_back_as_they_were_and_missing_is_not_zero(
    world: World, rollout: Rollout
) -> None:
    canary = Bucket(
        Version.CANARY, START, 10.0, 5, 0, (1.5, 2.0), ((10.0, 4), (20.0, 5)), (("KeyError", 1),)
    )
    stable = Bucket(Version.STABLE, START, 10.0, None, None)
    later = replace(canary, start=START + timedelta(seconds=10))
    world.rollouts.add_buckets("r1", [later, stable, canary])

    assert [canary, stable, later] == world.rollouts.buckets("r1")
    world.rollouts.add_buckets("r1", [replace(stable, requests=7, errors=1)])
    assert 7 == world.rollouts.buckets("r1")[1].requests
    assert 3 == len(world.rollouts.buckets("r1"))


def test_the_reason_of_a_step_is_stored_without_personal_data(world: World) -> None:
    rollout = world.rollout(world.open())
    reason = "new errors: no basket for ann@example.com"

    saved = world.rollouts.save(replace(rollout, reason=reason), 1, "hold", {})

    assert "new errors: no basket for <email-1>" == saved.reason
