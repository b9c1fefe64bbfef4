"""Timers fire once; one leader at a time, with a fence that grows with every change of hands."""

from datetime import timedelta

from tests.incidents.builders import LEASE, START, World


def test_a_timer_is_due_at_its_time_and_fires_once(world: World) -> None:
    timer = world.timers.set_timer(START + timedelta(seconds=5), "bake", "r1")
    assert [] == world.timers.due()
    world.clock.pass_(seconds=5)

    assert [timer] == world.timers.due()
    assert [True, False] == [world.timers.fire(timer.id) for _ in range(2)]
    assert [] == world.timers.due()


def test_setting_a_timer_again_moves_it(world: World) -> None:
    first = world.timers.set_timer(START, "bake", "r1")
    moved = world.timers.set_timer(START + timedelta(minutes=1), "bake", "r1")

    assert (first.id, START + timedelta(minutes=1)) == (moved.id, moved.due_at)
    assert [] == world.timers.due()


def test_a_fired_timer_can_be_set_anew_and_a_dropped_one_is_gone(world: World) -> None:
    first = world.timers.set_timer(START, "bake", "r1")
    world.timers.fire(first.id)
    assert first.id != world.timers.set_timer(START, "bake", "r1").id
    world.timers.drop("bake", "r1")

    assert [] == world.timers.due()


def test_one_leader_at_a_time(world: World) -> None:
    assert 1 == world.leases.lead("controller", "a", LEASE)
    assert world.leases.lead("controller", "b", LEASE) is None
    world.clock.pass_(seconds=10)
    assert 1 == world.leases.lead("controller", "a", LEASE)
    world.clock.pass_(seconds=10)
    assert world.leases.lead("controller", "b", LEASE) is None
    assert 1 == world.leases.lead("other", "b", LEASE)


def test_a_lease_that_ran_out_changes_hands_with_a_new_fence(world: World) -> None:
    world.leases.lead("controller", "a", LEASE)
    world.clock.pass_(seconds=15)

    assert 2 == world.leases.lead("controller", "b", LEASE)
    assert world.leases.lead("controller", "a", LEASE) is None


def test_an_owner_that_overslept_its_own_lease_gets_a_new_fence(world: World) -> None:
    world.leases.lead("controller", "a", LEASE)
    world.clock.pass_(seconds=15)

    assert 2 == world.leases.lead("controller", "a", LEASE)


def test_a_lease_is_given_back_by_its_owner_only(world: World) -> None:
    world.leases.lead("controller", "a", LEASE)
    world.leases.release("controller", "b")
    assert world.leases.lead("controller", "b", LEASE) is None
    world.leases.release("controller", "a")

    assert 2 == world.leases.lead("controller", "b", LEASE)


def test_a_lease_tells_how_long_ago_its_leader_was_there(world: World) -> None:
    assert world.leases.age("controller", LEASE) is None
    world.leases.lead("controller", "a", LEASE)
    world.clock.pass_(seconds=4)
    kept_once = world.leases.age("controller", LEASE)
    world.leases.lead("controller", "a", LEASE)
    world.clock.pass_(minutes=2)

    assert (4, 120) == (kept_once, world.leases.age("controller", LEASE))


def test_a_lease_that_was_given_back_is_a_whole_lease_old(world: World) -> None:
    world.leases.lead("controller", "a", LEASE)
    world.leases.release("controller", "a")

    assert LEASE.total_seconds() == world.leases.age("controller", LEASE)
