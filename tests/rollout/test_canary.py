"""The tick: every row of its table, and every road through a rollout."""

from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from incidents.models import Bucket, Result, Rollout, RolloutState, SafeVersion
from rollout import canary, gate, plan
from rollout.canary import Do, Order, Scene, Seen, Timing
from rollout.deployers.port import Observed
from tests.rollout import plans
from tests.rollout.buckets import START, both

S = RolloutState
TIMING = Timing.scaled(1.0)
GATES = gate.Gates(hotfix=True, new_errors=False)
PLAN = plans.made()


def rollout(state: RolloutState, phase: int = 0, **other: Any) -> Rollout:
    base = Rollout(
        id="r1",
        incident=1,
        stage_run=1,
        service="checkout",
        state=state,
        revision=plans.NEW,
        stable_revision=plans.OLD,
        last_good_revision=plans.GOOD,
        patch_digest="d" * 64,
        plan=PLAN.model_dump(mode="json"),
        plan_hash=plan.plan_hash(PLAN),
        phase=phase,
        phase_started_at=START if phase else None,
        deadline=None,
        safe_version=SafeVersion.LAST_GOOD,
        latched=False,
        fence=1,
        created_at=START,
    )
    return replace(base, **other)


def observed(weight: int = 0, **other: Any) -> Observed:
    base = Observed(weight, plans.OLD, plans.NEW, True, True, START)
    return replace(base, **other)


def scene(seconds: float, buckets: list[Bucket] | None = None, **other: Any) -> Scene:
    now = START + timedelta(seconds=seconds)
    base: dict[str, Any] = {
        "now": now,
        "buckets": tuple(buckets or ()),
        "observed": observed(),
        "last_tick": now - timedelta(seconds=1),
    }
    return Scene(**{**base, **other})


