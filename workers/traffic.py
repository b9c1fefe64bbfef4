"""Carries out one rollout, tick by tick: sees, lets `rollout.canary` decide, writes down, acts.

Called by the controller alone, which holds the deploy credentials. What is to be done is written
before it is done; a controller that comes back within the lease does again what it finds written
and not done (every command of a deployer may be repeated), and a later one goes by what it sees.
"""

import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from incidents import crash, entries, errors, lifecycle
from incidents.models import (
    MACHINE,
    Act,
    Approval,
    ApprovalState,
    Bucket,
    Json,
    Result,
    Rollout,
    RolloutState,
    RunMode,
    Stage,
    Version,
)
from incidents.reports import DeploymentPlan
from incidents.timeline import Draft
from rollout import canary, gate, rehearsal, sources, watchdog, wiring
from rollout import plan as plans
from rollout.canary import Do, Order, Scene, Step, Timing
from rollout.deployers.port import Deployer, Observed
from rollout.monitors.port import Monitor
from workers import cases, followup, warrant
from workers.followup import FollowUp
from workers.office import Office
from workers.replays import Replays

log = logging.getLogger(__name__)
WRITTEN = crash.register("rollout.written", "the step is written, production has not moved")
ACTED = crash.register("rollout.acted", "production has moved, and nothing says so")
FOLLOWED = crash.register("rollout.followed", "what follows is done, the step is not ended")
DONE = "step done"
# What these states are for happens in production, where others may have acted meanwhile.
COMMANDING = frozenset(
    {
        RolloutState.PREPARING,
        RolloutState.ARMED,
        RolloutState.BAKING,
        RolloutState.PROMOTING,
        RolloutState.TAKING_BACK,
    }
)

# How often the message of a phase is edited while nothing happens.
UPDATE_PARTS = 12
# How much of stable is read from before the rollout: the yardstick of response times, and the
# errors that are not new. Five minutes; a monitor that does not know them says so.
LOOK_BACK = 60
LEAST_UPDATE = timedelta(seconds=1)


@dataclass
class _Watched:
    """What one controller process remembers of a rollout between ticks; losing it costs nothing."""

    deployer: Deployer
    monitor: Monitor
    timing: Timing  # at the pace of the monitor
    read_until: datetime
    unseen_since: datetime | None = None
    failing_since: datetime | None = None
    updated_at: datetime | None = None
    better: bool = False  # the last judgement: proved better than stable
    warranted: dict[tuple[bool, str], bool] = field(default_factory=dict)  # what was seen of it


