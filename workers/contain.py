"""The contain stage: the way back to the last good version, planned and offered, never begun alone.

Called by `workers.stages`. It chooses the version, writes the plan, asks the approvers and gives
the worker back; the controller moves traffic after a yes, through the same gates as for a fix.
"""

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from agents import git
from agents.builtin import logs
from incidents import entries, errors, mitigations, models, reports
from incidents.models import Act, Change, ChangeKind, Outcome, Rollout, RunMode, Stage
from incidents.stages import Ending
from rollout import plan as plans
from rollout import wiring
from rollout.canary import Timing
from rollout.deployers import port
from workers import cases, deploy
from workers.job import Job

# A deploy this long before the onset is suspect: what a release breaks shows while it is validated,
# and DESIGN's validation takes 30 minutes. Later failures have other causes as a rule.
WINDOW = timedelta(minutes=30)
# Logs are counted in buckets and a deploy is written down when it is done, so a deploy that broke
# everything may stand a moment after the onset that it caused.
SLACK = timedelta(minutes=1)
LOST_SHOWN = 10
# How long an emergency's diagnosis may take before the way back is offered all the same.
PATIENCE = timedelta(minutes=10)

# (requests, errors) of a stretch of time, None when nothing was measured.
Counts = Callable[[datetime, datetime], tuple[int, int] | None]


@dataclass(frozen=True)
class Good:
    """The version to return to, and why it is held to be good."""

    revision: str
    why: str


def suspect(changes: Sequence[Change], onset: datetime | None) -> Change | None:
    """Return the newest deploy that lies just before the onset, None when none does."""
    if onset is None:
        return None
    near = [one for one in deploys(changes) if -SLACK <= onset - one.at <= WINDOW]
    return near[-1] if near else None


def deploys(changes: Sequence[Change]) -> list[Change]:
    """Return the deploys among the changes, oldest first."""
    found = [one for one in changes if one.kind is ChangeKind.DEPLOY and one.after]
    return sorted(found, key=lambda one: one.at)


def choose(
    changes: Sequence[Change],
    onset: datetime,
    counts: Counts,
    carries: Callable[[str], bool | None],
) -> Good | None:
    """Return the newest version before the present one that is known to have been healthy.

    `carries` tells whether a revision contains the culprit, None while no culprit is known.
    Without a culprit a version must have passed the error gate in what was measured of it, or have
    run a whole `WINDOW` without being replaced; one that was measured to be sick never is good.
    """
    ran = deploys(changes)
    present = ran[-1].after if ran else None
    for change, following in zip(reversed(ran[:-1]), reversed(ran[1:]), strict=True):
        revision, until = str(change.after), min(following.at, onset)
        guilty = carries(revision)
        if revision == present or guilty or change.at >= onset:
            continue
        why = _praise(change.at, following.at, counts(change.at, until))
        if why is None or (not why and guilty is None):
            continue
        innocent = "" if guilty is None else "it does not contain the culprit"
        return Good(revision, "; ".join(part for part in (innocent, why) if part))
    return None


def _praise(since: datetime, until: datetime, counted: tuple[int, int] | None) -> str | None:
    """Return what speaks for a version, "" when nothing does, None when it was sick."""
    requests, failed = counted or (0, 0)
    if requests and failed / requests > plans.LIMIT:
        return None
    if plans.is_healthy(requests, failed):
        return f"it served {requests} requests with {failed} errors before it was replaced"
    if until - since >= WINDOW:
        return f"it ran for {_spoken(until - since)} before it was replaced"
    return ""


