"""A rollout on its way: an incident with a tested patch, its plan, its question, and production."""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from agents.builtin import remedy
from incidents import crash, errors
from incidents.approvals import Question
from incidents.models import (
    Act,
    Answer,
    ApprovalState,
    Incident,
    Outcome,
    Rollout,
    RolloutState,
    SafeVersion,
    Stage,
    StageRun,
)
from incidents.policy import OPERATOR
from incidents.reports import DeploymentPlan, Patch
from incidents.stages import Ending
from rollout import watchdog
from rollout.canary import Timing
from tests import repositories
from tests.rollout import plans
from tests.workers.desks import Ahead, Place, open_incident, voting
from tests.workers.hosts import StandInHost
from workers.office import Office
from workers.traffic import Traffic

LEASE = timedelta(seconds=15)
# How far the clock is moved on between two ticks, and where it begins: a line of a log that comes
# from after the machine's own time counts for nothing.
STEP = timedelta(seconds=0.25)
YESTERDAY = timedelta(days=1)
FENCE = 1


@dataclass
class Code:
    """A repository in which one commit broke the service, and the patch that takes it back."""

    repository: repositories.Repository
    good: str
    bad: str
    fixed: str
    patch: Patch


def broken(path: Path) -> Code:
    """Make the repository; main is at the broken commit."""
    repository = repositories.new(path)
    good = repository.commit("works", {"pay.py": "fee = 1\n"})
    bad = repository.commit("breaks", {"pay.py": "fee = None\n"})
    repository.git("checkout", "--quiet", "-b", "fix")
    fixed = repository.commit("mends", {"pay.py": "fee = 1\n"})
    repository.git("checkout", "--quiet", "--detach", bad)
    repository.git("update-ref", "refs/heads/main", bad)
    diff = repository.git("diff", bad, fixed) + "\n"
    tree = repository.git("rev-parse", f"{fixed}^{{tree}}")
    patch = plans.patch(diff=diff, digest=remedy.digest_of(diff), base=bad, tree=tree)
    return Code(repository, good, bad, fixed, patch)


