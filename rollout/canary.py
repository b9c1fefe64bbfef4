"""One tick of a rollout: from what is seen to what is done now.

Called by the controller every second for each open rollout. Pure: the clock, the buckets, the
approvals and what production shows are arguments, and the answer is data. Two steps: `see` boils
everything down to one word, and the table `ACTS` says what that word means in each state.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from incidents.models import Bucket, Result, Rollout, RolloutState, SafeVersion, Version
from incidents.reports import DeploymentPlan, PhasePlan
from rollout import gate
from rollout.acts import ACTS as ACTS
from rollout.acts import AFTER
from rollout.acts import MOVED as MOVED
from rollout.acts import TERMINAL as TERMINAL
from rollout.acts import Do as Do
from rollout.acts import Order as Order
from rollout.acts import Seen as Seen
from rollout.deployers.port import Observed
from rollout.plan import BACK_TO_SAFETY, looks, planned_buckets
from rollout.timing import Timing as Timing


@dataclass(frozen=True)
class Scene:
    """All that one tick may look at beside the rollout itself."""

    now: datetime
    buckets: tuple[Bucket, ...]
    observed: Observed | None  # None: production cannot be seen now
    unseen_since: datetime | None = None
    granted: frozenset[str] = frozenset()  # scopes such as "10" or "through 100", verified
    refused: bool = False
    asked_until: datetime | None = None  # when the open question expires
    asked_unsure: bool = False  # the open question was asked without a PASS
    order: Order | None = None
    last_tick: datetime | None = None  # of any controller, for this rollout
    watchdog_acted: bool = False
    source_failing_since: datetime | None = None
    replayed: tuple[Bucket, ...] = ()  # Halon's own requests, where the plan has them


@dataclass(frozen=True)
class Step:
    """What to do now, and the rollout's new values; written down before it is done."""

    do: Do
    seen: Seen
    state: RolloutState
    phase: int
    phase_started_at: datetime | None
    deadline: datetime | None
    due: datetime
    reason: str
    report: gate.GateReport | None = None
    latched: bool = False
    passed_phases: tuple[int, ...] = ()
    extended: bool = False
    call_people: bool = False
    to: str | None = None  # the revision a take-back leads to
    next_percent: int | None = None  # what a question is about
    returns_to_broken: bool = False

    def apply(self, rollout: Rollout) -> Rollout:
        """Return the rollout as it is once this step is recorded."""
        return replace(
            rollout,
            state=self.state,
            phase=self.phase,
            phase_started_at=self.phase_started_at,
            deadline=self.deadline,
            latched=self.latched,
            passed_phases=self.passed_phases,
            extended=self.extended,
            reason=self.reason,
            result=self.report.result if self.report else rollout.result,
        )


def safe_revision(rollout: Rollout) -> str:
    """Return the revision that "take back" leads to."""
    if rollout.safe_version is SafeVersion.LAST_GOOD and rollout.last_good_revision:
        return rollout.last_good_revision
    return rollout.stable_revision


def covers(scope: str, percent: int) -> bool:
    """Return whether an approval's scope, such as "10" or "through 100", covers a phase."""
    words = scope.split()
    if len(words) == 2 and words[0] == "through" and words[1].isdecimal():
        return percent <= int(words[1])
    return scope == str(percent)


def next_phase(plan: DeploymentPlan, percent: int) -> PhasePlan | None:
    """Return the phase after a weight, or None after the last."""
    return next((phase for phase in plan.phases if phase.percent > percent), None)


def phase_of(plan: DeploymentPlan, percent: int) -> PhasePlan | None:
    """Return the phase with this weight."""
    return next((phase for phase in plan.phases if phase.percent == percent), None)


def tick(rollout: Rollout, scene: Scene, timing: Timing, gates: gate.Gates) -> Step:
    """Return what to do now about a rollout; `WAIT` when nothing is."""
    plan = DeploymentPlan.model_validate(rollout.plan)
    report = _judge(rollout, plan, scene, timing, gates)
    seen = see(rollout, plan, scene, timing, report)
    do = ACTS[rollout.state][seen]
    if do is Do.ASK and rollout.phase == 100:
        # There is no next phase to ask for: the verdict is the news, its absence the worry.
        do = Do.MITIGATED if seen is Seen.PASS else Do.HOLD
    return _step(rollout, plan, scene, timing, _Seeing(seen, do, report))


