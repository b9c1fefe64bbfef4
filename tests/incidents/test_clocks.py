"""The times of an incident come from its transitions."""

from datetime import timedelta

from incidents import clocks
from incidents.clocks import Times
from incidents.models import Outcome, Severity, Stage, StageClock
from incidents.stages import Ending
from tests.incidents.builders import RESPONDER, START, World

MINUTE = timedelta(minutes=1)


def times(world: World) -> Times:
    return clocks.times(world.incidents.get(1), world.timeline.entries(1))


def test_the_times_run_from_onset_to_each_transition(world: World) -> None:
    world.open(onset=START - 3 * MINUTE)
    assert Times(3 * MINUTE, None, None, None) == times(world)
    world.clock.pass_(minutes=2)
    world.incidents.note(1, RESPONDER, "looking")
    world.clock.pass_(minutes=5)
    world.incidents.mitigated(1, RESPONDER, "restarted")
    world.clock.pass_(minutes=30)
    world.incidents.resolve(1, RESPONDER)

    assert Times(3 * MINUTE, 2 * MINUTE, 10 * MINUTE, 40 * MINUTE) == times(world)


def test_what_is_touched_later_moves_no_time(world: World) -> None:
    world.open()
    world.clock.pass_(minutes=5)
    world.incidents.resolve(1, RESPONDER)
    before = times(world)
    world.clock.pass_(days=3)
    world.incidents.note(1, RESPONDER, "a late word")
    world.incidents.change_severity(1, Severity.P0, RESPONDER)

    assert before == times(world)


def test_a_reopened_incident_is_not_resolved(world: World) -> None:
    world.open()
    world.incidents.resolve(1, RESPONDER)
    world.incidents.reopen(1, RESPONDER, "back")

    assert (None, None) == (times(world).to_mitigate, times(world).to_resolve)


def test_a_stage_is_overdue_past_its_target_while_it_runs() -> None:
    running = StageClock(Stage.DIAGNOSE, 15 * MINUTE, 5 * MINUTE, MINUTE, running=True)
    ended = StageClock(Stage.DIAGNOSE, 15 * MINUTE, 5 * MINUTE, MINUTE)
    untimed = StageClock(Stage.TRIAGE, None, 5 * MINUTE, MINUTE, running=True)

    assert [False, True] == [clocks.is_overdue(running, n * MINUTE) for n in (15, 16)]
    assert [False, True] == [clocks.is_overdue(running, n * MINUTE, 2) for n in (30, 31)]
    assert not clocks.is_overdue(ended, 99 * MINUTE)
    assert not clocks.is_overdue(untimed, 99 * MINUTE)


def deploy(world: World) -> StageClock:
    return next(one for one in world.incidents.clocks(1) if one.stage is Stage.DEPLOY)


def test_the_deploy_clock_ends_at_a_hundred_percent(world: World) -> None:
    """Five minutes of work, four until the yes, six of bakes; the validation counts nowhere."""
    run = world.stage(world.open(stage=None), Stage.DEPLOY)
    world.clock.pass_(minutes=5)
    world.stages.wait(run.id, run.fence)
    world.clock.pass_(minutes=4)
    before = deploy(world)
    world.clock.pass_(minutes=6)
    world.stages.milestone(run.id, run.fence, Ending(Outcome.FULL))
    at_full = deploy(world)
    world.clock.pass_(minutes=30)

    assert (5 * MINUTE, 4 * MINUTE, True) == (before.working, before.waiting, before.running)
    assert (5 * MINUTE, 10 * MINUTE, False) == (at_full.working, at_full.waiting, at_full.running)
    assert at_full == deploy(world)
    world.stages.finish(run.id, run.fence, Ending(Outcome.DONE))
    assert (5 * MINUTE, 10 * MINUTE) == (deploy(world).working, deploy(world).waiting)


def test_a_second_deploy_runs_on_the_clock_again(world: World) -> None:
    run = world.stage(world.open(stage=None), Stage.DEPLOY)
    world.clock.pass_(minutes=5)
    world.stages.milestone(run.id, run.fence, Ending(Outcome.FULL))
    world.clock.pass_(minutes=10)
    world.stages.finish(run.id, run.fence, Ending(Outcome.CANCELLED))
    world.stage(world.incidents.get(1), Stage.DEPLOY)
    world.clock.pass_(minutes=7)

    assert (12 * MINUTE, True) == (deploy(world).working, deploy(world).running)