@dataclass
class Rolling:
    """One rollout and the controller's traffic over it."""

    desk: Office
    code: Code
    host: StandInHost
    clock: Ahead
    incident: Incident
    id: str
    run: StageRun
    step: timedelta = timedelta()  # none: production lives in real time
    traffic: Traffic = field(init=False)

    def __post_init__(self) -> None:
        self.traffic = Traffic(self.desk)

    def new_controller(self) -> None:
        """Forget everything that the controller's process knew."""
        self.traffic.close()
        self.traffic = Traffic(self.desk)

    @property
    def rollout(self) -> Rollout:
        return self.desk.rollouts.get(self.id)

    @property
    def state(self) -> RolloutState:
        return self.rollout.state

    def tick(self) -> RolloutState:
        """One tick, as the leader makes it; returns the state after it."""
        self.traffic.tick(self.id, FENCE)
        return self.state

    def until(self, *states: RolloutState, seconds: float = 60.0) -> RolloutState:
        """Tick until one of these states is reached."""
        return self.until_so(lambda: self.state in states, f"{states}", seconds)

    def until_so(
        self, condition: Callable[[], object], what: str, seconds: float = 60.0
    ) -> RolloutState:
        """Tick until something is so."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"never {what}; is {self.state} after {self.told()}"
            with contextlib.suppress(errors.TemporaryFailure, errors.WrongState):
                self.tick()  # as the controller: what failed is looked at again
            self.pass_()
        return self.state

    def pass_(self) -> None:
        """Let some time pass between two ticks."""
        if not self.step:
            time.sleep(0.05)
            return
        self.clock.by += self.step
        self.host.catch_up()

    def until_ended(self) -> Outcome | None:
        """Tick, as the controller does, until the deploy run has ended; return how."""
        self.until_so(lambda: self.deploy.finished_at, "ended")
        return self.deploy.outcome

    @property
    def deploy(self) -> StageRun:
        return self.desk.stages.get(self.run.id)

    def answer(self, answer: Answer = Answer.YES) -> None:
        """Answer the newest question as the operator."""
        asked = self.desk.approvals.pending(self.incident.number)[-1]
        decided = voting(self.desk).decide(
            asked.id, OPERATOR, answer, None, f"e-{asked.id}-{answer}"
        )
        assert decided.accepted, decided.reason

    def bake(self) -> None:
        """Approve the start and go on until the canary bakes."""
        self.answer()
        self.until(RolloutState.BAKING)
        self.until_so(lambda: self.host.weight == 10, "at 10 %")

    def all_the_way(self) -> Outcome | None:
        """Approve whatever is asked until the deploy run has ended."""

        def go() -> object:
            asked = self.desk.approvals.of_rollout(self.id)[-1]
            waiting = self.state in (RolloutState.PLANNED, RolloutState.AWAITING)
            if waiting and asked.state is ApprovalState.ASKED:
                self.answer()
            return self.deploy.finished_at

        self.until_so(go, "ended")
        return self.deploy.outcome

    def dying(self, at: str) -> None:
        """Go on until the controller is killed at a point, and begin another life."""
        crash.arm(at, crash.raise_crash)
        try:
            self.until_so(lambda: False, f"at {at}", 15)
        except crash.Crash:
            pass
        finally:
            crash.disarm()
        self.new_controller()

    def did(self) -> list[str]:
        """Return what was written down of the rollout, without what was only noted."""
        return [event.kind for event in self.desk.rollouts.events(self.id)]

    def told(self) -> list[str]:
        """Return why each step was made."""
        events = self.desk.rollouts.events(self.id)
        return [f"{e.kind}: {e.content['reason']}" for e in events if "reason" in e.content]

    def lease_file(self) -> Path:
        return self.desk.folder / "watchdog" / f"{self.id}.json"


@contextmanager
def rolling(
    place: Place, *, bare: bool = True, chosen: str = "", **service: object
) -> Iterator[Rolling]:
    """Plan a rollout of the patch as the deploy stage does, with production as it stands."""
    code = broken(place.root / "work")
    repository = place.root / "origin.git"
    code.repository.git("clone", "--quiet", "--bare", str(code.repository.path), str(repository))
    where = repository if bare else code.repository.path
    place.write_services(
        repository=str(where), deploy={"driver": "processes"}, owners=["@payments"], **service
    )
    clock = Ahead() if chosen else Ahead(YESTERDAY)  # who replays requests asks them in real time
    host = StandInHost(place.folder / "hosts" / "checkout", code.bad, clock=clock)
    host.errors[code.bad] = 0.5
    host.start()
    try:
        with place.opened(clock=clock) as desk:
            made = _planned(desk, code, host, clock, chosen)
            made.step = timedelta() if chosen else STEP
            try:
                yield made
            finally:
                made.traffic.close()
                watchdog.disarm(made.lease_file())
    finally:
        host.end()


def _planned(
    desk: Office, code: Code, host: StandInHost, clock: Ahead, chosen: str = ""
) -> Rolling:
    incident = open_incident(desk)
    patched = desk.stages.claim(
        desk.stages.queue_stage(incident.number, Stage.PATCH).id, "w", LEASE
    )
    assert patched is not None
    report = code.patch.model_dump(mode="json")
    desk.stages.finish(patched.run.id, patched.run.fence, Ending(Outcome.PATCHED, report=report))
    claimed = desk.stages.claim(
        desk.stages.queue_stage(incident.number, Stage.DEPLOY).id, "w", LEASE
    )
    assert claimed is not None
    run = claimed.run
    plan = plans.made(
        patch=code.patch,
        revision=code.fixed,
        stable_revision=code.bad,
        last_good_revision=code.good,
    ).model_copy(update={"chosen": chosen})
    rollout = desk.rollouts.create(_rollout(incident, run, code, plan), run.fence)
    desk.approvals.ask(
        Question(
            incident=incident.number,
            service="checkout",
            act=Act.START,
            scope=str(plan.phases[0].percent),
            patch_digest=rollout.patch_digest,
            plan_hash=rollout.plan_hash,
            key=f"{rollout.id}-start",
            rollout=rollout.id,
            expires=Timing.scaled(desk.settings.time_scale).approval,
        )
    )
    desk.stages.wait(run.id, run.fence)
    return Rolling(desk, code, host, clock, incident, rollout.id, run)


def _rollout(incident: Incident, run: StageRun, code: Code, plan: DeploymentPlan) -> Rollout:
    return Rollout(
        id=f"R{run.id}",
        incident=incident.number,
        stage_run=run.id,
        service="checkout",
        state=RolloutState.PLANNED,
        revision=plan.revision,
        stable_revision=plan.stable_revision,
        last_good_revision=plan.last_good_revision,
        patch_digest=code.patch.digest,
        plan=plan.model_dump(mode="json"),
        plan_hash="",
        phase=0,
        phase_started_at=None,
        deadline=None,
        safe_version=SafeVersion(plan.safe_version),
        latched=False,
        fence=0,
        created_at=incident.opened_at,
    )