def _judge(
    rollout: Rollout, plan: DeploymentPlan, scene: Scene, timing: Timing, gates: gate.Gates
) -> gate.GateReport | None:
    if rollout.state not in MOVED or not rollout.phase:
        return None
    failing = scene.source_failing_since
    look = gate.Look(
        now=scene.now - timing.lag,
        since=rollout.phase_started_at,
        weight=rollout.phase,
        stale_after=timing.stale + 2 * timing.bucket,
        latched=rollout.latched,
        source_failing=failing is not None and scene.now - failing > timing.gap,
    )
    planned = planned_buckets(plan.phases)
    users = gate.judge(scene.buckets, gates, planned, look)
    if not scene.replayed:
        return users
    # As many are asked of either version, and their answers tell no errors apart.
    even = replace(look, weight=50, source_failing=False)
    return gate.joined(
        users, gate.judge(scene.replayed, replace(gates, new_errors=False), planned, even)
    )


def see(
    rollout: Rollout,
    plan: DeploymentPlan,
    scene: Scene,
    timing: Timing,
    report: gate.GateReport | None,
) -> Seen:
    """Return the one word for this look: dangers first, then people, then the clock."""
    if scene.order is Order.TAKE_BACK:
        return Seen.ORDERED_BACK
    if rollout.state is RolloutState.TAKING_BACK:
        return _way_back(rollout, scene)
    if _foreign(rollout, scene.observed):
        return Seen.FOREIGN
    proven = bool(rollout.passed_phases) and report is not None and report.better
    if report is not None and report.result is Result.FAIL:
        return Seen.FAIL_BETTER if report.better else Seen.FAIL
    if rollout.state in MOVED and rollout.phase and _behind(rollout, plan, scene, timing):
        return Seen.BEHIND
    if rollout.state in MOVED and rollout.phase and _blind(rollout, scene, timing):
        # Held because nobody was watching: a person who lets it go on knows that.
        let_go = rollout.state is RolloutState.HELD and scene.order is Order.RESUME
        return (Seen.RESUMED if let_go else Seen.BLIND_PROVEN) if proven else Seen.BLIND
    if scene.refused:
        return Seen.REFUSED
    if scene.order is Order.HOLD:
        return Seen.ORDERED_HOLD
    if scene.order is Order.RESUME:
        return Seen.RESUMED
    if rollout.state in (RolloutState.PREPARING, RolloutState.ARMED) and scene.watchdog_acted:
        # It has returned to the safe version; no canary can be prepared beside that any more.
        return Seen.BLIND
    if rollout.state in (RolloutState.PREPARING, RolloutState.ARMED, RolloutState.PROMOTING):
        return _machines(rollout, plan, scene)
    if rollout.state is RolloutState.PLANNED:
        return _asked(rollout, plan, scene, proven=False)
    if rollout.state is RolloutState.AWAITING:
        return _asked(rollout, plan, scene, proven, report)
    if rollout.state in (RolloutState.BAKING, RolloutState.VALIDATING) and report is not None:
        return _clock(rollout, plan, scene, timing, report)
    return Seen.GOING


def _way_back(rollout: Rollout, scene: Scene) -> Seen:
    seen = scene.observed
    if (
        seen is not None
        and seen.settled
        and seen.weight == 0
        and seen.canary_revision is None
        and seen.stable_revision == safe_revision(rollout)
        and seen.stable_healthy
    ):
        return Seen.READY
    if rollout.deadline is not None and scene.now >= rollout.deadline:
        return Seen.OVER
    return Seen.NOT_READY


def _foreign(rollout: Rollout, seen: Observed | None) -> bool:
    """Return whether somebody else's revision is in production."""
    if seen is None:
        return False
    ours = {rollout.stable_revision, rollout.revision, rollout.last_good_revision}
    canaries = {None, rollout.revision}
    return seen.stable_revision not in ours | {None} or seen.canary_revision not in canaries


