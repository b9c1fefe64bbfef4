"""A controller that goes away in the middle of a rollout: what happens to the users.

Real host, requests, access log, watchdog and traffic; only bakes and leases are shorter. Away means
that nobody ticks any more, as after a SIGKILL. What the users get is asked of the service itself.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from incidents.approvals import Question, digest
from incidents.models import Act, Answer, Rollout, RolloutState, SafeVersion, Severity, Stage
from incidents.policy import OPERATOR
from incidents.service import Opening
from incidents.settings import Settings
from incidents.store import Store
from rollout import watchdog
from rollout.canary import Timing
from tests import repositories
from tests.flows import proc
from tests.incidents.builders import KEY
from tests.rollout import plans
from tests.rollout.production import Load, Production, until
from tests.workers.desks import voting
from workers import office
from workers.office import Office
from workers.traffic import Traffic

SCALE = 60.0  # the minimum bake is 2 s, the lease 5 s
TICK_SECONDS = 0.1
TOML = """\
[[service]]
name = "checkout"
repository = "{repository}"
[service.deploy]
driver = "processes"
folder = "{host}"
"""

pytestmark = [pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(180)]


@dataclass
class Rolling:
    """One approved rollout of a fix, its production, and whoever controls it now."""

    desk: Office
    production: Production
    good: str
    old: str
    new: str

    @property
    def rollout(self) -> Rollout:
        """The rollout as it is stored."""
        return self.desk.rollouts.get("R1")

    @property
    def lease_file(self) -> Path:
        """The file that keeps the watchdog quiet."""
        return self.desk.folder / "watchdog" / "R1.json"

    def control(self, done: Callable[[], Any], seconds: float = 60.0) -> None:
        """Be a controller from here on, with nothing remembered, until `done`."""
        self.desk.leases.release("controller", self.desk.owner)
        fence = self.desk.leases.lead("controller", self.desk.owner, timedelta(minutes=5))
        assert fence is not None
        traffic = Traffic(self.desk)

        def ticked() -> bool:
            traffic.tick("R1", fence)
            time.sleep(TICK_SECONDS)
            return bool(done())

        try:
            until(ticked, seconds, "what the controller waits for")
        finally:
            traffic.close()

    def share(self, percent: int) -> bool:
        """Tell whether the users have this share of the canary, as the host reports it."""
        return bool(self.production.seen()["weight"] == percent)

    def did(self) -> list[str]:
        """Return what the watchdog did."""
        return [one["did"] for one in watchdog.acted(self.lease_file)]


@pytest.fixture
def rolling(tmp_path: Path) -> Iterator[Rolling]:
    """A fix at 10 % beside a broken stable version, approved through 100 %."""
    production = Production(tmp_path / "host", repositories.new(tmp_path / "repository"))
    good = production.revision("good")
    old, new = production.revision("old", errors=0.45), production.revision("new")
    production.start(old)
    toml = TOML.format(repository=production.repository.path, host=production.folder)
    (tmp_path / "halon.toml").write_text(toml, encoding="utf-8")
    with _office(tmp_path) as desk:
        _approved(desk, good, old, new)
        made = Rolling(desk, production, good, old, new)
        try:
            with Load(production, clients=2, pause=0.01).running() as load:
                load.at_least(50)
                made.control(lambda: made.share(10))
                yield made
        finally:
            watchdog.disarm(made.lease_file)
            production.end()
    assert [] == proc.mentioning(str(tmp_path))


@contextmanager
def _office(folder: Path) -> Iterator[Office]:
    settings = Settings(folder=folder / "data", file=folder / "halon.toml").model_copy(
        update={"time_scale": SCALE, "database_url": None, "redis_url": None}
    )
    settings.folder.mkdir()
    store = Store(settings.database)
    store.migrate()
    yield office.over(store, settings, "this test", key=KEY)
    store.close()


def _approved(desk: Office, good: str, old: str, new: str) -> None:
    opened = desk.incidents.open(
        Opening("checkout failing", OPERATOR, "open", Severity.P0, "checkout", stage=None)
    )
    queued = desk.stages.queue_stage(opened.number, Stage.DEPLOY)
    claimed = desk.stages.claim(queued.id, desk.owner, timedelta(minutes=5))
    assert claimed is not None
    # A commit that the branch already has: its id is what was approved.
    made = plans.made(revision=new, stable_revision=old, last_good_revision=good, patch=None)
    plan = made.model_dump(mode="json")
    rollout = Rollout(
        id="R1",
        incident=opened.number,
        stage_run=queued.id,
        service="checkout",
        state=RolloutState.PLANNED,
        revision=new,
        stable_revision=old,
        last_good_revision=good,
        patch_digest=made.patch_digest,
        plan=plan,
        plan_hash=digest(plan),
        phase=0,
        phase_started_at=None,
        deadline=None,
        safe_version=SafeVersion.LAST_GOOD,
        latched=False,
        fence=0,
        created_at=desk.store.now(),
    )
    stored = desk.rollouts.create(rollout, claimed.run.fence)
    asked = desk.approvals.ask(
        Question(
            incident=opened.number,
            service="checkout",
            act=Act.START,
            scope="through 100",
            patch_digest=stored.patch_digest,
            plan_hash=stored.plan_hash,
            key="start",
            rollout="R1",
        )
    )
    assert voting(desk, KEY).decide(asked.id, OPERATOR, Answer.YES, None, "yes").accepted
    desk.stages.wait(queued.id, claimed.run.fence)


def test_a_controller_that_is_back_within_its_lease_goes_on(rolling: Rolling) -> None:
    time.sleep(Timing.scaled(SCALE).lease.total_seconds() / 3)  # being away is what is tested

    rolling.control(lambda: rolling.share(50))

    assert [] == rolling.did()
    assert [10] == list(rolling.rollout.passed_phases)


def test_a_controller_that_stays_away_before_the_first_pass_means_the_last_good_version(
    rolling: Rolling,
) -> None:
    until(lambda: "take_back" in rolling.did(), 60, "the watchdog's take-back")

    with Load(rolling.production, clients=1).running() as load:
        load.at_least(40)

    assert {rolling.good} == set(load.revisions)
    assert {"200"} == set(load.statuses)
    # Whoever comes back finds it done, says so, and does not go forward again.
    rolling.control(lambda: rolling.rollout.state is RolloutState.TAKEN_BACK)
    assert rolling.good == rolling.production.seen()["stable"]["revision"]


def test_a_controller_that_stays_away_after_a_proven_pass_means_hold(rolling: Rolling) -> None:
    rolling.control(lambda: rolling.share(50) and _promises(rolling) == watchdog.HOLD)

    until(rolling.did, 60, "the watchdog's word")

    assert ["hold"] == rolling.did()
    assert rolling.share(50)
    rolling.control(lambda: rolling.rollout.state is RolloutState.HELD)
    assert rolling.share(50)
    incident = rolling.desk.incidents.get(rolling.rollout.incident)
    assert "held" in (incident.needs_human or "")


def _promises(rolling: Rolling) -> str:
    """Return what the watchdog would do if nobody came back now."""
    return str(json.loads(rolling.lease_file.read_text("utf-8"))["on_expiry"])
