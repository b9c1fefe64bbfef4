"""The deploy stage: the fix as a commit on a branch, the plan, and the question to the approvers.

Called by `workers.stages`. It writes what is to be done and gives the worker back; the controller
alone moves traffic (`workers.traffic`), and it ends this run when the rollout has ended.
"""

import contextlib
import shlex
from collections.abc import Callable
from datetime import timedelta

from agents import case, git
from agents.builtin import caution
from agents.engine import Role
from incidents import crash, entries, errors, models, reports
from incidents.approvals import THROUGH, Question
from incidents.models import (
    MACHINE,
    Act,
    ChangeKind,
    Outcome,
    Rollout,
    RolloutState,
    RunMode,
    SafeVersion,
    Stage,
    Verdict,
)
from incidents.stages import Ending
from rollout import plan as plans
from rollout import probe, replaying, sources, wiring
from rollout.canary import Timing
from rollout.deployers import port
from workers import cases, playing
from workers.job import Job

BRANCHED = crash.register("plan.branched", "the fix is a pushed branch, no rollout knows of it")
STORED = crash.register("plan.stored", "the rollout is stored, nobody was told or asked")
ASKED = crash.register("plan.asked", "people are asked, the worker still holds the run")


def plan(job: Job) -> Ending | None:
    """Plan the rollout of the tested patch and ask for its start; None: the controller goes on."""
    if _stored(job) is None and (other := taken(job)) is not None:
        said = f"waiting for rollout {other.id}: one stage at a time changes production"
        told = (entries.progress(job.run, said),)
        job.office.stages.wait(job.run.id, job.run.fence, told)
        return None  # the controller wakes this run when production is free
    return submit(job, _planned, Act.START)


def taken(job: Job) -> Rollout | None:
    """Return another open rollout of the service; one that is only an offer is asked to give way.

    An offer that has its yes is no offer any more and goes first.
    """
    others = [
        one
        for one in job.office.rollouts.open_rollouts(job.service.name)
        if one.stage_run != job.run.id
    ]
    for other in others if job.run.stage is Stage.DEPLOY else ():
        offered = job.office.stages.get(other.stage_run).stage is Stage.CONTAIN
        waits = offered and other.state is RolloutState.PLANNED
        if waits and job.office.approvals.drop(other.id):
            job.office.rollouts.request(other.id, Act.TAKE_BACK, MACHINE)
    return others[0] if others else None


def submit(job: Job, planned: Callable[[Job], Rollout | Ending], act: Act) -> Ending | None:
    """Store the planned rollout, show its plan, ask for it; None: the controller goes on."""
    rollout = _stored(job)
    if rollout is None:
        made = planned(job)
        if isinstance(made, Ending):
            return made
        try:
            rollout = job.office.rollouts.create(made, job.run.fence)
        except errors.WrongState as error:  # another one came between the look and now
            raise errors.TemporaryFailure(error.message, incident_id=job.incident.id) from error
    crash.point(STORED)
    # The plan stands above the question: nobody should answer before having read it.
    entry = entries.plan(rollout.id, rollout.plan, job.run.stage)
    job.office.timeline.append_once(job.incident.number, entry, MACHINE)
    _ask(job, rollout, act)
    crash.point(ASKED)
    job.office.stages.wait(job.run.id, job.run.fence)
    return None


def _stored(job: Job) -> Rollout | None:
    """Return the rollout that an earlier life of this run stored: it may be under way by now."""
    try:
        return job.office.rollouts.get(_name(job))
    except errors.NotFound:
        return None


def _name(job: Job) -> str:
    return f"R{job.run.id}"


def _planned(job: Job) -> Rollout | Ending:
    """Return the rollout that is to be asked for, or why there can be none."""
    refused = _refusal(job)
    if refused is not None:
        return Ending(Outcome.REFUSED, human=refused)
    fix = cases.fix(job.office, job.incident)
    if fix is None:
        raise errors.PermanentFailure("There is no patch to deploy.", incident_id=job.incident.id)
    made = _made(job, fix)
    crash.point(BRANCHED)
    made = _worded(job, made)
    problems = wiring.deployer(job.service, job.office.folder).preflight(made)
    problems += _blindness(job)
    _, unoffered = replaying.offered(job.service)
    problems += [port.Problem(unoffered, fatal=False)] if unoffered else []
    fatal = [problem.text for problem in problems if problem.fatal]
    if fatal:
        return Ending(Outcome.REFUSED, human="The rollout cannot start: " + "; ".join(fatal) + ".")
    doubts = tuple(problem.text for problem in problems)
    return rollout(job, made.model_copy(update={"gaps": (*made.gaps, *doubts)}))