def _behind(rollout: Rollout, plan: DeploymentPlan, scene: Scene, timing: Timing) -> bool:
    """Return whether a controller died between writing a shift down and commanding it."""
    seen = scene.observed
    started = rollout.phase_started_at
    if seen is None or started is None or scene.watchdog_acted:
        return False
    before = {0, *(phase.percent for phase in plan.phases if phase.percent < rollout.phase)}
    untouched = seen.settled and seen.canary_healthy and seen.canary_revision == rollout.revision
    return untouched and seen.weight in before and scene.now - started <= timing.lease


def _blind(rollout: Rollout, scene: Scene, timing: Timing) -> bool:
    """Return whether the canary gets traffic while nobody can tell how it does, or could not."""
    if scene.watchdog_acted:
        return True
    if scene.last_tick is not None and scene.now - scene.last_tick > timing.lease:
        return True
    if scene.observed is None:
        since = scene.unseen_since
        return since is not None and scene.now - since > timing.gap
    if scene.observed.weight != rollout.phase:
        return True
    started = rollout.phase_started_at or scene.now
    measured = [
        bucket.start + timedelta(seconds=bucket.seconds)
        for bucket in scene.buckets
        if bucket.version is Version.CANARY and bucket.requests is not None
    ]
    newest = max([started, *measured])
    return scene.now - newest > timing.gap


def _machines(rollout: Rollout, plan: DeploymentPlan, scene: Scene) -> Seen:
    seen = scene.observed
    if rollout.state is RolloutState.PROMOTING:
        done = seen is not None and seen.settled and seen.canary_revision is None
        done = done and seen is not None and seen.stable_revision == rollout.revision
        return Seen.READY if done else Seen.NOT_READY
    ready = (
        seen is not None
        and seen.canary_revision == rollout.revision
        and seen.canary_healthy
        and seen.settled
        and seen.standby_healthy is not False
    )
    if not ready:
        late = rollout.deadline is not None and scene.now >= rollout.deadline
        return Seen.OVER if late and rollout.state is RolloutState.PREPARING else Seen.NOT_READY
    if rollout.state is RolloutState.PREPARING:
        return Seen.READY
    return _asked(rollout, plan, scene, proven=False)


def _asked(
    rollout: Rollout,
    plan: DeploymentPlan,
    scene: Scene,
    proven: bool,
    report: gate.GateReport | None = None,
) -> Seen:
    following = next_phase(plan, rollout.phase)
    if following is not None:
        exact = str(following.percent) in scene.granted
        # "Through 100 %" is given on the condition that every gate passes.
        open_ended = any(covers(scope, following.percent) for scope in scene.granted)
        passed = report is None or report.result is Result.PASS
        if exact or (open_ended and passed):
            return Seen.GRANTED
    until = scene.asked_until or rollout.deadline
    if until is not None and scene.now >= until:
        return Seen.SILENT_PROVEN if proven else Seen.SILENT
    if scene.asked_unsure and report is not None and report.result is Result.PASS:
        return Seen.PASS
    return Seen.GOING


def _clock(
    rollout: Rollout,
    plan: DeploymentPlan,
    scene: Scene,
    timing: Timing,
    report: gate.GateReport,
) -> Seen:
    """Return what the time says: a PASS counts at the fixed looks and after the end only."""
    phase = phase_of(plan, rollout.phase)
    if phase is None or rollout.phase_started_at is None:
        return Seen.GOING
    spent = scene.now - rollout.phase_started_at
    whole = timing.real(phase.bake_seconds)
    validating = rollout.state is RolloutState.VALIDATING
    at = [whole] if validating else [timing.real(look) for look in looks(phase)]
    # A tick comes up to a second after the look it is for; what matters is that one was reached
    # since the tick before.
    before = (scene.last_tick or scene.now) - rollout.phase_started_at
    reached = any(before < look <= spent for look in at) or spent >= whole
    if reached and report.result is Result.PASS:
        following = next_phase(plan, rollout.phase)
        granted = following is not None and any(
            covers(scope, following.percent) for scope in scene.granted
        )
        return Seen.GRANTED if granted else Seen.PASS
    if spent < (2 * whole if rollout.extended else whole):
        return Seen.GOING
    if not rollout.extended:
        return Seen.OVER
    if report.reason is gate.Reason.LOW_TRAFFIC:
        return Seen.THIN
    proven = bool(rollout.passed_phases) and report.better
    return Seen.BLIND_PROVEN if proven else Seen.BLIND


