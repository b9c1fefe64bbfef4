"""An incident changes only here, and each change is told in the same transaction."""

import ast
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from incidents import errors, lifecycle
from incidents.models import (
    MACHINE,
    Change,
    ChangeKind,
    Incident,
    Outcome,
    RunState,
    ServiceRole,
    Severity,
    Stage,
    Status,
)
from tests.incidents.builders import APPROVER, REPORTER, RESPONDER, START, World

ROOT = Path(__file__).parents[2]
INNER = {"schema", "rows", "moves", "following", "columns"}


def test_opening_queues_triage_and_follows_in_the_war_room(world: World) -> None:
    incident = world.open(conversations=("slack:C1",))

    assert ("INC-1", Severity.P2, False) == (
        incident.id,
        incident.severity,
        incident.severity_typed,
    )
    assert [(Stage.TRIAGE, "checkout")] == [(r.stage, r.service) for r in world.incidents.runs(1)]
    assert ["slack:C1", "web:INC-1"] == world.deliveries.conversations(1)
    assert {"checkout": ServiceRole.SUSPECTED} == world.incidents.services(1)


def test_an_emergency_is_stabilised_and_diagnosed_at_once(world: World) -> None:
    world.open(emergency=True)

    assert [Stage.CONTAIN, Stage.DIAGNOSE] == [run.stage for run in world.incidents.runs(1)]


def test_the_same_key_is_the_same_incident(world: World) -> None:
    assert world.open("k") == world.open("k", title="other")
    assert 1 == len(world.timeline.entries(1))


@pytest.mark.parametrize("text", ["INC-1", "inc 1", "1", " #1 "])
def test_an_incident_is_found_as_people_type_it(world: World, text: str) -> None:
    assert world.open() == world.incidents.find(text)


@pytest.mark.parametrize("text", ["INC-2", "", "one", "INC-1x", "9999999999"])
def test_what_names_no_incident_says_so(world: World, text: str) -> None:
    world.open()
    with pytest.raises(errors.NotFound):
        world.incidents.find(text)