def _blindness(job: Job) -> list[port.Problem]:
    """Return what would keep the monitor from judging; one label for both versions is fatal."""
    timing = Timing.scaled(job.office.settings.time_scale)
    paced = sources.pace(job.service, timing)
    monitor = wiring.monitor(job.service, job.office.folder, paced)
    with contextlib.closing(monitor):
        found = probe.problems(monitor, job.office.store.now() - paced.lag, probe.back(paced))
    return [port.Problem(text, fatal=text == probe.ONE_LABEL) for text in found]


def _worded(job: Job, made: reports.DeploymentPlan) -> reports.DeploymentPlan:
    """Let the deployment-coordinator put the plan into words; no figure of it changes."""
    if not job.engine.plays(Role.DEPLOYMENT_COORDINATOR):
        return made
    told = playing.play(job, Role.DEPLOYMENT_COORDINATOR, case.History(plan=made))
    return told if isinstance(told, reports.DeploymentPlan) else made


def _refusal(job: Job) -> str | None:
    """Return why nothing may be deployed here, as a sentence for a person."""
    if job.service.deploy is None:
        return (
            f"{job.service.name} has no [service.deploy] in halon.toml, so Halon cannot roll out. "
            "The tested patch is in the report above: `git apply` it and deploy it your way, "
            "then say `/incident mitigated WHAT`."
        )
    if job.service.mode(job.incident.severity) is RunMode.READ_ONLY:
        return (
            f"The run mode of {job.service.name} is read_only. The tested patch is in the report "
            "above; deploy it your way, then say `/incident mitigated WHAT`."
        )
    return None


def _made(job: Job, fix: reports.Patch) -> reports.DeploymentPlan:
    timing = Timing.scaled(job.office.settings.time_scale)
    deployer = wiring.deployer(job.service, job.office.folder)
    delivery = wiring.delivery(job.service, job.office.folder, job.office.settings.credentials)
    branched = delivery.branch(job.incident.id, fix, f"{fix.title}\n\nIncident: {job.incident.id}")
    seen = deployer.observe()
    if seen.stable_revision is None:
        raise errors.PermanentFailure(
            f"No revision of {job.service.name} is in production, so there is nothing to compare "
            "a canary with; deploy one first.",
            incident_id=job.incident.id,
        )
    good = _last_good(job, fix)
    with cases.repository(job.office, job.service) as mirror:
        guarded = cases.protected_paths(mirror, job.service, fix)
    subject = plans.Subject(
        protected=guarded,
        service=job.service.name,
        driver=job.service.deploy.driver if job.service.deploy else "",
        severity=job.incident.severity,
        patch=fix,
        revision=branched.revision,
        stable_revision=seen.stable_revision,
        last_good_revision=good,
        migrates=_migrates(job, good, seen.stable_revision),
        stable_carries_incident=_carries(job, fix, seen.stable_revision),
    )
    monitor = wiring.monitor(job.service, job.office.folder, timing)
    safe = plans.choose_safe(subject)
    carries = subject.stable_carries_incident
    replay, _ = replaying.offered(job.service)
    return plans.build_plan(
        subject,
        abilities=deployer.abilities,
        gates=plans.default_gates(fingerprints=monitor.fingerprints, hotfix=carries),
        requests_per_minute=traffic(job, timing),
        rollback_command=shlex.join(deployer.take_back_argv(safe.revision, port.NEWEST)),
        replay=replay,
    )


def _carries(job: Job, fix: reports.Patch, stable: str) -> bool:
    """Tell whether production still runs the incident; what nobody knows counts as yes."""
    for run in job.office.incidents.runs(job.incident.number):
        if (run.stage, run.outcome) == (Stage.CONTAIN, Outcome.VERIFIED) and run.report is not None:
            returned = reports.DeploymentPlan.model_validate(run.report)
            if returned.revision == stable:  # production itself has shown that it is healthy
                return False
    if fix.culprit is None:
        return True
    with cases.repository(job.office, job.service) as mirror:
        return contains(mirror, stable, fix.culprit)


