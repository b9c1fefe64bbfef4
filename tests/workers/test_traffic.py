"""A rollout through the controller's ticks: every end, people's words, and deaths in the middle."""

import time
from datetime import timedelta

import pytest

from incidents import errors
from incidents.models import Act, Answer, Outcome, RolloutState, Stage, Status
from incidents.policy import OPERATOR
from rollout import watchdog
from tests.workers.desks import Place
from tests.workers.rollings import Rolling, rolling

S = RolloutState


def stages_of(made: Rolling) -> list[Stage]:
    return [run.stage for run in made.desk.incidents.runs(made.incident.number)]


@pytest.mark.slow
def test_a_good_fix_grows_to_100_percent_and_reaches_the_release_branch(place: Place) -> None:
    place.time_scale = 200.0
    with rolling(place) as made:
        assert Outcome.DONE is made.all_the_way(), made.told()

        assert (made.code.fixed, 0) == (made.host.stable, made.host.weight)
        assert Status.RESOLVED is made.desk.incidents.get(made.incident.number).status
        assert Stage.REVIEW in stages_of(made)
        branch = made.code.repository.git("ls-remote", str(place.root / "origin.git"), "main")
        assert made.code.bad not in branch
        assert not watchdog.watching(made.lease_file())


@pytest.mark.slow
def test_a_fix_that_cannot_be_merged_leaves_an_action_item_that_names_the_risk(
    place: Place,
) -> None:
    place.time_scale = 200.0
    with rolling(place, delivery={"via": "local", "remote": str(place.root / "none.git")}) as made:
        assert Outcome.DONE is made.all_the_way(), made.told()

        (item,) = made.desk.action_items.list(made.incident.number)
        assert "@payments" == item.owner
        assert "the next ordinary deploy brings the incident back" in item.text


def test_a_canary_that_fails_is_taken_back_to_the_last_good_version(place: Place) -> None:
    with rolling(place) as made:
        made.host.errors[made.code.fixed] = 0.9  # worse than what it was to mend
        made.answer()

        assert Outcome.TAKEN_BACK is made.until_ended()

        assert S.TAKEN_BACK is made.state
        assert made.rollout.latched
        assert (made.code.good, 0) == (made.host.stable, made.host.weight)
        assert Stage.DIAGNOSE is stages_of(made)[-1]


def test_refused_by_the_approvers_nothing_moves_and_a_human_decides(place: Place) -> None:
    with rolling(place) as made:
        made.answer(Answer.NO)

        assert Outcome.REFUSED is made.until_ended()

        assert (S.CANCELLED, 0) == (made.state, made.host.obeying["fence"])
        assert made.desk.incidents.get(made.incident.number).needs_human


@pytest.mark.parametrize("swept_first", [True, False])
def test_a_question_that_nobody_answers_ends_the_rollout(place: Place, swept_first: bool) -> None:
    """Whether the controller's sweep or the tick comes first."""
    place.time_scale = 1.0  # an hour of the demo's short buckets would be half a million
    with rolling(place) as made:
        assert S.PLANNED is made.tick()
        made.host.per_second = 1.0  # nothing depends on what the users ask meanwhile
        made.clock.by = timedelta(hours=1)
        if swept_first:
            assert 1 == len(made.desk.approvals.expire_due())

        assert Outcome.EXPIRED is made.until_ended()
        assert made.desk.incidents.get(made.incident.number).needs_human


def test_without_a_yes_nothing_moves(place: Place) -> None:
    with rolling(place) as made:
        for _ in range(5):
            assert S.PLANNED is made.tick()
        assert 0 == made.host.obeying["fence"]


def test_an_approval_that_was_written_past_decide_moves_nothing(place: Place) -> None:
    """A worker reads hostile logs and can write to the database; it has no key."""
    with rolling(place) as made:
        made.answer()
        with made.desk.store.write() as tx:
            tx.connection.exec_driver_sql("UPDATE approval SET mac = 'forged'")
        for _ in range(3):
            assert S.PLANNED is made.tick()
        assert 0 == made.host.obeying["fence"]