class Traffic:
    """Ticks rollouts; one instance per controller process."""

    def __init__(self, desk: Office) -> None:
        self._desk = desk
        self._timing = Timing.scaled(desk.settings.time_scale)
        self._watched: dict[str, _Watched] = {}
        self._following = FollowUp(desk, self._timing)
        self._replays = Replays(desk, self._timing)

    def close(self) -> None:
        """Let go of everything that is watched; the next tick looks anew."""
        self._replays.close()
        while self._watched:
            self._watched.popitem()[1].monitor.close()

    def tick(self, rollout_id: str, fence: int) -> None:
        """Look at a rollout once and do what the table says."""
        rollout = self._desk.rollouts.get(rollout_id)
        if not self._desk.rollouts.is_ours(rollout):
            self._tell_forged(rollout)
            return
        watched = self._watch(rollout)
        scene = self._scene(rollout, watched)
        begun = self._begun(rollout)
        if begun is not None and self._in_time(rollout, scene, begun):
            log.warning("rollout %s: a step was begun and not done; carrying it out", rollout.id)
            self._carry_out(rollout, watched, fence)
            return
        if rollout.state in canary.TERMINAL:
            return
        step = canary.tick(rollout, scene, watched.timing, self._gates(rollout, watched))
        if step.report is not None:
            watched.better = step.report.better
        if step.do is Do.WAIT:
            self._wait(rollout, watched, scene, step, fence)
        else:
            self._do(rollout, watched, scene, step, fence)

    def _gates(self, rollout: Rollout, watched: _Watched) -> gate.Gates:
        carries = DeploymentPlan.model_validate(rollout.plan).stable_carries_incident
        return plans.default_gates(fingerprints=watched.monitor.fingerprints, hotfix=carries)

    def _watch(self, rollout: Rollout) -> _Watched:
        if rollout.id not in self._watched:
            service = self._desk.service(rollout.service)
            timing = sources.pace(service, self._timing)
            self._watched[rollout.id] = _Watched(
                wiring.deployer(service, self._desk.folder),
                wiring.monitor(service, self._desk.folder, timing),
                timing,
                read_until=rollout.created_at - LOOK_BACK * timing.bucket,
            )
        return self._watched[rollout.id]

    # --- seeing

    def _scene(self, rollout: Rollout, watched: _Watched) -> Scene:
        now = self._desk.store.now()
        observed = self._observe(watched, now)
        self._read(rollout, watched, now)
        asked = self._desk.approvals.of_rollout(rollout.id)
        return Scene(
            now=now,
            buckets=tuple(self._desk.rollouts.buckets(rollout.id)),
            observed=observed,
            unseen_since=watched.unseen_since,
            granted=self._granted(rollout, watched),
            refused=bool(asked) and asked[-1].state is ApprovalState.REFUSED,
            asked_until=_asked_until(asked),
            asked_unsure=bool(asked) and asked[-1].gate is Result.INCONCLUSIVE,
            order=self._order(rollout),
            last_tick=_last_tick(self._lease_file(rollout)),
            watchdog_acted=bool(watchdog.acted(self._lease_file(rollout))),
            source_failing_since=watched.failing_since,
            replayed=self._replays.look(rollout, now),
        )

    def _observe(self, watched: _Watched, now: datetime) -> Observed | None:
        try:
            seen = watched.deployer.observe()
        except errors.TemporaryFailure as error:
            log.warning("production cannot be seen: %s", error)
            watched.unseen_since = watched.unseen_since or now
            return None
        watched.unseen_since = None
        return seen

    def _read(self, rollout: Rollout, watched: _Watched, now: datetime) -> None:
        """Store the buckets since the last reading; the newest ones are read again."""
        until = now - watched.timing.lag
        since = watched.read_until - 2 * watched.timing.bucket
        try:
            found: list[Bucket] = []
            for version in (Version.CANARY, Version.STABLE):
                found += watched.monitor.buckets(version, since, until)
        except errors.TemporaryFailure as error:
            log.warning("traffic cannot be read: %s", error)
            watched.failing_since = watched.failing_since or now
            return
        watched.failing_since = None
        if found:
            self._desk.rollouts.add_buckets(rollout.id, found)
            watched.read_until = max(b.start + timedelta(seconds=b.seconds) for b in found)

    def _granted(self, rollout: Rollout, watched: _Watched) -> frozenset[str]:
        plan = DeploymentPlan.model_validate(rollout.plan)
        following = canary.next_phase(plan, rollout.phase)
        if following is None or rollout.state in canary.TERMINAL:
            return frozenset()
        scope = str(following.percent)
        if self._alone(rollout) and self._warranted(rollout, watched, alone=True):
            return frozenset({f"through {plan.phases[-1].percent}"})
        given = self._desk.approvals.granted(rollout.id, scope, scope)
        if given is None or not self._warranted(rollout, watched, alone=False):
            return frozenset()
        return frozenset({given.scope})

    def _warranted(self, rollout: Rollout, watched: _Watched, *, alone: bool) -> bool:
        """Tell whether production would get what was approved; what is refused is told once."""
        look = alone, warrant.digest(rollout)
        if look not in watched.warranted:
            try:
                warrant.check(self._desk, rollout, alone=alone)
            except warrant.Unwarranted as refused:
                self._tell_trouble(rollout, refused.message)
                watched.warranted[look] = False
                if not alone:  # people were shown something else, so their yes is for nothing
                    self._desk.rollouts.request(rollout.id, Act.TAKE_BACK, MACHINE)
            else:
                watched.warranted[look] = True
        return watched.warranted[look]

    def _tell_forged(self, rollout: Rollout) -> None:
        what = f"Rollout {rollout.id} was changed past the controller, so nothing more is done."
        self._tell_trouble(rollout, f"{what} Where it had begun, its watchdog takes it back.")

    def _tell_trouble(self, rollout: Rollout, what: str) -> None:
        told = entries.trouble(what, "Look at who can write to the database and the repository.")
        told = replace(told, subject=f"forged-{rollout.id}")
        self._desk.timeline.append_once(rollout.incident, told, MACHINE)

    def _alone(self, rollout: Rollout) -> bool:
        """Tell whether the run mode lets the gates decide without a person."""
        service = self._desk.service(rollout.service)
        incident = self._desk.incidents.get(rollout.incident)
        mode = service.mode(incident.severity)
        if mode is not RunMode.AUTO:
            return False
        found = cases.diagnosis(self._desk, incident)
        fix = cases.patch(self._desk, incident)
        if found is None or fix is None or fix.digest != rollout.patch_digest:
            return False
        return plans.may_go_alone(mode, found.verdict, fix) is None

    def _order(self, rollout: Rollout) -> Order | None:
        if self._is_idle_offer(rollout):
            return Order.TAKE_BACK
        if rollout.request is Act.TAKE_BACK:
            return Order.TAKE_BACK
        if rollout.request is Act.HOLD and rollout.state is not RolloutState.HELD:
            return Order.HOLD
        if rollout.state is RolloutState.HELD:
            return Order.RESUME if self._let_go(rollout) else None
        return None

    def _is_idle_offer(self, rollout: Rollout) -> bool:
        """Tell whether it is a way back that nobody needs any more: users are no longer hurt."""
        if rollout.state is not RolloutState.PLANNED:
            return False
        if self._desk.stages.get(rollout.stage_run).stage is not Stage.CONTAIN:
            return False
        status = self._desk.incidents.get(rollout.incident).status
        return status not in lifecycle.HURT and self._desk.approvals.drop(rollout.id)

    def _let_go(self, rollout: Rollout) -> bool:
        """Tell whether the question of this hold, not of an earlier one, has a verified yes."""
        held = [e.at for e in self._desk.rollouts.events(rollout.id) if e.kind == Do.HOLD.value]
        scope = f"{followup.RESUME} {rollout.phase}"
        given = self._desk.approvals.granted(rollout.id, scope, scope)
        return given is not None and bool(held) and given.asked_at >= held[-1]

    # --- doing

    def _do(
        self, rollout: Rollout, watched: _Watched, scene: Scene, step: Step, fence: int
    ) -> None:
        """Write the step down, then carry it out."""
        log.info("rollout %s: %s because %s", rollout.id, step.do, step.reason)
        moved = self._desk.rollouts.save(
            step.apply(rollout),
            fence,
            step.do.value,
            followup.content(step, rollout),
            self._entries(rollout, scene, step),
        )
        crash.point(WRITTEN, step.do.value)
        self._carry_out(moved, watched, fence)

    def _carry_out(self, rollout: Rollout, watched: _Watched, fence: int) -> None:
        """Act on the newest written step, do what follows, and write that it is done."""
        begun = self._begun(rollout)
        if begun is None:
            return
        if begun.do is Do.RESUME and rollout.phase:
            # The watchdog may have acted on the hold; from here on it has to watch again.
            watchdog.arm(self._lease_file(rollout), self._lease(rollout, watched, fence))
        self._act(rollout, watched, fence)
        crash.point(ACTED, begun.do.value)
        if begun.do is Do.SHIFT:  # requests before this moment were not this phase's
            rollout = replace(rollout, phase_started_at=self._desk.store.now())
        self._following.of(rollout, begun, fence)
        crash.point(FOLLOWED, begun.do.value)
        self._desk.rollouts.save(rollout, fence, DONE, {"step": begun.sequence})
        if rollout.state in canary.TERMINAL:
            self._watched.pop(rollout.id).monitor.close()
            self._replays.end(rollout.id)

    def _begun(self, rollout: Rollout) -> followup.Begun | None:
        """Return the newest step if it was written and not done."""
        for event in reversed(self._desk.rollouts.events(rollout.id)):
            if event.kind == DONE:
                return None
            if (begun := followup.read(event)) is not None:
                return begun
        return None

    def _act(self, rollout: Rollout, watched: _Watched, fence: int) -> None:
        """Make production what the rollout's state says; every call may be repeated."""
        token, plan = str(fence), DeploymentPlan.model_validate(rollout.plan)
        state, deployer = rollout.state, watched.deployer
        if state is RolloutState.PREPARING:
            deployer.prepare(plan, token)
        elif state is RolloutState.ARMED:
            self._arm(rollout, plan, watched, fence)
        elif state is RolloutState.BAKING:
            self._renew(rollout, watched, fence)
            deployer.set_weight(rollout.phase, token)
        elif state is RolloutState.PROMOTING:
            self._renew(rollout, watched, fence)  # bringing up all of it takes its time
            deployer.promote(token)
        elif state is RolloutState.TAKING_BACK:
            deployer.take_back(canary.safe_revision(rollout), token)
        elif state in canary.TERMINAL:
            watchdog.disarm(self._lease_file(rollout))

    def _arm(self, rollout: Rollout, plan: DeploymentPlan, watched: _Watched, fence: int) -> None:
        """Rehearse the way back for real, then arm the watchdog; without either nothing shifts."""
        done = rehearsal.rehearse(watched.deployer, plan, str(fence))
        told = plan.model_copy(update={"rehearsal": done.text})
        stage = self._desk.stages.get(rollout.stage_run).stage
        entry = entries.plan(rollout.id, told.model_dump(mode="json"), stage)
        if not done.passed:
            self._desk.rollouts.request(rollout.id, Act.TAKE_BACK, MACHINE)
            self._desk.rollouts.save(rollout, fence, "rehearsal failed", {}, (entry,))
            return
        self._desk.rollouts.save(rollout, fence, "rehearsed", {"text": done.text}, (entry,))
        watchdog.arm(self._lease_file(rollout), self._lease(rollout, watched, fence))

    # --- waiting

    def _wait(
        self, rollout: Rollout, watched: _Watched, scene: Scene, step: Step, fence: int
    ) -> None:
        if rollout.state in canary.MOVED or rollout.state is RolloutState.ARMED:
            self._renew(rollout, watched, fence)
        if rollout.state not in canary.MOVED or not rollout.phase:
            return
        self._take_over(rollout, watched, scene, fence)
        plan = DeploymentPlan.model_validate(rollout.plan)
        phase = canary.phase_of(plan, rollout.phase)
        bake = self._timing.real(phase.bake_seconds) if phase else timedelta()
        every = max(bake / UPDATE_PARTS, LEAST_UPDATE)
        if watched.updated_at is None or scene.now - watched.updated_at >= every:
            watched.updated_at = scene.now
            self._desk.timeline.append(
                rollout.incident, self._phase_entry(rollout, scene, step), MACHINE
            )

    def _take_over(self, rollout: Rollout, watched: _Watched, scene: Scene, fence: int) -> None:
        """Show production the newest leader, where it only waits and so commands nothing.

        Else a leader that was stopped in the middle of a command, and goes on, would be obeyed.
        """
        seen = scene.observed
        if seen is None or seen.fence >= fence or seen.weight != rollout.phase:
            return
        try:
            watched.deployer.set_weight(rollout.phase, str(fence))
        except errors.TemporaryFailure as error:
            log.warning("rollout %s: production has not seen its leader: %s", rollout.id, error)

    def _phase_entry(self, rollout: Rollout, scene: Scene, step: Step) -> Draft:
        started = rollout.phase_started_at
        mine = [b for b in scene.buckets if started is None or b.start >= started]
        own = [b for b in scene.replayed if started is None or b.start >= started]
        left = None if rollout.deadline is None else max(rollout.deadline - scene.now, timedelta())
        return entries.phase(
            rollout, mine, left=left, gate=_gate_json(step.report), following=step.reason,
            replayed=own,
        )  # fmt: skip

    def _entries(self, rollout: Rollout, scene: Scene, step: Step) -> tuple[Draft, ...]:
        """Return what the thread is told of a step."""
        moved = step.apply(rollout)
        told: list[Draft] = []
        if rollout.phase and rollout.state in canary.MOVED:
            told.append(self._phase_entry(rollout, scene, step))
        if step.do is Do.SHIFT:
            told.append(
                entries.phase(
                    moved,
                    (),
                    left=None if moved.deadline is None else moved.deadline - scene.now,
                    gate={},
                    following=step.reason,
                )
            )
        if step.do in (Do.HOLD, Do.GIVE_UP):
            told.append(entries.held(rollout, step.reason))
        if step.do is Do.TAKE_BACK and rollout.state is not RolloutState.TAKING_BACK:
            revision = canary.safe_revision(rollout)
            told.append(
                entries.taken_back(rollout, revision, step.reason, broken=step.returns_to_broken)
            )
        return tuple(told)

    # --- the watchdog, and what was begun

    def _lease_file(self, rollout: Rollout) -> Path:
        return self._desk.folder / "watchdog" / f"{rollout.id}.json"

    def _lease(self, rollout: Rollout, watched: _Watched, fence: int) -> watchdog.Lease:
        proven = bool(rollout.passed_phases) and watched.better
        back = watched.deployer.take_back_argv(canary.safe_revision(rollout), str(fence))
        return watchdog.Lease(
            on_expiry=watchdog.HOLD if proven else watchdog.TAKE_BACK,
            take_back=tuple(back),
            seconds=self._timing.lease.total_seconds(),
        )

    def _renew(self, rollout: Rollout, watched: _Watched, fence: int) -> None:
        lease_file = self._lease_file(rollout)
        lease = self._lease(rollout, watched, fence)
        if not watchdog.renew(lease_file, lease) and not watchdog.acted(lease_file):
            watchdog.arm(lease_file, lease)  # the watchdog itself was killed

    def _in_time(self, rollout: Rollout, scene: Scene, begun: followup.Begun) -> bool:
        """Tell whether a step that was begun may still be carried out: nobody acted meanwhile."""
        if rollout.state not in COMMANDING:
            return True  # nothing moves; what people and the incident are owed is never too late
        if rollout.request is Act.TAKE_BACK and rollout.state is not RolloutState.TAKING_BACK:
            return False  # a command that does not get through must not stand before this one
        # A command that fails for a whole lease is not repeated blindly: what is seen decides.
        late = scene.now - begun.at > self._timing.lease
        away = scene.last_tick is not None and scene.now - scene.last_tick > self._timing.lease
        return not (scene.watchdog_acted or away or late)


def _asked_until(asked: list[Approval]) -> datetime | None:
    """Return when the newest question ends, or ended; None when it was answered or never asked."""
    unanswered = (ApprovalState.ASKED, ApprovalState.WITHDRAWN, ApprovalState.EXPIRED)
    return asked[-1].expires_at if asked and asked[-1].state in unanswered else None


def _last_tick(lease_file: Path) -> datetime | None:
    """Return when any controller last renewed the lease, None before it was armed."""
    try:
        return datetime.fromtimestamp(lease_file.stat().st_mtime, UTC)
    except OSError:
        return None


def _gate_json(report: gate.GateReport | None) -> Json:
    if report is None:
        return {}
    return {
        "result": report.result.value,
        "reason": report.reason.value,
        "missing_requests": report.missing_requests,
        "better": report.better,
        "replayed": report.replayed,
        "gates": [
            {"name": line.name, "result": line.result.value, "detail": line.detail}
            for line in report.gates
        ],
    }
