"""SIGKILL of the real controller at every state of a rollout, over a real HAProxy under traffic.

Run alone by .ci/run: a machine that is busy with something else makes a restart longer than a
lease. DESIGN: back within the lease it goes on; away for longer, the watchdog does what it holds.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from incidents.models import Answer, ApprovalState, RolloutState
from incidents.policy import OPERATOR
from incidents.store import Store
from rollout import timing, watchdog
from rollout.acts import TERMINAL
from tests.rollout.deployers.site import Site
from tests.rollout.production import Load
from tests.workers import rollings
from tests.workers.conftest import Server
from tests.workers.desks import Ahead, Place
from tests.workers.hosts import StandInHost
from tests.workers.rollings import Code, Rolling

pytestmark = [
    pytest.mark.alone, pytest.mark.slow, pytest.mark.service, pytest.mark.timeout(420),
]  # fmt: skip
S = RolloutState
SCALE = 120.0
ROOT = Path(__file__).resolve().parents[2]
# In one life each step is killed once: what hangs for a whole lease is not repeated blindly.
MOMENTS = ("written", "acted", "followed")
FORWARD = ("prepare", "arm", "shift", "ask", "mitigated", "promote", "finish")
BACK = ("take back", "taken back")


@dataclass
class World:
    """One rollout over HAProxy, the controller's process, and the traffic."""

    place: Place
    redis: str
    site: Site
    code: Code
    made: Rolling
    process: subprocess.Popen[bytes] | None = None
    renewed: float = 0.0  # when the lease was last renewed
    gaps: list[tuple[float, float]] = field(default_factory=list)  # longer than the lease
    kills: list[float] = field(default_factory=list)

    def controller(self, at: str | None = None) -> subprocess.Popen[bytes]:
        """Start a controller that dies at a point, or a lasting one."""
        self.process = self._started("controller", {"HALON_CRASH_AT": at} if at else {})
        return self.process

    def worker(self) -> subprocess.Popen[bytes]:
        """Start a worker; it has nothing to do, as long as nobody else's work is done by it."""
        return self._started("worker", {}, "--queue", "normal")

    def _started(self, name: str, more: dict[str, str], *words: str) -> subprocess.Popen[bytes]:
        environment = {
            **self.place.environment(self.redis), **more, "HALON_TIME_SCALE": str(SCALE),
            "PATH": os.environ["PATH"], "HOME": os.environ["HOME"],
        }  # fmt: skip
        return subprocess.Popen(
            [sys.executable, "-m", "cli", name, *words],
            cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def look_at_lease(self) -> None:
        """Remember each time in which nobody renewed the lease for as long as it lasts."""
        try:
            renewed = self.made.lease_file().stat().st_mtime
        except OSError:
            return
        if self.renewed and renewed - self.renewed > timing.LEAST_LEASE:
            self.gaps.append((self.renewed, renewed))
        self.renewed = renewed

    def until(self, condition: Callable[[], object], what: str, seconds: float = 120.0) -> None:
        """Wait, answering yes to every question of the rollout."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"never {what}; {self.made.state}: {self.made.told()}"
            asked = self.made.desk.approvals.of_rollout(self.made.id)
            # Held: a restart took longer than the lease, after a PASS. People let it go on.
            waits = self.made.state in (S.PLANNED, S.AWAITING, S.HELD)
            if waits and asked[-1].state is ApprovalState.ASKED:
                self.made.answer(Answer.YES)
            self.look_at_lease()
            time.sleep(0.05)

    def killed_at(self, points: list[str]) -> list[str]:
        """Live on, killed at each of these points in turn; return those that were reached."""
        reached = []
        for point in points:
            process = self.controller(point)
            ended = lambda process=process: process.poll() is not None or self.over  # noqa: E731
            self.until(ended, f"at {point}")
            try:  # over is written down before its last moments
                assert -signal.SIGKILL == process.wait(5 if self.over else 20), point
            except subprocess.TimeoutExpired:
                assert self.over, point
                self.kill()
                break
            self.kills.append(time.time())
            reached.append(point)
        return reached

    @property
    def over(self) -> bool:
        """Whether the rollout has ended, by whomever."""
        return self.made.state in TERMINAL

    @property
    def was_slow(self) -> bool:
        """Whether a restart was measured to outlast the lease: then going back is right.

        A lease that runs out while a controller lives is no slow machine, but a defect.
        """
        acted = [float(one["at"]) for one in watchdog.acted(self.made.lease_file())]
        gaps = [*self.gaps, *((self.renewed, at) for at in acted[:1])]
        return any(begin <= killed <= end for begin, end in gaps for killed in self.kills)

    def kill(self) -> None:
        """Kill the controller where it stands."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)

    def stable(self) -> tuple[int, str]:
        """Return the canary's weight as HAProxy says, and what stable runs."""
        weights = self.site.ask("get weight app/canary").split()
        return int(weights[0]), str(self.site.team.world()["stable"])

    def acted(self) -> list[str]:
        """Return what the watchdog did."""
        return [str(one["did"]) for one in watchdog.acted(self.made.lease_file())]


@contextmanager
def running(redis: str, fixed: float) -> Iterator[World]:
    """A broken stable, a fix that fails in this share of requests, and nobody in control yet."""
    with tempfile.TemporaryDirectory(prefix="k", dir="/tmp") as folder:
        root = Path(folder)
        place = Place(root, time_scale=SCALE)
        code = rollings.broken(root / "work")
        code.repository.git("clone", "-q", "--bare", str(code.repository.path), str(root / "o.git"))
        site = Site.begin(root / "s", stable=code.bad, behaviour={"errors": 0.5})
        site.behave(code.fixed, errors=fixed)
        site.team.change(graceful=0.5)
        site.start(more_backend="    option http-server-close")
        log = root / "access.log"
        names = {"canary": [code.fixed], "stable": [code.bad, code.good]}
        place.write_services(
            repository=str(root / "o.git"),
            deploy={"driver": "haproxy", **site.team.hooks(), **site.keys},
            monitor={"source": "accesslog", "path": str(log), "silence": 3, **names},
        )
        store = Store(place.settings.database)
        store.migrate()
        store.close()
        with place.opened() as desk, Load(site, clients=3, pause=0.01, log=log).running() as load:
            load.at_least(100)
            host = StandInHost(root / "nobody", code.bad)
            made = rollings._planned(desk, code, host, Ahead())
            world = World(place, redis, site, code, made)
            try:
                yield world
                load.at_least(50)
                assert {"200", "500"} == set(load.statuses)
            finally:
                if world.process is not None and world.process.poll() is None:
                    world.kill()
                watchdog.disarm(made.lease_file())
                made.traffic.close()
                site.end()


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_every_step_forward_the_fix_reaches_everybody(
    redis_server: Server, moment: str
) -> None:
    """Eight lives; where each restart is measured to be within the lease, each one goes on."""
    with running(redis_server.url, fixed=0.0) as world:
        points = [f"rollout.{moment}/{step}" for step in FORWARD]
        reached = world.killed_at(points)
        if not world.over:
            world.controller()
            world.until(lambda: world.over, "ended")
        if world.was_slow:
            where = {S.DONE: world.code.fixed, S.TAKEN_BACK: world.code.good}
            assert (0, where[world.made.state]) == world.stable()
        else:
            assert (points, S.DONE) == (reached, world.made.state), world.made.told()
            assert (0, world.code.fixed) == world.stable()


def test_a_worker_killed_in_every_state_of_the_rollout_changes_nothing(
    redis_server: Server,
) -> None:
    """Workers never move traffic: whatever becomes of them, the rollout goes its way."""
    lasting = {S.PLANNED, S.BAKING, S.AWAITING, S.VALIDATING}
    with running(redis_server.url, fixed=0.0) as world:
        # Starting workers leaves the load few requests: its commander may approve what is unsure.
        world.made.desk.incidents.own(world.made.incident.number, OPERATOR)
        world.controller()
        worker, killed = world.worker(), set()
        try:

            def each_state_kills_one() -> bool:
                nonlocal worker
                if (state := world.made.state) not in killed:
                    os.killpg(worker.pid, signal.SIGKILL)
                    worker.wait(20)
                    killed.add(state)
                    worker = world.worker()
                return world.over

            world.until(each_state_kills_one, "ended")
        finally:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait(20)
        assert lasting <= killed
        assert (S.DONE, (0, world.code.fixed)) == (world.made.state, world.stable())
        assert [] == world.acted()


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_every_step_back_the_users_end_at_the_last_good_version(
    redis_server: Server, moment: str
) -> None:
    with running(redis_server.url, fixed=0.9) as world:
        world.killed_at([f"rollout.{moment}/{step}" for step in BACK])
        world.controller()
        world.until(lambda: world.made.state is S.TAKEN_BACK, "taken back")
        assert (0, world.code.good) == world.stable()


@pytest.mark.parametrize("point", ["rollout.written/shift", "rollout.acted/shift"])
def test_nobody_comes_back_before_a_pass_and_the_watchdog_takes_back(
    redis_server: Server, point: str
) -> None:
    with running(redis_server.url, fixed=0.0) as world:
        world.killed_at([point])
        world.until(lambda: "take_back" in world.acted(), "taken back by the watchdog")
        assert (0, world.code.good) == world.stable()


def test_nobody_comes_back_after_a_pass_over_a_broken_stable_and_the_weight_is_held(
    redis_server: Server,
) -> None:
    with running(redis_server.url, fixed=0.0) as world:
        world.controller()

        def holds() -> bool:
            lease = world.made.lease_file()
            told = lease.read_text(encoding="utf-8") if lease.exists() else "{}"
            return bool(json.loads(told).get("on_expiry") == watchdog.HOLD)

        world.until(lambda: holds() and world.made.state is S.BAKING, "proved better")
        world.kill()
        weight, _ = world.stable()
        world.until(lambda: world.acted(), "the watchdog acted")
        assert ["hold"] == world.acted()
        assert (weight, world.code.bad) == world.stable()
        assert weight >= 10