def test_a_person_takes_it_back_at_any_time(place: Place) -> None:
    with rolling(place) as made:
        made.bake()
        made.desk.rollouts.request(made.id, Act.TAKE_BACK, OPERATOR)

        assert Outcome.TAKEN_BACK is made.until_ended()
        assert made.code.good == made.host.stable


def test_what_is_held_stays_until_the_question_of_this_hold_has_a_yes(place: Place) -> None:
    with rolling(place) as made:
        made.bake()
        for _ in range(2):
            made.desk.rollouts.request(made.id, Act.HOLD, OPERATOR)
            made.until(S.HELD)
            for _ in range(3):
                assert S.HELD is made.tick()
            assert 10 == made.host.weight
            asked = made.desk.approvals.pending(made.incident.number)[-1]
            assert "resume 10" == asked.scope
            made.desk.incidents.own(made.incident.number, OPERATOR)
            made.answer()
            made.until(S.BAKING)


def test_a_hold_that_was_obeyed_does_not_wipe_out_a_take_back_that_came_meanwhile(
    place: Place,
) -> None:
    with rolling(place) as made:
        made.bake()
        made.desk.rollouts.request(made.id, Act.TAKE_BACK, OPERATOR)

        made.desk.rollouts.clear_request(made.id, 1, Act.HOLD)

        assert Act.TAKE_BACK is made.rollout.request


POINTS = ["rollout.written", "rollout.acted", "rollout.followed"]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("step", ["prepare", "arm", "shift"])
def test_a_controller_killed_in_a_step_on_the_way_up_carries_it_out(
    place: Place, point: str, step: str
) -> None:
    with rolling(place) as made:
        made.answer()
        made.dying(f"{point}/{step}")

        made.until(S.BAKING, S.AWAITING)
        made.until_so(lambda: made.host.weight == 10, "at 10 %")

        assert 1 == made.did().count("shift")
        assert watchdog.watching(made.lease_file())


@pytest.mark.parametrize("point", POINTS)
def test_a_controller_killed_at_the_end_still_reports_it(place: Place, point: str) -> None:
    """The rollout has ended in the database, and its stage run would wait for ever."""
    with rolling(place) as made:
        made.answer(Answer.NO)
        made.dying(f"{point}/cancel")

        rollouts = made.desk.rollouts
        left = [one.id for one in (*rollouts.open_rollouts(), *rollouts.unreported())]
        assert (left == [made.id]) is (made.deploy.finished_at is None)
        for one in left:
            made.traffic.tick(one, 1)

        assert Outcome.REFUSED is made.deploy.outcome


@pytest.mark.parametrize("point", POINTS)
def test_a_controller_killed_in_a_hold_still_calls_people_once(place: Place, point: str) -> None:
    with rolling(place) as made:
        made.bake()
        made.desk.rollouts.request(made.id, Act.HOLD, OPERATOR)
        made.dying(f"{point}/hold")

        made.tick()

        assert S.HELD is made.tick()
        assert ["resume 10"] == [
            one.scope
            for one in made.desk.approvals.of_rollout(made.id)
            if one.scope.startswith("resume")
        ]
        assert made.rollout.request is None


@pytest.mark.slow
def test_with_the_controller_gone_the_watchdog_takes_back_and_the_next_one_agrees(
    place: Place,
) -> None:
    with rolling(place) as made:
        made.bake()
        end = time.monotonic() + 20
        while made.host.stable != made.code.good:  # nobody ticks
            assert time.monotonic() < end, "the watchdog did nothing"
            time.sleep(0.02)
        assert 0 == made.host.weight
        made.new_controller()

        assert Outcome.TAKEN_BACK is made.until_ended()
        assert made.code.good == made.host.stable


def test_an_older_leader_moves_nothing(place: Place) -> None:
    with rolling(place) as made:
        made.bake()
        made.desk.rollouts.request(made.id, Act.HOLD, OPERATOR)
        while made.state is not S.HELD:
            made.traffic.tick(made.id, 7)  # a newer leader has taken over
        made.desk.rollouts.request(made.id, Act.TAKE_BACK, OPERATOR)
        before, did = dict(made.host.obeying), made.did()

        with pytest.raises(errors.StaleFence):
            made.traffic.tick(made.id, 6)

        assert (before, did) == (made.host.obeying, made.did())