@dataclass(frozen=True)
class _Seeing:
    seen: Seen
    do: Do
    report: gate.GateReport | None


def _step(
    rollout: Rollout, plan: DeploymentPlan, scene: Scene, timing: Timing, what: _Seeing
) -> Step:
    do, report = what.do, what.report
    phase, started, deadline = rollout.phase, rollout.phase_started_at, rollout.deadline
    state = AFTER.get(do, rollout.state)
    extended, passed = rollout.extended, rollout.passed_phases
    following = next_phase(plan, rollout.phase)
    if report is not None and report.result is Result.PASS and do in _PASSING:
        passed = tuple(sorted({*passed, rollout.phase}))
    if do is Do.SHIFT and following is not None:
        phase, started, extended = following.percent, scene.now, False
        deadline = scene.now + timing.real(following.bake_seconds)
    elif do is Do.RESUME:
        state = _RESUMED.get(phase, RolloutState.BAKING)
        started, extended = (scene.now, False) if phase else (started, extended)
        deadline = scene.now + timing.prepare
    elif do is Do.EXTEND:
        extended = True
        deadline = scene.now + (scene.now - (started or scene.now))
    elif do is Do.ASK:
        deadline = scene.now + timing.approval
    elif do is Do.PREPARE and rollout.state is not RolloutState.PREPARING:
        deadline = scene.now + timing.prepare
    elif do is Do.TAKE_BACK and rollout.state is not RolloutState.TAKING_BACK:
        deadline = scene.now + timing.take_back
    elif do in (Do.TAKEN_BACK, Do.FINISH):
        phase = 0 if do is Do.TAKEN_BACK else 100
    failed = report is not None and report.result is Result.FAIL
    return Step(
        do=do,
        seen=what.seen,
        state=state,
        phase=phase,
        phase_started_at=started,
        deadline=deadline,
        due=scene.now + timedelta(seconds=1),
        reason=_why(rollout, what, following),
        report=report,
        latched=rollout.latched or failed,
        passed_phases=passed,
        extended=extended,
        call_people=do in (Do.HOLD, Do.TAKE_BACK, Do.GIVE_UP, Do.CANCEL) and state != rollout.state,
        to=safe_revision(rollout) if do is Do.TAKE_BACK else None,
        next_percent=following.percent if following is not None else None,
        returns_to_broken=do is Do.TAKE_BACK and _broken(rollout, plan),
    )


_RESUMED = {0: RolloutState.PREPARING, 100: RolloutState.VALIDATING}
_PASSING = frozenset({Do.SHIFT, Do.ASK, Do.MITIGATED, Do.PROMOTE})


def _broken(rollout: Rollout, plan: DeploymentPlan) -> bool:
    return rollout.safe_version is SafeVersion.STABLE and any(
        check.passed is False and check.text == BACK_TO_SAFETY for check in plan.checklist
    )


def _why(rollout: Rollout, what: _Seeing, following: PhasePlan | None) -> str:
    """Return the sentence that people read about this step."""
    words = [what.seen.value]
    if what.seen in (Seen.FAIL, Seen.FAIL_BETTER) and what.report is not None:
        failed = [g for g in what.report.gates if g.result is Result.FAIL]
        words += [f"{line.name}: {line.detail}" for line in failed] or ["failed at an earlier look"]
    if what.report is not None and what.report.replayed and what.report.result is Result.PASS:
        words.append("on replayed requests, since users' own are too few")
    if what.seen in (Seen.THIN, Seen.OVER) and what.report is not None:
        words.append(what.report.reason.value)
        if what.report.missing_requests:
            words.append(f"about {what.report.missing_requests} requests are missing")
    if what.do is Do.TAKE_BACK:
        words.append(f"back to {rollout.safe_version.value} {safe_revision(rollout)[:12]}")
    if what.do is Do.SHIFT and following is not None:
        words.append(f"{following.percent} % of the traffic to {rollout.revision[:12]}")
    return "; ".join(words)