def _last_good(job: Job, fix: reports.Patch) -> str | None:
    """Return the newest revision that ran in production and does not contain the culprit."""
    found = cases.diagnosis(job.office, job.incident)
    if fix.culprit is None:
        return found.good_revision if found else None
    deploys = [
        change.after
        for change in cases.learn_changes(job.office, job.service)
        if change.kind is ChangeKind.DEPLOY and change.after
    ]
    with cases.repository(job.office, job.service) as mirror:
        for revision in reversed(deploys):
            if not contains(mirror, revision, fix.culprit):
                return mirror.resolve(revision)
    return None  # a revision that never ran in production is no version to flee to


def _migrates(job: Job, good: str | None, stable: str) -> bool:
    """Tell whether data written since the last good version may not fit it any more."""
    if good is None:
        return False
    with cases.repository(job.office, job.service) as mirror:
        return migrates(mirror, good, stable)


def migrates(mirror: git.Repository, old: str, new: str) -> bool:
    """Tell whether a migration lies between two revisions; yes when the repository cannot say."""
    try:
        return any(caution.MIGRATION.search(one.path) for one in mirror.diff_trees(old, new))
    except errors.NotFound:
        return True


def contains(mirror: git.Repository, revision: str, culprit: str) -> bool:
    """Tell whether a revision has the culprit in it; yes when the repository cannot say."""
    try:
        return mirror.is_ancestor(culprit, mirror.resolve(revision))
    except errors.NotFound:
        return True  # not ours to judge, so not safe either


def traffic(job: Job, timing: Timing) -> float | None:
    """Return requests per minute of late, None when nothing was measured.

    Two minutes are looked at, more where the monitor knows of them late. One that does not answer
    is a gap of the plan, which `_blindness` names; it must not keep people from deciding.
    """
    paced = sources.pace(job.service, timing)
    monitor = wiring.monitor(job.service, job.office.folder, paced)
    until = job.office.store.now()
    since = until - max(timedelta(minutes=2), paced.gap)
    try:
        with contextlib.closing(monitor):
            buckets = monitor.buckets(models.Version.STABLE, since, until)
    except errors.TemporaryFailure:
        return None
    counted = [bucket for bucket in buckets if bucket.requests is not None]
    seconds = sum(bucket.seconds for bucket in counted)
    return sum(b.requests or 0 for b in counted) / seconds * 60 if seconds else None


def rollout(job: Job, made: reports.DeploymentPlan) -> Rollout:
    """Return the rollout of a plan, before anything of it has moved."""
    return Rollout(
        id=_name(job),
        incident=job.incident.number,
        stage_run=job.run.id,
        service=job.service.name,
        state=RolloutState.PLANNED,
        revision=made.revision,
        stable_revision=made.stable_revision,
        last_good_revision=made.last_good_revision,
        patch_digest=made.patch_digest,
        plan=made.model_dump(mode="json"),
        plan_hash="",  # the store sets it
        phase=0,
        phase_started_at=None,
        deadline=None,
        safe_version=SafeVersion(made.safe_version),
        latched=False,
        fence=0,
        created_at=job.office.store.now(),
    )


def _ask(job: Job, rollout: Rollout, act: Act) -> None:
    phases = reports.DeploymentPlan.model_validate(rollout.plan).phases
    found = cases.diagnosis(job.office, job.incident)
    job.office.approvals.ask(
        Question(
            incident=job.incident.number,
            service=job.service.name,
            act=act,
            scope=_scope(act, phases),
            patch_digest=rollout.patch_digest,
            plan_hash=rollout.plan_hash,
            key=f"{rollout.id}-start",
            rollout=rollout.id,
            verdict=found.verdict if found else _UNDIAGNOSED[act],
            expires=Timing.scaled(job.office.settings.time_scale).approval,
        )
    )


# The way back is offered before anything is diagnosed, and rests on what production showed.
_UNDIAGNOSED = {Act.START: Verdict.INCONCLUSIVE, Act.REDEPLOY: None}


def _scope(act: Act, phases: tuple[reports.PhasePlan, ...]) -> str:
    """Return how far a yes reaches: a fix is asked for step by step, the way back once."""
    return f"{THROUGH}{phases[-1].percent}" if act is Act.REDEPLOY else str(phases[0].percent)