CHANGES: dict[str, tuple[Callable[[World], object], str]] = {
    "note": (lambda w: w.incidents.note(1, RESPONDER, "x"), "note"),
    "acknowledge": (lambda w: w.incidents.acknowledge(1, RESPONDER), "status"),
    "own": (lambda w: w.incidents.own(1, RESPONDER), "owner"),
    "severity": (lambda w: w.incidents.change_severity(1, Severity.P0, RESPONDER), "severity"),
    "service": (lambda w: w.incidents.set_service(1, "payment", RESPONDER), "service"),
    "onset": (lambda w: w.incidents.set_onset(1, START - timedelta(hours=1)), "suggested"),
    "private": (lambda w: w.incidents.make_private(1, True, RESPONDER), "status"),
    "needs human": (lambda w: w.incidents.needs_human(1, "Decide."), "needs_human"),
    "mitigated": (lambda w: w.incidents.mitigated(1, RESPONDER, "restarted"), "status"),
    "resolve": (lambda w: w.incidents.resolve(1, RESPONDER), "status"),
    "cancel": (lambda w: w.incidents.cancel(1, RESPONDER, "false alarm"), "status"),
    "merge": (lambda w: w.incidents.merge(1, 2, RESPONDER), "status"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_and_its_entry_are_one_transaction(world: World, change: str) -> None:
    """When the entry cannot be written, because its place is taken, nothing has changed."""
    incident, _ = world.open(), world.open("k2")
    act, kind = CHANGES[change]
    with world.store.write() as tx:
        _block_the_timeline(tx)
    before = _all_of(world, incident)
    with pytest.raises(Exception, match="blocked"):
        act(world)
    assert before == _all_of(world, incident)

    with world.store.write() as tx:
        _free_the_timeline(tx)
    act(world)

    assert kind == world.kinds(incident)[-1]
    assert before != _all_of(world, incident)


def _block_the_timeline(tx: object) -> None:
    _run(
        tx,
        "CREATE TRIGGER blocked BEFORE INSERT ON timeline_entry"
        " BEGIN SELECT RAISE(ABORT, 'blocked'); END",
        "CREATE FUNCTION blocked() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'blocked'; END $$;"
        " CREATE TRIGGER blocked BEFORE INSERT ON timeline_entry"
        " FOR EACH ROW EXECUTE FUNCTION blocked()",
    )


def _free_the_timeline(tx: object) -> None:
    _run(tx, "DROP TRIGGER blocked", "DROP FUNCTION blocked CASCADE")


def _run(tx: object, sqlite: str, postgresql: str) -> None:
    connection = tx.connection  # type: ignore[attr-defined]
    connection.exec_driver_sql(sqlite if connection.dialect.name == "sqlite" else postgresql)


def _all_of(world: World, incident: Incident) -> object:
    number = incident.number
    return (
        world.incidents.get(number),
        world.incidents.runs(number),
        world.incidents.services(number),
        world.timeline.entries(number),
    )


def test_only_this_package_reaches_the_tables() -> None:
    """Every other package has the service and its neighbours, never a row or a transaction."""
    found = []
    for package in ("agents", "rollout", "workers", "bot", "cli", "bench", "demo"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module:
                    names = {f"{node.module}.{alias.name}" for alias in node.names}
                    names.add(node.module)
                    found += [n for n in names if n in {f"incidents.{i}" for i in INNER}]

    assert [] == found


TARGETS = [status for status in Status if status is not Status.OPEN]
PATHS: dict[Status, tuple[Status, ...]] = {
    Status.OPEN: (),
    Status.MITIGATED: (Status.MITIGATED,),
    Status.RESOLVED: (Status.RESOLVED,),
    Status.CLOSED: (Status.RESOLVED, Status.CLOSED),
    Status.CANCELLED: (Status.CANCELLED,),
    Status.REOPENED: (Status.RESOLVED, Status.REOPENED),
    Status.MERGED: (Status.MERGED,),
}


@pytest.mark.parametrize("start", Status)
def test_only_the_moves_of_the_table_are_possible(world: World, start: Status) -> None:
    for number, to in enumerate(TARGETS):
        fresh = World(world.store, world.clock)
        incident = fresh.open(f"{start}-{number}", stage=None)
        other = fresh.open(f"{start}-{number}-other", stage=None)
        for step in (*PATHS[start], to):
            try:
                _move(fresh, incident, other, step)
            except errors.WrongState:
                assert step is to
        reached = fresh.incidents.get(incident.number).status
        expected = to if to in lifecycle.MOVES[start] else start

        assert (start, to, expected) == (start, to, reached)


def _move(world: World, incident: Incident, other: Incident, to: Status) -> None:
    number, service = incident.number, world.incidents
    acts: dict[Status, Callable[[], Incident]] = {
        Status.MITIGATED: lambda: service.mitigated(number, RESPONDER, "x"),
        Status.RESOLVED: lambda: service.resolve(number, RESPONDER),
        Status.CLOSED: lambda: service.close(number, RESPONDER),
        Status.CANCELLED: lambda: service.cancel(number, RESPONDER, "x"),
        Status.REOPENED: lambda: service.reopen(number, RESPONDER, "x"),
        Status.MERGED: lambda: service.merge(number, other.number, RESPONDER),
    }
    acts[to]()


def test_resolving_queues_the_review_and_stops_the_rest(world: World) -> None:
    world.open()
    world.incidents.resolve(1, RESPONDER)

    assert [(Stage.TRIAGE, RunState.CANCELLED), (Stage.REVIEW, RunState.READY)] == [
        (run.stage, run.state) for run in world.incidents.runs(1)
    ]


def test_an_incident_with_an_open_rollout_is_not_resolved(world: World) -> None:
    world.rollout(world.open(stage=None))
    with pytest.raises(errors.WrongState, match="open rollout 'r1'"):
        world.incidents.resolve(1, RESPONDER)

    assert Status.OPEN is world.incidents.get(1).status


def test_only_a_person_changes_a_severity_or_closes(world: World) -> None:
    world.open()
    with pytest.raises(errors.NotAllowed):
        world.incidents.change_severity(1, Severity.P0, MACHINE)
    with pytest.raises(errors.NotAllowed):
        world.incidents.close(1, MACHINE)


def test_the_first_human_act_acknowledges_and_later_ones_do_not_count(world: World) -> None:
    world.open()
    world.incidents.needs_human(1, "Decide.")
    assert world.incidents.get(1).acknowledged_at is None
    at = world.clock.pass_(minutes=2)
    world.incidents.note(1, RESPONDER, "looking")
    world.clock.pass_(minutes=2)
    world.incidents.acknowledge(1, APPROVER)

    assert at == world.incidents.get(1).acknowledged_at


def test_acknowledging_twice_is_told_once(world: World) -> None:
    incident = world.open()
    world.incidents.acknowledge(1, RESPONDER)
    world.incidents.acknowledge(1, RESPONDER)

    assert ["opened", "status"] == world.kinds(incident)


def test_a_run_that_waits_for_a_service_goes_on_when_one_is_named(world: World) -> None:
    incident = world.open(service=None)
    run = world.stage(incident, Stage.TRIAGE)
    world.stages.wait(run.id, run.fence)
    named = world.incidents.set_service(1, "checkout", RESPONDER)

    assert "checkout" == named.service
    assert [("checkout", RunState.READY)] == [(r.service, r.state) for r in world.incidents.runs(1)]


def test_the_machine_never_overrules_the_service_that_was_named(world: World) -> None:
    world.open()

    assert "checkout" == world.incidents.set_service(1, "payment", MACHINE).service
    assert "payment" == world.incidents.set_service(1, "payment", RESPONDER).service


def test_a_reopened_incident_starts_again_with_nothing_counted_against_it(world: World) -> None:
    incident = world.open(stage=None)
    world.end(incident, Stage.ESCALATE, Outcome.NOTHING)
    world.incidents.resolve(1, RESPONDER)
    world.clock.pass_(hours=1)
    again = world.incidents.reopen(1, RESPONDER, "it is back")

    assert (None, None) == (again.mitigated_at, again.resolved_at)
    assert Stage.ESCALATE is world.end(again, Stage.DIAGNOSE, Outcome.INCONCLUSIVE).following.stage


def test_overdue_is_said_once_per_stage_and_level(world: World) -> None:
    world.open()
    said = [world.incidents.overdue(1, Stage.TRIAGE, twice) for twice in (False, False, True, True)]

    assert [True, False, True, False] == said


def test_a_change_of_a_service_is_recorded_once(world: World) -> None:
    deploy = Change("checkout", ChangeKind.DEPLOY, START, "tags", "a" * 40, "b" * 40)
    later = Change("checkout", ChangeKind.FLAG, START + timedelta(hours=1), "flags")
    other = Change("payment", ChangeKind.DEPLOY, START, "tags")

    assert [True, False, True, True] == [
        world.incidents.record_change(change, MACHINE) for change in (deploy, deploy, later, other)
    ]
    assert [deploy, later] == list(world.incidents.changes("checkout", START))
    assert [deploy] == list(world.incidents.changes("checkout", START, START))


def test_the_list_is_by_severity_and_live_only_unless_asked(world: World) -> None:
    for key, severity in (("a", "P3"), ("b", "P0"), ("c", "P1")):
        world.open(key, severity=Severity(severity))
    world.incidents.cancel(2, RESPONDER, "x")

    assert [3, 1] == [one.number for one in world.incidents.list()]
    assert [2, 3, 1] == [one.number for one in world.incidents.list(live_only=False)]
    assert REPORTER == world.incidents.get(1).reporter


def test_an_open_incident_becomes_an_emergency_by_a_persons_word(world: World) -> None:
    world.open()
    declared = world.incidents.declare_emergency(1, RESPONDER)

    assert (Severity.P0, True) == (declared.severity, declared.emergency)
    stages = [run.stage for run in world.incidents.runs(1)]
    assert [Stage.TRIAGE, Stage.CONTAIN, Stage.DIAGNOSE] == stages


def test_what_hurts_nobody_any_more_is_no_emergency(world: World) -> None:
    world.open()
    world.incidents.mitigated(1, RESPONDER, "switched")

    with pytest.raises(errors.WrongState, match="nothing to stabilise"):
        world.incidents.declare_emergency(1, RESPONDER)


def test_retry_waits_for_what_is_at_work(world: World) -> None:
    world.open()

    with pytest.raises(errors.WrongState, match="at work on triage"):
        world.incidents.retry(1, RESPONDER)


def test_a_role_alone_leaves_the_rest_as_it_is(world: World) -> None:
    incident = world.open()
    world.incidents.run_role(1, Stage.DIAGNOSE, RESPONDER, "look at the cache")
    finished = world.end(incident, Stage.DIAGNOSE, Outcome.NO_CODE_CAUSE)

    assert (None, None) == (finished.queued, world.incidents.get(1).needs_human)
    with pytest.raises(errors.WrongState, match="at work on triage"):
        world.incidents.run_role(1, Stage.TRIAGE, RESPONDER, "")
