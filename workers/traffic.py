"""Carries out one rollout, tick by tick: sees, lets `rollout.canary` decide, writes down, acts.

Called by the controller alone, which holds the deploy credentials. What is to be done is written
before it is done; a controller that comes back within the lease does again what it finds written
and not done (every command of a deployer may be repeated), and a later one goes by what it sees.
"""

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from incidents import crash, entries, errors
from incidents.approvals import Question
from incidents.models import (
    MACHINE,
    Act,
    ApprovalState,
    Bucket,
    Json,
    Outcome,
    Rollout,
    RolloutState,
    RunMode,
    Stage,
    Version,
)
from incidents.reports import DeploymentPlan, Diagnosis, Patch
from incidents.stages import Ending
from incidents.timeline import Draft
from rollout import canary, gate, rehearsal, watchdog, wiring
from rollout import plan as plans
from rollout.canary import Do, Order, Scene, Seen, Step, Timing
from rollout.deployers.port import Deployer, Observed
from rollout.monitors.port import Monitor
from workers import cases
from workers.office import Office

log = logging.getLogger(__name__)
WRITTEN = crash.register("rollout.written", "the step is written, production has not moved")
ACTED = crash.register("rollout.acted", "production has moved, and nothing says so")

# How often the message of a phase is edited while nothing happens.
UPDATE_PARTS = 12
LEAST_UPDATE = timedelta(seconds=1)


@dataclass
class _Watched:
    """What one controller process remembers of a rollout between ticks; losing it costs nothing."""

    deployer: Deployer
    monitor: Monitor
    read_until: datetime
    unseen_since: datetime | None = None
    failing_since: datetime | None = None
    updated_at: datetime | None = None


