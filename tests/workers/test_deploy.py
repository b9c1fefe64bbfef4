"""The deploy stage before anything moves: what it asks the monitor, and what it offers."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from incidents.models import Outcome, RunState, Stage, StageRun
from incidents.reports import DeploymentPlan
from incidents.stages import Ending
from rollout import offers
from tests.workers.desks import Place, open_incident
from tests.workers.hosts import StandInHost
from tests.workers.rollings import LEASE, Code, broken
from tests.workers.test_contain import NoEngine
from workers import stages

REPLAY = {
    "canary": "http://127.0.0.1:9002",
    "stable": "http://127.0.0.1:9001",
    "requests": ["GET /"],
    "per_minute": 300,
}


@dataclass
class Planning:
    """A tested patch and production, before the deploy stage."""

    place: Place
    code: Code
    host: StandInHost

    def plan(self, **service: Any) -> tuple[StageRun, DeploymentPlan | None, str]:
        """Run the deploy stage; return its run, its plan, and what a person is told instead."""
        self.place.write_services(
            repository=str(self.place.root / "origin.git"),
            deploy={"driver": "processes"},
            **service,
        )
        with self.place.opened() as desk:
            incident = open_incident(desk)
            patched = desk.stages.queue_stage(incident.number, Stage.PATCH)
            claimed = desk.stages.claim(patched.id, "w", LEASE)
            assert claimed is not None
            report = self.code.patch.model_dump(mode="json")
            desk.stages.finish(
                patched.id, claimed.run.fence, Ending(Outcome.PATCHED, report=report)
            )
            deploy = desk.stages.queue_stage(incident.number, Stage.DEPLOY)
            claimed = desk.stages.claim(deploy.id, "w", LEASE)
            assert claimed is not None
            stages.work(desk, claimed, NoEngine())
            run = desk.stages.get(deploy.id)
            told = desk.incidents.get(incident.number).needs_human or ""
            if run.state is not RunState.WAITING:
                return run, None, told
            rollout = desk.rollouts.get(f"R{run.id}")
            assert 1 == len(desk.approvals.of_rollout(rollout.id))
            return run, DeploymentPlan.model_validate(rollout.plan), told


@pytest.fixture
def planning(place: Place) -> Iterator[Planning]:
    code = broken(place.root / "work")
    bare = place.root / "origin.git"
    code.repository.git("clone", "--quiet", "--bare", str(code.repository.path), str(bare))
    host = StandInHost(place.folder / "hosts" / "checkout", code.bad)
    host.start()
    yield Planning(place, code, host)
    host.end()


def counts(path: Path, **versions: tuple[int, int]) -> dict[str, str]:
    """Store the same counts for a minute per version, as a monitor that has them."""
    now = datetime.now(UTC)
    rows = [
        {
            "version": version,
            "start": (now - timedelta(seconds=60 - 5 * step)).isoformat(),
            "requests": requests + step,
            "errors": failed,
        }
        for version, (requests, failed) in versions.items()
        for step in range(10)
    ]
    content = {"planned_buckets": 100, "bucket_seconds": 5, "buckets": rows}
    path.write_text(json.dumps(content), encoding="utf-8")
    return {"source": "replay", "path": str(path)}


def test_both_versions_under_one_label_keep_a_rollout_from_starting(
    planning: Planning, tmp_path: Path
) -> None:
    monitor = counts(tmp_path / "counts.json", canary=(100, 4), stable=(100, 4))

    run, made, told = planning.plan(monitor=monitor)

    assert (Outcome.REFUSED, None) == (run.outcome, made)
    assert "Both versions show the same counts" in told
    assert 0 == planning.host.weight


@pytest.mark.parametrize(
    ("name", "gap"),
    [("unnamed", "Nothing was measured of stable"), ("stable", "")],
)
def test_a_monitor_that_sees_nothing_is_a_gap_of_the_plan(
    planning: Planning, tmp_path: Path, name: str, gap: str
) -> None:
    """It may be a quiet night: the gates will hold, and the approver knows before."""
    versions = {"stable": (100, 1)} if name == "stable" else {"canary": (1, 0)}
    _, made, _ = planning.plan(monitor=counts(tmp_path / "counts.json", **versions))

    assert made is not None
    assert bool(gap) == any("stable" in one and "measured" in one for one in made.gaps), made.gaps
    assert gap in " ".join(made.gaps)


def test_a_monitor_that_does_not_answer_is_a_gap_of_the_plan(planning: Planning) -> None:
    nobody = "http://127.0.0.1:9"  # discard: nobody listens
    monitor = {
        "source": "prometheus", "address": nobody,
        "requests": 'http_requests_total{version="$group"}',
        "errors": 'http_errors_total{version="$group"}',
    }  # fmt: skip
    run, made, told = planning.plan(monitor=monitor)

    assert made is not None, (run, told)
    assert any("127.0.0.1:9" in gap for gap in made.gaps), made.gaps


def test_thin_traffic_is_offered_replayed_requests(planning: Planning, tmp_path: Path) -> None:
    monitor = counts(tmp_path / "counts.json", stable=(2, 0))
    _, made, _ = planning.plan(monitor=monitor, replay={**REPLAY, "apart": True})

    assert made is not None
    assert offers.REPLAYED in [one.name for one in made.offers]
    assert "300 GET and HEAD requests per minute" in made.offers[-1].text


def test_a_monitor_that_would_mix_them_up_keeps_them_from_being_offered(
    planning: Planning, tmp_path: Path
) -> None:
    monitor = counts(tmp_path / "counts.json", stable=(2, 0))
    _, made, _ = planning.plan(monitor=monitor, replay=REPLAY)

    assert made is not None
    assert [offers.LONGER] == [one.name for one in made.offers][:1]
    assert offers.REPLAYED not in [one.name for one in made.offers]
    assert any("would count replayed requests as users'" in gap for gap in made.gaps)
