"""From a diagnosis that settles nothing to a tested patch of production-fixer, stage by stage.

A real repository, the real engine in a real sandbox, the real store; only the wake-ups are called
by the test instead of the queue.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from agents import sandbox
from agents.builtin.engine import Builtin
from incidents import reports
from incidents.models import Incident, Outcome, Stage, StageRun
from incidents.policy import OPERATOR
from tests import repositories, services
from tests.agents.builtin.test_fixer import LEAKING_ORDERS, ORDERS, ORDERS_LOAD, ORDERS_TEST, POOL
from tests.workers.desks import Place, open_incident
from workers import escalation, stages
from workers.job import Job
from workers.office import Office

LEASE = timedelta(seconds=600)


@dataclass
class Scene:
    """An incident whose failure shows only under load."""

    desk: Office
    incident: Incident
    engine: Builtin
    culprit: str

    def run(self, stage: Stage) -> StageRun:
        """Let a worker run a stage to its end."""
        queued = self.desk.stages.queue_stage(self.incident.number, stage)
        claimed = self.desk.stages.claim(queued.id, "w", LEASE)
        assert claimed is not None
        stages.work(self.desk, claimed, self.engine)
        return self.desk.stages.get(queued.id)

    def waiting(self) -> list[Stage]:
        """Return the stages that were queued and have not begun."""
        runs = self.desk.incidents.runs(self.incident.number)
        return [one.stage for one in runs if one.started_at is None]


@pytest.fixture(scope="module")
def box() -> sandbox.Sandbox:
    try:
        return sandbox.choose()
    except sandbox.SandboxUnavailable:
        services.missing("a sandbox")


@pytest.fixture
def scene(place: Place, box: sandbox.Sandbox) -> Iterator[Scene]:
    code = repositories.new(place.root / "repository")
    files = {"pool.py": POOL, "orders.py": ORDERS, "load.py": ORDERS_LOAD, "check.py": ORDERS_TEST}
    good = code.commit("Sell tea", files)
    culprit = code.commit("Simplify", {"orders.py": LEAKING_ORDERS})
    now = datetime.now(UTC)
    rows = [
        {"at": (now - timedelta(hours=age)).isoformat(), "revision": revision}
        for revision, age in ((good, 5), (culprit, 1))
    ]
    record = place.root / "deploys.jsonl"
    record.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    place.write_services(
        test=f"{sys.executable} check.py",
        load={"run": f"{sys.executable} load.py"},
        changes={"record": str(record)},
        captures={"pools": [sys.executable, "-c", 'print(\'{"used": 5, "limit": 5}\')']},
    )
    with place.opened() as desk:
        engine = Builtin(box, place.folder / "workspaces")
        yield Scene(desk, open_incident(desk, stage=None), engine, culprit)


def test_what_the_diagnosis_cannot_settle_is_solved_tested_and_told(scene: Scene) -> None:
    assert Outcome.INCONCLUSIVE is scene.run(Stage.DIAGNOSE).outcome
    assert [Stage.ESCALATE] == scene.waiting()
    escalated = scene.run(Stage.ESCALATE)
    assert Outcome.PATCHED is escalated.outcome, escalated.error
    report = reports.load(escalated.report or {})
    assert isinstance(report, reports.Escalation)
    assert report.diagnosis is not None
    assert (scene.culprit, "pools of the live service") == (
        report.diagnosis.culprit,
        report.bottleneck and report.bottleneck.what,
    )
    assert [True] == ["diagnose 1: inconclusive" in one for one in report.tried]
    assert [Stage.TEST] == scene.waiting()
    assert Outcome.APPROVE is scene.run(Stage.TEST).outcome
    assert [Stage.DEPLOY] == scene.waiting()


def test_a_second_look_is_given_what_the_first_one_did(scene: Scene) -> None:
    first = scene.run(Stage.ESCALATE)
    again = scene.desk.stages.queue_stage(scene.incident.number, Stage.ESCALATE, OPERATOR)
    claimed = scene.desk.stages.claim(again.id, "w", LEASE)
    assert claimed is not None
    job = Job(
        scene.desk, claimed.run, scene.incident, scene.desk.service("checkout"),
        None, scene.engine,  # type: ignore[arg-type]  # no step is taken
    )  # fmt: skip
    (told,) = escalation.attempts(job)
    done = [one["key"] for one in (first.report or {})["experiments"] if one["finished"]]

    assert ("escalate 1", tuple(done)) == (told.what, told.keys)