class Traffic:
    """Ticks rollouts; one instance per controller process."""

    def __init__(self, desk: Office) -> None:
        self._desk = desk
        self._timing = Timing.scaled(desk.settings.time_scale)
        self._watched: dict[str, _Watched] = {}

    def tick(self, rollout_id: str, fence: int) -> None:
        """Look at a rollout once and do what the table says."""
        rollout = self._desk.rollouts.get(rollout_id)
        watched = self._watch(rollout)
        scene = self._scene(rollout, watched)
        if self._unfinished(rollout, scene):
            self._finish_what_was_begun(rollout, watched, fence)
            return
        step = canary.tick(rollout, scene, self._timing, self._gates(watched))
        if step.do is Do.WAIT:
            self._wait(rollout, watched, scene, step, fence)
        else:
            self._do(rollout, watched, scene, step, fence)

    def _gates(self, watched: _Watched) -> gate.Gates:
        return plans.default_gates(fingerprints=watched.monitor.fingerprints, hotfix=True)

    def _watch(self, rollout: Rollout) -> _Watched:
        if rollout.id not in self._watched:
            service = self._desk.service(rollout.service)
            self._watched[rollout.id] = _Watched(
                wiring.deployer(service, self._desk.folder),
                wiring.monitor(service, self._desk.folder, self._timing),
                read_until=rollout.created_at - 12 * self._timing.bucket,
            )
        return self._watched[rollout.id]

    # --- seeing

    def _scene(self, rollout: Rollout, watched: _Watched) -> Scene:
        now = self._desk.store.now()
        observed = self._observe(watched, now)
        self._read(rollout, watched, now)
        pending = [
            a for a in self._desk.approvals.pending(rollout.incident) if a.rollout == rollout.id
        ]
        return Scene(
            now=now,
            buckets=tuple(self._desk.rollouts.buckets(rollout.id)),
            observed=observed,
            unseen_since=watched.unseen_since,
            granted=self._granted(rollout),
            refused=self._refused(rollout),
            asked_until=pending[-1].expires_at if pending else None,
            order=self._order(rollout),
            last_tick=_last_tick(self._lease_file(rollout)),
            watchdog_acted=bool(watchdog.acted(self._lease_file(rollout))),
            source_failing_since=watched.failing_since,
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
        until = now - self._timing.lag
        since = watched.read_until - 2 * self._timing.bucket
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

    def _granted(self, rollout: Rollout) -> frozenset[str]:
        plan = DeploymentPlan.model_validate(rollout.plan)
        following = canary.next_phase(plan, rollout.phase)
        if following is None:
            return frozenset()
        if self._alone(rollout):
            return frozenset({f"through {plan.phases[-1].percent}"})
        scope = str(following.percent)
        given = self._desk.approvals.granted(rollout.id, scope, scope)
        return frozenset() if given is None else frozenset({given.scope})

    def _alone(self, rollout: Rollout) -> bool:
        """Tell whether the run mode lets the gates decide without a person."""
        service = self._desk.service(rollout.service)
        incident = self._desk.incidents.get(rollout.incident)
        mode = service.mode(incident.severity)
        if mode is not RunMode.AUTO:
            return False
        found = cases.latest(self._desk, incident, Stage.DIAGNOSE, Diagnosis)
        fix = cases.latest(self._desk, incident, Stage.PATCH, Patch)
        if found is None or fix is None:
            return False
        return plans.may_go_alone(mode, found.verdict, fix) is None

    def _refused(self, rollout: Rollout) -> bool:
        asked = self._desk.approvals.of_rollout(rollout.id)
        return bool(asked) and asked[-1].state is ApprovalState.REFUSED

    def _order(self, rollout: Rollout) -> Order | None:
        if rollout.request is Act.TAKE_BACK:
            return Order.TAKE_BACK
        if rollout.request is Act.HOLD and rollout.state is not RolloutState.HELD:
            return Order.HOLD
        return None

    # --- doing

    def _do(
        self, rollout: Rollout, watched: _Watched, scene: Scene, step: Step, fence: int
    ) -> None:
        """Write the step down, act, and write that it is done."""
        log.info("rollout %s: %s because %s", rollout.id, step.do, step.reason)
        moved = self._desk.rollouts.save(
            step.apply(rollout),
            fence,
            step.do.value,
            {"seen": step.seen.value, "reason": step.reason, "phase": step.phase, "to": step.to},
            self._entries(rollout, scene, step),
        )
        crash.point(WRITTEN, step.do.value)
        self._act(moved, watched, fence)
        crash.point(ACTED, step.do.value)
        if step.do is Do.SHIFT:  # requests before this moment were not this phase's
            moved = replace(moved, phase_started_at=self._desk.store.now())
        self._after(rollout, moved, scene, step, fence)
        self._desk.rollouts.save(moved, fence, f"{step.do.value} done", {})

    def _act(self, rollout: Rollout, watched: _Watched, fence: int) -> None:
        """Make production what the rollout's state says; every call may be repeated."""
        token, plan = str(fence), DeploymentPlan.model_validate(rollout.plan)
        state, deployer = rollout.state, watched.deployer
        if state is RolloutState.PREPARING:
            deployer.prepare(plan, token)
        elif state is RolloutState.ARMED:
            self._arm(rollout, plan, watched, fence)
        elif state is RolloutState.BAKING:
            self._renew(rollout, watched, fence, None)
            deployer.set_weight(rollout.phase, token)
        elif state is RolloutState.PROMOTING:
            deployer.promote(token)
        elif state is RolloutState.TAKING_BACK:
            deployer.take_back(canary.safe_revision(rollout), token)
        elif state in canary.TERMINAL:
            watchdog.disarm(self._lease_file(rollout))

    def _arm(self, rollout: Rollout, plan: DeploymentPlan, watched: _Watched, fence: int) -> None:
        """Rehearse the way back for real, then arm the watchdog; without either nothing shifts."""
        done = rehearsal.rehearse(watched.deployer, plan, str(fence))
        told = plan.model_copy(update={"rehearsal": done.text})
        entry = entries.plan(rollout.id, told.model_dump(mode="json"))
        if not done.passed:
            self._desk.rollouts.request(rollout.id, Act.TAKE_BACK, MACHINE)
            self._desk.rollouts.save(rollout, fence, "rehearsal failed", {}, (entry,))
            return
        self._desk.rollouts.save(rollout, fence, "rehearsed", {"text": done.text}, (entry,))
        watchdog.arm(self._lease_file(rollout), self._lease(rollout, watched, fence, None))

    def _after(
        self, before: Rollout, rollout: Rollout, scene: Scene, step: Step, fence: int
    ) -> None:
        """Spend approvals, ask the next question, and move the stage run."""
        if step.do is Do.SHIFT:
            self._spend(before, rollout)
        if step.do is Do.ASK and step.next_percent is not None:
            self._ask(rollout, step)
        if before.request is not None and step.do in (Do.HOLD, Do.TAKE_BACK, Do.CANCEL):
            self._desk.rollouts.clear_request(rollout.id, fence)
        run = self._desk.stages.get(rollout.stage_run)
        if step.do is Do.MITIGATED:
            self._desk.stages.milestone(run.id, run.fence, Ending(Outcome.FULL))
        elif step.do is Do.HOLD and step.call_people:
            self._desk.stages.milestone(
                run.id, run.fence, Ending(Outcome.HELD, human=_held_sentence(step))
            )
        elif rollout.state in canary.TERMINAL:
            self._end(rollout, step)

    def _spend(self, before: Rollout, rollout: Rollout) -> None:
        scope = str(rollout.phase)
        given = self._desk.approvals.granted(rollout.id, scope, scope)
        if given is not None:
            self._desk.approvals.use(given.id, scope)

    def _ask(self, rollout: Rollout, step: Step) -> None:
        incident = self._desk.incidents.get(rollout.incident)
        found = cases.latest(self._desk, incident, Stage.DIAGNOSE, Diagnosis)
        self._desk.approvals.ask(
            Question(
                incident=rollout.incident,
                service=rollout.service,
                act=Act.EXPAND,
                scope=str(step.next_percent),
                patch_digest=rollout.patch_digest,
                plan_hash=rollout.plan_hash,
                key=f"{rollout.id}-{step.next_percent}-{len(self._desk.rollouts.events(rollout.id))}",
                rollout=rollout.id,
                verdict=found.verdict if found else None,
                gate=step.report.result if step.report else None,
                expires=self._timing.approval,
            )
        )

    def _end(self, rollout: Rollout, step: Step) -> None:
        """End the deploy run; what follows is the lifecycle's to say."""
        if rollout.state is RolloutState.DONE:
            self._deliver(rollout)
        run = self._desk.stages.get(rollout.stage_run)
        if run.outcome is not None:
            return
        self._desk.stages.finish(
            run.id,
            run.fence,
            Ending(_outcome(rollout, step), report=rollout.plan, human=_human(rollout, step)),
        )
        self._watched.pop(rollout.id, None)

    def _deliver(self, rollout: Rollout) -> None:
        """Bring the fix to the release branch, so that the next ordinary deploy keeps it."""
        incident = self._desk.incidents.get(rollout.incident)
        service = self._desk.service(rollout.service)
        fix = cases.latest(self._desk, incident, Stage.PATCH, Patch)
        if fix is None:
            return
        delivery = wiring.delivery(service, self._desk.folder)
        message = f"{fix.title}\n\nIncident: {incident.id}"
        try:
            merged = delivery.merge(delivery.branch(incident.id, fix, message), service.branch)
        except errors.PermanentFailure as error:
            entry = entries.trouble(error.message, f"merge halon/{incident.id} by hand")
            self._desk.timeline.append(incident.number, entry, MACHINE)
            return
        where = merged.text
        entry = entries.delivered(service.branch, merged.revision or rollout.revision, where)
        self._desk.timeline.append(incident.number, entry, MACHINE)
        if not merged.merged:
            self._desk.action_items.add(
                incident.number,
                f"Bring the fix of {incident.id} into {service.branch}: until then the next "
                f"ordinary deploy brings the incident back. {merged.text}",
                ", ".join(service.owners) or "the owners of the service",
                self._desk.store.now() + timedelta(days=1),
                None,
                MACHINE,
            )

    # --- waiting

    def _wait(
        self, rollout: Rollout, watched: _Watched, scene: Scene, step: Step, fence: int
    ) -> None:
        if rollout.state in canary.MOVED or rollout.state is RolloutState.ARMED:
            self._renew(rollout, watched, fence, step.report)
        if rollout.state not in canary.MOVED or not rollout.phase:
            return
        plan = DeploymentPlan.model_validate(rollout.plan)
        phase = canary.phase_of(plan, rollout.phase)
        bake = self._timing.real(phase.bake_seconds) if phase else timedelta()
        every = max(bake / UPDATE_PARTS, LEAST_UPDATE)
        if watched.updated_at is None or scene.now - watched.updated_at >= every:
            watched.updated_at = scene.now
            self._desk.timeline.append(
                rollout.incident, self._phase_entry(rollout, scene, step), MACHINE
            )

    def _phase_entry(self, rollout: Rollout, scene: Scene, step: Step) -> Draft:
        started = rollout.phase_started_at
        mine = [b for b in scene.buckets if started is None or b.start >= started]
        left = None if rollout.deadline is None else max(rollout.deadline - scene.now, timedelta())
        return entries.phase(
            rollout, mine, left=left, gate=_gate_json(step.report), following=step.reason
        )

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

    def _lease(
        self, rollout: Rollout, watched: _Watched, fence: int, report: gate.GateReport | None
    ) -> watchdog.Lease:
        proven = bool(rollout.passed_phases) and report is not None and report.better
        back = watched.deployer.take_back_argv(canary.safe_revision(rollout), str(fence))
        return watchdog.Lease(
            on_expiry=watchdog.HOLD if proven else watchdog.TAKE_BACK,
            take_back=tuple(back),
            seconds=self._timing.lease.total_seconds(),
        )

    def _renew(
        self, rollout: Rollout, watched: _Watched, fence: int, report: gate.GateReport | None
    ) -> None:
        lease_file = self._lease_file(rollout)
        lease = self._lease(rollout, watched, fence, report)
        if not watchdog.renew(lease_file, lease) and not watchdog.acted(lease_file):
            watchdog.arm(lease_file, lease)  # the watchdog itself was killed

    def _unfinished(self, rollout: Rollout, scene: Scene) -> bool:
        """Tell whether the last step was written and not done, and we are back in time to do it."""
        events = [e for e in self._desk.rollouts.events(rollout.id) if e.kind != "request"]
        if not events or events[-1].kind.endswith(" done") or scene.watchdog_acted:
            return False
        begun = events[-1].at
        return scene.now - begun <= self._timing.lease or rollout.state in canary.TERMINAL

    def _finish_what_was_begun(self, rollout: Rollout, watched: _Watched, fence: int) -> None:
        begun = [e for e in self._desk.rollouts.events(rollout.id) if e.kind != "request"][-1]
        log.warning("rollout %s: %s was begun and not done; doing it again", rollout.id, begun.kind)
        self._act(rollout, watched, fence)
        self._desk.rollouts.save(rollout, fence, f"{begun.kind} done", {"again": True})


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
        "gates": [
            {"name": line.name, "result": line.result.value, "detail": line.detail}
            for line in report.gates
        ],
    }


def _outcome(rollout: Rollout, step: Step) -> Outcome:
    if rollout.state is RolloutState.DONE:
        return Outcome.DONE
    if rollout.state is RolloutState.TAKEN_BACK:
        return Outcome.TAKEN_BACK
    if rollout.state is RolloutState.FAILED:
        return Outcome.FAILED
    return {Seen.REFUSED: Outcome.REFUSED, Seen.SILENT: Outcome.EXPIRED}.get(
        step.seen, Outcome.CANCELLED
    )


def _held_sentence(step: Step) -> str:
    return (
        f"The canary is held: {step.reason}. `/incident approve` lets it grow, "
        "`/incident rollback` takes it back."
    )


def _human(rollout: Rollout, step: Step) -> str:
    if rollout.state is RolloutState.FAILED:
        return (
            "Taking back did not work. Run the command of the deployment plan by hand, now: it "
            "needs nothing of Halon."
        )
    return f"The rollout ended: {step.reason}."