def _spoken(duration: timedelta) -> str:
    minutes = int(duration.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{minutes // 60} hours" if minutes < 2880 else f"{minutes // 1440} days"


def offer(job: Job) -> Ending | None:
    """Plan the way back and ask whether to take it; None: the controller goes on."""
    return deploy.submit(job, _planned, Act.REDEPLOY)


def _planned(job: Job) -> Rollout | Ending:
    refused = _too_early(job) or _refusal(job)
    if refused is None:
        made = _made(job)
        if isinstance(made, reports.DeploymentPlan):
            return deploy.rollout(job, made)
        refused = made
    told = entries.progress(job.run, f"Not offered: {refused}")
    if job.incident.emergency and (named := mitigations.offered(job.service)):
        # The one message of the emergency path, where there is no version to return to.
        said = f"No way back: {refused} An approver can stop the harm with {named}."
        job.office.incidents.needs_human(job.incident.number, said)
    return Ending(Outcome.REFUSED, entries=(told,))


def _too_early(job: Job) -> str | None:
    """Return why an emergency is not offered the way back yet, None when it is time.

    As soon as a deploy lies before the onset it is; else once the diagnosis has had its time.
    """
    incident = job.incident
    if not incident.emergency or job.office.store.now() >= incident.opened_at + PATIENCE:
        return None
    changes = cases.learn_changes(job.office, job.service)
    onset = incident.onset or _onset(job)
    if suspect(changes, onset) is not None:
        return None
    minutes = int(PATIENCE.total_seconds() // 60)
    return (
        "no deploy is known to lie just before the onset; it is looked at again if there is no "
        f"diagnosis within {minutes} minutes."
    )


def _onset(job: Job) -> datetime | None:
    """Read since when it fails: the emergency path has no triage that would have."""
    found = cases.onset_of(logs.read(cases.log_files(job.service)))
    if found is not None:
        job.office.incidents.set_onset(job.incident.number, found)
    return found


def _refusal(job: Job) -> str | None:
    """Return why no way back is offered here, None when nothing speaks against it."""
    if job.service.deploy is None:
        return f"{job.service.name} has no [service.deploy] in halon.toml."
    if job.service.mode(job.incident.severity) is RunMode.READ_ONLY:
        return f"the run mode of {job.service.name} is read_only."
    if (other := deploy.taken(job)) is not None:
        return f"rollout {other.id} is open, and one stage at a time changes production."
    before = [one for one in job.office.incidents.runs(job.incident.number) if one.id != job.run.id]
    if any((one.stage, one.outcome) == (Stage.CONTAIN, Outcome.TAKEN_BACK) for one in before):
        return "production has refused the way back once already."
    return None


def _made(job: Job) -> reports.DeploymentPlan | str:
    """Return the plan, or the sentence why there can be none."""
    timing = Timing.scaled(job.office.settings.time_scale)
    deployer = wiring.deployer(job.service, job.office.folder)
    stable = deployer.observe().stable_revision
    with cases.repository(job.office, job.service) as mirror:
        good = _good(job, mirror, timing)
        if stable is None or good is None:
            return "no earlier version is known to have been healthy in production."
        revision = mirror.resolve(good.revision)
        if revision == stable:
            return f"{revision[:12]}, the last good version, is in production already."
        subject = plans.Subject(
            service=job.service.name,
            driver=job.service.deploy.driver if job.service.deploy else "",
            severity=job.incident.severity,
            patch=None,
            revision=revision,
            stable_revision=stable,
            last_good_revision=revision,
            migrates=deploy.migrates(mirror, revision, stable),
            lost=tuple(_lost(mirror, revision, stable)),
            why=good.why,
            mitigations=mitigations.offered(job.service),
            by_hand=shlex.join(deployer.take_back_argv(revision, port.NEWEST)),
        )
    monitor = wiring.monitor(job.service, job.office.folder, timing)
    made = plans.build_plan(
        subject,
        abilities=deployer.abilities,
        gates=plans.default_gates(fingerprints=monitor.fingerprints, hotfix=True),
        requests_per_minute=deploy.traffic(job, timing),
        rollback_command=shlex.join(deployer.take_back_argv(stable, port.NEWEST)),
    )
    fatal = [problem.text for problem in deployer.preflight(made) if problem.fatal]
    return " ".join(fatal) or made


def _good(job: Job, mirror: git.Repository, timing: Timing) -> Good | None:
    found = cases.diagnosis(job.office, job.incident)
    culprit = found.culprit if found else None
    onset = job.incident.onset or job.incident.opened_at

    def carries(revision: str) -> bool | None:
        return None if culprit is None else deploy.contains(mirror, revision, culprit)

    changes = cases.learn_changes(job.office, job.service)
    return choose(changes, onset, _counts(job, onset, timing), carries)


def _counts(job: Job, onset: datetime, timing: Timing) -> Counts:
    """Return what counts a stretch before the onset; the log is read once for all of them.

    A monitor that does not answer must not keep the way back from being offered.
    """
    monitor = wiring.monitor(job.service, job.office.folder, timing)
    found: list[models.Bucket] = []
    with closing(monitor), suppress(errors.TemporaryFailure):
        found = monitor.buckets(models.Version.STABLE, onset - 2 * WINDOW, onset)
    measured = [
        (bucket.start, bucket.start + timedelta(seconds=bucket.seconds), bucket)
        for bucket in found
        if bucket.requests
    ]

    def count(since: datetime, until: datetime) -> tuple[int, int] | None:
        mine = [one for start, end, one in measured if start >= since and end <= until]
        if not mine:
            return None
        return sum(one.requests or 0 for one in mine), sum(one.errors or 0 for one in mine)

    return count


def _lost(mirror: git.Repository, good: str, stable: str) -> Iterator[str]:
    """Return the subjects of the commits that the way back takes away, the newest first."""
    try:
        commits = mirror.log(f"{good}..{mirror.resolve(stable)}", limit=200)
    except errors.NotFound:
        yield "what production runs is not in the repository"
        return
    for commit in commits[:LOST_SHOWN]:
        yield f"{commit.sha[:7]} {commit.subject}"
    if len(commits) > LOST_SHOWN:
        yield f"and {len(commits) - LOST_SHOWN} more"
