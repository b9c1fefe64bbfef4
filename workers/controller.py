"""The controller: the only one that wakes work, and the only one that moves traffic.

One leader by a lease in the database; the others wait. Every second it fires timers, expires
approvals, says what is overdue, wakes runs that are ready or whose worker is gone, and gives every
open rollout its tick, each in a thread of its own so that a slow deployer holds up nobody else.
"""

import functools
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from incidents import errors, lifecycle
from incidents.models import Incident, Stage
from incidents.timers import CONTROLLER, LEADS_FOR
from rollout import wiring
from workers import contain, jobs, office
from workers.mitigating import Mitigating
from workers.office import Office
from workers.settings import ControllerSettings
from workers.traffic import Traffic

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
QUIET_SECONDS = 60.0  # the same trouble twice a second would fill the disk
RESTING = frozenset({Stage.TRIAGE, Stage.CONTAIN, Stage.REVIEW, Stage.ESCALATE, Stage.HOTFIX})


class Controller:
    """One controller process; `tick` is one round, `run` goes round until told to stop."""

    def __init__(self, desk: Office, wakeups: jobs.Wakeups, traffic: Traffic) -> None:
        self._desk, self._wakeups, self._traffic = desk, wakeups, traffic
        self._mitigating = Mitigating(desk)
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="rollout")
        self._busy: set[str] = set()
        self._guard = threading.Lock()
        self._said: dict[str, float] = {}  # when a trouble was last logged

    def run(self, stop: threading.Event) -> None:
        """Tick until `stop`; a database that is away is waited for."""
        while not stop.is_set():
            started = time.monotonic()
            self._try(self.tick)
            stop.wait(max(0.0, TICK_SECONDS - (time.monotonic() - started)))
        self._pool.shutdown(wait=True)
        self._traffic.close()
        self._desk.leases.release(CONTROLLER, self._desk.owner)

    def tick(self) -> bool:
        """Do one round as the leader; False when another one leads."""
        fence = self._desk.leases.lead(CONTROLLER, self._desk.owner, LEADS_FOR)
        if fence is None:
            return False
        self._try(lambda: self._roll(fence))
        self._try(self._mitigate)
        self._try(self._desk.approvals.expire_due)
        self._try(self._desk.stages.resume_turns)
        self._try(self._look_at_clocks)
        self._try(self._wake)
        return True

    def _try(self, part: Callable[[], object]) -> None:
        """Do one part of a round; what one incident is in the way of must not stop the others."""
        try:
            part()
        except errors.HalonError as error:
            now = time.monotonic()
            if now - self._said.get(error.message, -QUIET_SECONDS) >= QUIET_SECONDS:
                recent = {said: at for said, at in self._said.items() if now - at < QUIET_SECONDS}
                self._said = recent | {error.message: now}
                log.warning("%s", error.message)

    def _wake(self) -> None:
        """Release work to idle workers, the most severe and oldest first."""
        room: dict[str, int] = {}
        for waiting in self._desk.stages.ready():
            queue = jobs.URGENT if waiting.urgent else jobs.NORMAL
            if queue not in room:
                room[queue] = self._wakeups.room(queue)
            if room[queue] > 0 and self._desk.stages.woken(waiting.run.id):
                self._wakeups.wake(queue, waiting.run)
                room[queue] -= 1

    def _roll(self, fence: int) -> None:
        """Give each open rollout its tick, unless its last one is still at work."""
        rollouts = self._desk.rollouts
        for rollout in (*rollouts.open_rollouts(), *rollouts.unreported()):
            with self._guard:
                if rollout.id in self._busy:
                    continue
                self._busy.add(rollout.id)
            self._pool.submit(
                self._apart, rollout.id, functools.partial(self._traffic.tick, rollout.id, fence)
            )

    def _apart(self, name: str, act: Callable[[], object]) -> None:
        """Do one thing in a thread of its own; nothing that fails in it ends the controller."""
        try:
            act()
        except errors.StaleFence:
            log.warning("%s has a newer leader", name)
        except errors.TemporaryFailure as error:
            log.warning("%s: %s", name, error)
        except Exception:  # a thread's boundary: the next tick tries again, the watchdog watches
            log.exception("%s", name)
        finally:
            with self._guard:
                self._busy.discard(name)

    def _mitigate(self) -> None:
        """Run what was approved of named mitigations, each in a thread: a hook may take long."""
        for approval in self._mitigating.due():
            with self._guard:
                if approval.id in self._busy:
                    continue
                self._busy.add(approval.id)
            self._pool.submit(
                self._apart, approval.id, functools.partial(self._mitigating.carry_out, approval)
            )

    def _look_at_clocks(self) -> None:
        """Say once what is past its target; at twice the target it escalates."""
        for incident in self._desk.incidents.list():
            self._try(functools.partial(self._look_at_clocks_of, incident))

    def _look_at_clocks_of(self, incident: Incident) -> None:
        self._stabilise(incident)
        for clock in self._desk.incidents.clocks(incident.number):
            if clock.target is None or not clock.running or clock.stage in RESTING:
                continue
            spent = clock.working + clock.waiting
            if spent > 2 * clock.target:
                self._escalate(incident, clock.stage)
            elif spent > clock.target:
                self._desk.incidents.overdue(incident.number, clock.stage, twice=False)

    def _stabilise(self, incident: Incident) -> None:
        """Offer to stop the harm where an emergency is not diagnosed in time; once."""
        late = incident.opened_at + contain.PATIENCE
        if not incident.emergency or incident.status not in lifecycle.HURT:
            return
        if self._desk.store.now() < late:
            return
        runs = self._desk.incidents.runs(incident.number)
        diagnosed = any(one.stage is Stage.DIAGNOSE and one.outcome for one in runs)
        offers = [one for one in runs if one.stage is Stage.CONTAIN]
        offered = any(one.created_at >= late or one.outcome is None for one in offers)
        if not diagnosed and not offered:
            self._desk.stages.queue_stage(incident.number, Stage.CONTAIN)

    def _escalate(self, incident: Incident, stage: Stage) -> None:
        if self._desk.incidents.overdue(incident.number, stage, twice=True):
            self._desk.stages.queue_stage(incident.number, Stage.ESCALATE)


def run(settings: ControllerSettings) -> None:
    """Be a controller until SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    key = settings.key
    address = settings.redis_url
    if address is None:
        raise errors.BadSettings("The controller needs REDIS_URL; `halon up` sets it by itself.")
    with office.opened(settings, office.owner_of(os.getpid()), key=key) as desk:
        wakeups = jobs.Wakeups(jobs.connect(address))
        with wiring.webhooks_hosted(desk.services.values(), desk.folder):
            Controller(desk, wakeups, Traffic(desk)).run(stop)