def good(seconds: float, weight: int = 10, broken: bool = True) -> list[Bucket]:
    count = int(seconds // 5)
    stable = 100 - weight
    return both([(weight, 0)] * count, [(stable, stable // 2 if broken else 0)] * count)


def thin(seconds: float) -> list[Bucket]:
    count = int(seconds // 5)
    now_and_then = [index % 6 == 0 for index in range(count)]
    return both(
        [(1 if one else 0, 0) for one in now_and_then],
        [(9 if one else 0, 0) for one in now_and_then],
    )


def bad(seconds: float, broken: bool = False) -> list[Bucket]:
    count = int(seconds // 5)
    return both([(10, 6)] * count, [(90, 85 if broken else 0)] * count)


def act(state: RolloutState, phase: int, what: Scene, **other: Any) -> canary.Step:
    return canary.tick(rollout(state, phase, **other), what, TIMING, GATES)


def baking(seconds: float, buckets: list[Bucket], phase: int = 10, **other: Any) -> canary.Step:
    names = set(Scene.__dataclass_fields__)
    inside = {key: value for key, value in other.items() if key in names}
    rest = {key: value for key, value in other.items() if key not in names}
    what = scene(seconds, buckets, **{"observed": observed(phase), **inside})
    return act(S.BAKING, phase, what, **rest)


def test_every_state_knows_what_to_do_about_everything() -> None:
    assert set(product(S, Seen)) == {
        (state, seen) for state, row in canary.ACTS.items() for seen in row
    }


@pytest.mark.parametrize(("state", "seen"), [*product(sorted(canary.MOVED), Seen)])
def test_a_canary_with_traffic_is_never_left_alone_with_a_danger(
    state: RolloutState, seen: Seen
) -> None:
    dangers = {Seen.ORDERED_BACK, Seen.FAIL, Seen.BLIND, Seen.REFUSED}
    if seen in dangers:
        assert Do.TAKE_BACK is canary.ACTS[state][seen]


@pytest.mark.parametrize("state", sorted(canary.TERMINAL))
@pytest.mark.parametrize("seen", Seen)
def test_what_is_over_stays_over(state: RolloutState, seen: Seen) -> None:
    assert Do.WAIT is canary.ACTS[state][seen]


def test_nothing_is_prepared_before_the_start_is_approved() -> None:
    assert Do.WAIT is act(S.PLANNED, 0, scene(1)).do
    assert Do.PREPARE is act(S.PLANNED, 0, scene(1, granted=frozenset({"10"}))).do
    assert Do.PREPARE is act(S.PLANNED, 0, scene(1, granted=frozenset({"through 100"}))).do
    assert Do.WAIT is act(S.PLANNED, 0, scene(1, granted=frozenset({"50"}))).do
    assert Do.CANCEL is act(S.PLANNED, 0, scene(1, asked_until=START)).do
    assert Do.CANCEL is act(S.PLANNED, 0, scene(1, refused=True)).do


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (observed(), Do.ARM),
        (observed(canary_revision=None), Do.PREPARE),
        (observed(canary_healthy=False), Do.PREPARE),
        (observed(standby_healthy=False), Do.PREPARE),
        (None, Do.PREPARE),
        (observed(stable_revision="9" * 40), Do.HOLD),
    ],
)
def test_the_way_back_is_rehearsed_when_the_canary_is_ready(
    seen: Observed | None, expected: Do
) -> None:
    assert expected is act(S.PREPARING, 0, scene(1, observed=seen)).do


def test_a_canary_that_does_not_get_ready_in_time_is_taken_back() -> None:
    late = scene(10, observed=observed(canary_revision=None))
    assert Do.TAKE_BACK is act(S.PREPARING, 0, late, deadline=START).do


def test_the_first_shift_needs_its_approval() -> None:
    assert Do.WAIT is act(S.ARMED, 0, scene(1)).do
    step = act(S.ARMED, 0, scene(1, granted=frozenset({"10"})))
    assert (Do.SHIFT, S.BAKING, 10) == (step.do, step.state, step.phase)
    assert Do.TAKE_BACK is act(S.ARMED, 0, scene(1, asked_until=START)).do


def test_a_pass_counts_at_the_minimum_and_not_before() -> None:
    assert Do.WAIT is baking(119, good(119)).do
    step = baking(120.5, good(120))
    assert (Do.ASK, S.AWAITING, 50, (10,)) == (
        step.do, step.state, step.next_percent, step.passed_phases,
    )  # fmt: skip


def test_between_two_looks_a_pass_waits_for_the_next_one() -> None:
    assert Do.WAIT is baking(140, good(140)).do
    assert Do.ASK is baking(150.5, good(150)).do


def test_an_open_approval_lets_a_pass_go_on_at_once() -> None:
    step = baking(120.5, good(120), granted=frozenset({"through 100"}))
    assert (Do.SHIFT, 50) == (step.do, step.phase)


def test_a_fail_takes_back_and_latches() -> None:
    step = baking(40, bad(40))
    assert (Do.TAKE_BACK, S.TAKING_BACK, plans.GOOD, True, True) == (
        step.do, step.state, step.to, step.latched, step.call_people,
    )  # fmt: skip
    latched = baking(200, good(200, broken=False), latched=True)
    assert Do.TAKE_BACK is latched.do


def test_a_bad_canary_that_is_better_than_stable_is_held() -> None:
    step = baking(100, bad(100, broken=True))
    assert (Do.HOLD, S.HELD, 10, True) == (step.do, step.state, step.phase, step.call_people)


BLINDNESS: dict[str, dict[str, Any]] = {
    "the controller was away": {"last_tick": START},
    "production is out of sight": {"observed": None, "unseen_since": START},
    "another weight": {"observed": observed(100)},
    "the watchdog acted": {"watchdog_acted": True},
}


@pytest.mark.parametrize("how", BLINDNESS)
@pytest.mark.parametrize(
    ("passed", "broken", "expected"),
    [
        ((), True, Do.TAKE_BACK),
        ((10,), True, Do.HOLD),
        ((10,), False, Do.TAKE_BACK),  # stable is well, so going back costs nobody anything
    ],
)
def test_blind_before_the_first_pass_goes_back_and_holds_after_one_that_was_better(
    how: str, passed: tuple[int, ...], broken: bool, expected: Do
) -> None:
    buckets = good(200, 50, broken)
    assert expected is baking(200, buckets, 50, passed_phases=passed, **BLINDNESS[how]).do


@pytest.mark.parametrize(("passed", "expected"), [((), Do.TAKE_BACK), ((10,), Do.HOLD)])
def test_lost_data_are_blindness(passed: tuple[int, ...], expected: Do) -> None:
    assert Do.WAIT is baking(160, good(60, 50), 50, passed_phases=passed).do
    assert expected is baking(200, good(60, 50), 50, passed_phases=passed).do


def test_a_controller_back_within_its_lease_goes_on() -> None:
    away = START + timedelta(seconds=20)
    assert Do.WAIT is baking(100, good(100), last_tick=away).do


def test_a_shift_that_was_written_but_not_commanded_is_commanded() -> None:
    step = baking(5, [], observed=observed(0))
    assert (Do.REPEAT, 10) == (step.do, step.phase)
    assert Do.TAKE_BACK is baking(100, good(100), observed=observed(0)).do
    unhealthy = observed(0, canary_healthy=False)
    assert Do.TAKE_BACK is baking(5, [], observed=unhealthy).do


def test_the_bake_is_extended_once_and_then_low_traffic_asks() -> None:
    first = baking(601, thin(600))
    assert (Do.EXTEND, S.BAKING, True) == (first.do, first.state, first.extended)
    assert Do.WAIT is baking(900, thin(900), extended=True).do
    second = baking(1201, thin(1200), extended=True)
    assert (Do.ASK, S.AWAITING, ()) == (second.do, second.state, second.passed_phases)
    assert "missing" in second.reason


def test_uncertain_data_after_the_extension_take_back() -> None:
    uncertain = both([(10, 0), (10, 1)] * 120, [(90, 0)] * 240)
    assert Do.TAKE_BACK is baking(1201, uncertain, extended=True).do


def awaiting(what: Scene, phase: int = 10, **other: Any) -> canary.Step:
    return act(S.AWAITING, phase, what, **other)


def test_a_question_asked_too_early_is_asked_again_once_every_gate_passes() -> None:
    here = observed(10)
    again = awaiting(scene(200, good(200), observed=here, asked_unsure=True))
    assert (Do.ASK, S.AWAITING, 50, (10,)) == (
        again.do,
        again.state,
        again.next_percent,
        again.passed_phases,
    )
    assert Do.WAIT is awaiting(scene(30, thin(30), observed=here, asked_unsure=True)).do


def test_while_people_are_asked_the_gate_goes_on() -> None:
    here = observed(10)
    assert Do.WAIT is awaiting(scene(200, good(200), observed=here)).do
    assert Do.TAKE_BACK is awaiting(scene(200, bad(200), observed=here)).do
    yes = scene(200, good(200), observed=here, granted=frozenset({"50"}))
    assert (Do.SHIFT, 50) == (awaiting(yes).do, awaiting(yes).phase)


def test_low_traffic_goes_back_only_when_the_time_to_answer_is_over() -> None:
    here = observed(10)
    waiting = scene(200, thin(200), observed=here, asked_until=START + timedelta(seconds=201))
    assert Do.WAIT is awaiting(waiting).do
    assert Do.TAKE_BACK is awaiting(replace(waiting, asked_until=START)).do
    proven = scene(200, good(200), observed=here, asked_until=START)
    assert Do.HOLD is awaiting(proven, passed_phases=(10,)).do


def test_through_100_needs_a_pass_but_an_exact_yes_overrides_uncertainty() -> None:
    here = observed(10)
    open_ended = scene(200, thin(200), observed=here, granted=frozenset({"through 100"}))
    assert Do.WAIT is awaiting(open_ended).do
    assert Do.SHIFT is awaiting(replace(open_ended, granted=frozenset({"50"}))).do


def test_no_approval_beats_a_fail() -> None:
    everything = frozenset({"50", "through 100"})
    failed = scene(200, bad(200), observed=observed(10), granted=everything)
    assert Do.TAKE_BACK is awaiting(failed).do


def test_a_no_takes_back() -> None:
    assert Do.TAKE_BACK is awaiting(scene(200, good(200), observed=observed(10), refused=True)).do


def test_100_percent_with_a_pass_is_mitigated_and_the_validation_is_never_cut() -> None:
    step = baking(120.5, good(120, 100), 100, passed_phases=(10, 50))
    assert (Do.MITIGATED, S.VALIDATING, (10, 50, 100)) == (step.do, step.state, step.passed_phases)
    for seconds, expected in ((600, Do.WAIT), (1799, Do.WAIT), (1801, Do.PROMOTE)):
        what = scene(seconds, good(seconds, 100), observed=observed(100))
        assert expected is act(S.VALIDATING, 100, what, passed_phases=(10, 50, 100)).do


def test_promotion_is_read_back() -> None:
    step = act(S.PROMOTING, 100, scene(1900, observed=observed(100)))
    assert Do.PROMOTE is step.do
    there = observed(0, stable_revision=plans.NEW, canary_revision=None)
    assert (Do.FINISH, S.DONE) == (
        act(S.PROMOTING, 100, scene(1900, observed=there)).do,
        act(S.PROMOTING, 100, scene(1900, observed=there)).state,
    )


def test_someone_elses_revision_holds_and_is_never_overwritten() -> None:
    foreign = observed(10, stable_revision="9" * 40)
    assert Do.HOLD is baking(50, good(50), observed=foreign).do
    held = scene(50, bad(50), observed=foreign)
    assert Do.WAIT is act(S.HELD, 10, held).do


def test_held_goes_on_or_back_by_a_persons_word_and_still_fails() -> None:
    here = observed(50)
    fine = scene(100, good(100, 50), observed=here)
    assert Do.WAIT is act(S.HELD, 50, fine).do
    resumed = act(S.HELD, 50, replace(fine, order=Order.RESUME))
    assert (Do.RESUME, S.BAKING, fine.now) == (resumed.do, resumed.state, resumed.phase_started_at)
    assert Do.TAKE_BACK is act(S.HELD, 50, replace(fine, order=Order.TAKE_BACK)).do
    assert Do.TAKE_BACK is act(S.HELD, 10, scene(50, bad(50), observed=observed(10))).do
    assert (
        S.VALIDATING
        is act(
            S.HELD, 100, scene(9, good(9, 100), observed=observed(100), order=Order.RESUME)
        ).state
    )
    assert S.PREPARING is act(S.HELD, 0, scene(9, order=Order.RESUME)).state


def test_what_the_watchdog_held_goes_on_by_a_persons_word() -> None:
    held = scene(
        300, good(300, 50), observed=observed(50), watchdog_acted=True,
        last_tick=START + timedelta(seconds=100),
    )  # fmt: skip
    assert Do.WAIT is act(S.HELD, 50, held, passed_phases=(10,)).do
    let_go = replace(held, order=Order.RESUME)
    assert Do.RESUME is act(S.HELD, 50, let_go, passed_phases=(10,)).do
    assert Do.TAKE_BACK is act(S.HELD, 50, let_go).do  # never proved better


def test_taking_back_is_over_when_it_was_read_back_and_gives_up_loudly() -> None:
    gone = observed(0, stable_revision=plans.GOOD, canary_revision=None)
    limit = START + timedelta(seconds=60)
    step = act(S.TAKING_BACK, 10, scene(9, observed=gone), deadline=limit)
    assert (Do.TAKEN_BACK, S.TAKEN_BACK, 0) == (step.do, step.state, step.phase)
    still = act(S.TAKING_BACK, 10, scene(9, observed=observed(10)), deadline=limit)
    assert (Do.TAKE_BACK, plans.GOOD) == (still.do, still.to)
    late = act(S.TAKING_BACK, 10, scene(61, observed=observed(10)), deadline=limit)
    assert (Do.GIVE_UP, S.FAILED, True) == (late.do, late.state, late.call_people)


def test_a_message_says_when_back_means_back_to_the_broken_version() -> None:
    broken = plans.made(last_good_revision=None)
    step = canary.tick(
        rollout(
            S.BAKING, 10, plan=broken.model_dump(mode="json"),
            last_good_revision=None, safe_version=SafeVersion.STABLE,
        ),
        scene(40, bad(40), observed=observed(10)), TIMING, GATES,
    )  # fmt: skip
    assert (plans.OLD, True) == (step.to, step.returns_to_broken)
    assert not baking(40, bad(40)).returns_to_broken


def test_applying_a_step_changes_the_rollout_as_it_says() -> None:
    step = baking(40, bad(40))
    after = step.apply(rollout(S.BAKING, 10))
    assert (S.TAKING_BACK, True, Result.FAIL) == (after.state, after.latched, after.result)


@pytest.mark.parametrize(
    ("scope", "percent", "expected"),
    [
        ("10", 10, True),
        ("10", 50, False),
        ("through 50", 50, True),
        ("through 50", 100, False),
        ("through 100", 10, True),
        ("", 10, False),
        ("through", 10, False),
        ("through x", 10, False),
    ],
)
def test_scopes(scope: str, percent: int, expected: bool) -> None:
    assert expected == canary.covers(scope, percent)


def test_traffic_that_stops_in_the_middle_of_a_bake_is_no_health() -> None:
    """Measured and nobody asked: longer first, then people; never a PASS from what was before."""
    stopped = [*both([(1, 0)] * 60, [(9, 4)] * 60)]
    quiet = both([(0, 0)] * 180, [(0, 0)] * 180, start=START + timedelta(seconds=300))
    assert Do.EXTEND is baking(601, [*stopped, *quiet[:60], *quiet[180:240]]).do
    assert Do.ASK is baking(1201, [*stopped, *quiet], extended=True).do


def test_replayed_requests_bring_the_verdict_that_thin_traffic_does_not() -> None:
    users = thin(600)
    own = both([(10, 0)] * 120, [(10, 0)] * 120)
    assert Do.EXTEND is baking(601, users).do
    passed = baking(601, users, replayed=tuple(own))
    assert (Do.ASK, Seen.PASS) == (passed.do, passed.seen)
    assert "on replayed requests, since users' own are too few" in passed.reason
    sick = both([(10, 6)] * 10, [(10, 0)] * 10)
    assert Do.TAKE_BACK is baking(50, thin(50), replayed=tuple(sick)).do


def test_a_replay_never_hides_what_users_met() -> None:
    own = tuple(both([(10, 0)] * 10, [(10, 0)] * 10))
    assert Do.TAKE_BACK is baking(50, bad(50), replayed=own).do
    # Production out of sight is no matter of more requests.
    assert Do.TAKE_BACK is baking(200, thin(5), replayed=own).do


@pytest.mark.parametrize("state", [S.PREPARING, S.ARMED])
def test_what_the_watchdog_took_back_before_the_first_shift_is_not_prepared_again(
    state: RolloutState,
) -> None:
    there = scene(60, observed=observed(0, stable_revision=plans.GOOD), watchdog_acted=True)
    assert (Do.TAKE_BACK, plans.GOOD) == (act(state, 0, there).do, act(state, 0, there).to)
    assert Do.TAKE_BACK is not act(state, 0, replace(there, watchdog_acted=False)).do
