"""The controller: one leads, it wakes what waits, and nothing in the way stops the rest."""

from datetime import timedelta

import pytest
from redis import Redis
from rq import Queue

from incidents import errors, timers
from incidents.models import EntryKind, Incident, Outcome, Severity, Stage
from incidents.policy import OPERATOR
from incidents.stages import WAKE_AGAIN, Ending
from tests.workers.desks import Ahead, Place, open_incident
from workers import contain, controller, jobs
from workers.controller import Controller
from workers.office import Office
from workers.settings import ControllerSettings
from workers.traffic import Traffic

AWAY = "unix:///none/such.sock"


def of(desk: Office, connection: Redis) -> Controller:
    return Controller(desk, jobs.Wakeups(connection), Traffic(desk))


def lying(connection: Redis, queue: str) -> int:
    return Queue(queue, connection=connection, serializer="json").count


def test_of_two_one_leads_and_the_other_follows_when_it_is_gone(
    place: Place, connection: Redis
) -> None:
    clock = Ahead()
    with place.opened("a:1", clock) as first, place.opened("b:1", clock) as second:
        one, other = of(first, connection), of(second, connection)
        assert [True, False, True] == [one.tick(), other.tick(), one.tick()]

        clock.by += timers.LEADS_FOR + timedelta(seconds=1)

        assert [True, False] == [other.tick(), one.tick()]


def test_a_wiped_redis_is_a_delay(place: Place, connection: Redis) -> None:
    clock = Ahead()
    with place.opened(clock=clock) as desk:
        made = of(desk, connection)
        open_incident(desk, severity=Severity.P0)
        made.tick()
        assert 1 == lying(connection, jobs.URGENT)
        connection.flushall()

        made.tick()
        assert 0 == lying(connection, jobs.URGENT)  # woken a moment ago: not again so soon
        clock.by += WAKE_AGAIN
        made.tick()

        assert 1 == lying(connection, jobs.URGENT)


def test_no_more_is_released_than_is_wanted_and_the_most_severe_first(
    place: Place, connection: Redis
) -> None:
    """A list in Redis would freeze the order; what is not released yet keeps to the severity."""
    with place.opened() as desk:
        for number, severity in enumerate((Severity.P3, Severity.P1, Severity.P2)):
            open_incident(desk, f"k{number}", severity=severity)
        worst = next(one.run.id for one in desk.stages.ready() if one.severity is Severity.P1)
        of(desk, connection).tick()

    queue = Queue(jobs.NORMAL, connection=connection, serializer="json")
    assert [(worst,)] == [tuple(job.args) for job in queue.jobs]


def test_without_a_redis_everything_else_goes_on(place: Place) -> None:
    clock = Ahead()
    with place.opened(clock=clock) as desk:
        made = Controller(desk, jobs.Wakeups(jobs.connect(AWAY)), Traffic(desk))
        incident = open_incident(desk, severity=Severity.P0)
        run = desk.stages.queue_stage(incident.number, Stage.DIAGNOSE)
        desk.stages.claim(run.id, "w", timedelta(hours=5))
        clock.by += timedelta(minutes=31)  # twice the target of a P0 is 30

        assert made.tick()

        stages = [one.stage for one in desk.incidents.runs(incident.number)]
        assert 1 == stages.count(Stage.ESCALATE)


def test_the_validation_makes_no_deploy_late(place: Place, connection: Redis) -> None:
    clock = Ahead()
    with place.opened(clock=clock) as desk:
        incident = open_incident(desk, severity=Severity.P0)
        run = desk.stages.queue_stage(incident.number, Stage.DEPLOY)
        held = desk.stages.claim(run.id, "w", timedelta(hours=5))
        assert held is not None
        desk.stages.milestone(run.id, held.run.fence, Ending(Outcome.FULL))
        clock.by += timedelta(minutes=31)  # twice the target of a P0 is 30

        assert of(desk, connection).tick()

        kinds = [one.kind for one in desk.timeline.entries(incident.number)]
        assert EntryKind.OVERDUE not in kinds
        assert Stage.ESCALATE not in [one.stage for one in desk.incidents.runs(incident.number)]


def ended(desk: Office, incident: Incident, stage: Stage, outcome: Outcome) -> None:
    """Let the waiting run of a stage be worked and end."""
    run = next(one for one in desk.incidents.runs(incident.number) if one.stage is stage)
    claimed = desk.stages.claim(run.id, "w", timedelta(hours=5))
    assert claimed is not None
    desk.stages.finish(run.id, claimed.run.fence, Ending(outcome))


def offers(desk: Office, incident: Incident) -> int:
    """Return how often the way back was looked for."""
    return [one.stage for one in desk.incidents.runs(incident.number)].count(Stage.CONTAIN)


def test_an_emergency_without_a_diagnosis_is_looked_at_again_after_ten_minutes_and_once(
    place: Place,
) -> None:
    clock = Ahead()
    with place.opened(clock=clock) as desk:
        made = Controller(desk, jobs.Wakeups(jobs.connect(AWAY)), Traffic(desk))
        incident = open_incident(desk, severity=Severity.P0, emergency=True)
        ended(desk, incident, Stage.CONTAIN, Outcome.REFUSED)  # no deploy is known to be near

        clock.by = contain.PATIENCE - timedelta(seconds=20)
        made.tick()
        assert 1 == offers(desk, incident)

        clock.by = contain.PATIENCE
        made.tick()
        made.tick()

        assert 2 == offers(desk, incident)


@pytest.mark.parametrize("why", ["offered", "diagnosed", "mitigated", "no emergency"])
def test_ten_minutes_change_nothing_where_nothing_is_to_be_offered(place: Place, why: str) -> None:
    clock = Ahead()
    with place.opened(clock=clock) as desk:
        made = Controller(desk, jobs.Wakeups(jobs.connect(AWAY)), Traffic(desk))
        incident = open_incident(desk, severity=Severity.P0, emergency=why != "no emergency")
        if why in ("diagnosed", "mitigated"):
            ended(desk, incident, Stage.CONTAIN, Outcome.REFUSED)
        if why == "diagnosed":
            ended(desk, incident, Stage.DIAGNOSE, Outcome.NO_CODE_CAUSE)
        if why == "mitigated":
            desk.incidents.mitigated(incident.number, OPERATOR, "feature off")
        before = offers(desk, incident)

        clock.by = contain.PATIENCE
        made.tick()

        assert before == offers(desk, incident)


@pytest.mark.parametrize("key", ["", "00", "z" * 64])
def test_a_controller_with_a_key_that_is_none_does_not_start(
    place: Place, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("HALON_APPROVAL_KEY", key)

    with pytest.raises(errors.BadSettings, match="64 hex digits"):
        controller.run(ControllerSettings(folder=place.folder, file=place.file))
