"""Makes the case of a stage: the repository's mirror, logs, changes and what was tried before.

Called by `workers.stages` only. Reads the world; changes nothing but our own mirror of the
repository and the record of changes.
"""

import fcntl
import glob
import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from agents import case, git, gitcalls, workspace
from agents.builtin import protected
from agents.builtin.logreading import LogReading
from incidents import entries, errors, models, remotes, reports
from incidents.models import MACHINE, Change, ChangeKind, Outcome, Stage
from incidents.settings import Service
from workers.office import Office

PATCHING = (Stage.PATCH, Stage.ESCALATE)
FIXING = (*PATCHING, Stage.HOTFIX)
LOOK_BACK = timedelta(days=30)
R = TypeVar("R", bound=reports.Frozen)


@contextmanager
def repository(office: Office, service: Service) -> Iterator[git.Repository]:
    """Open the fresh bare mirror of a service's repository; one process refreshes it at a time."""
    folder = office.folder / "repositories"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{service.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            place, opens = folder / f"{service.name}.git", office.settings.credentials
            mirror = workspace.mirror(service.repository, place, opens)
        except gitcalls.GitFailed as error:
            raise errors.PermanentFailure(
                f"The repository {service.repository!r} of {service.name} cannot be read: "
                f"{error.reason} {mend(service.repository)}"
            ) from error
    with mirror:
        yield mirror


def mend(address: str) -> str:
    """Say what lets a worker read a repository."""
    match remotes.kind(address):
        case remotes.Kind.SSH:
            return "Correct `repository` in halon.toml, or set HALON_GIT_SSH_KEY to a key it takes."
        case remotes.Kind.HTTP:
            return (
                "Correct `repository` in halon.toml, or set HALON_GIT_TOKEN to one that may read."
            )
    return "Correct `repository` in halon.toml, and let this user read it."


def learn_changes(office: Office, service: Service) -> tuple[Change, ...]:
    """Take over what the deployer wrote down, and return every change of the last 30 days."""
    if service.changes.record is not None:
        for change in recorded(service, service.changes.record):
            office.incidents.record_change(change, MACHINE)
    since = office.store.now() - LOOK_BACK
    return tuple(office.incidents.changes(service.name, since))


def recorded(service: Service, path: Path) -> Iterator[Change]:
    """Read the deployer's record; a line that cannot be read is a gap of that line alone."""
    before = None
    for row in _rows(path):
        yield Change(
            service=service.name,
            kind=ChangeKind.DEPLOY,
            at=row["at"],
            source=f"record {path.name}",
            before=before,
            after=row["revision"],
        )
        before = row["revision"]


def _rows(path: Path) -> Iterator[models.Json]:
    """Yield the readable lines of the record, with aware times; no canary of ours."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            row = json.loads(line)
            at = datetime.fromisoformat(row["at"])
            revision = str(row["revision"])
            if row.get("version", "stable") != "stable":
                continue  # a canary of ours is no change of the team's
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        yield row | {"at": at if at.tzinfo else at.replace(tzinfo=UTC), "revision": revision}


def environments(service: Service, incident: models.Incident) -> tuple[case.Environment, ...]:
    """Return the variables of each deploy up to the incident, as the record has them, in order."""
    if service.changes.record is None:
        return ()
    found = [
        one
        for one in (_environment(row) for row in _rows(service.changes.record))
        if one is not None and one.at <= incident.opened_at
    ]
    return tuple(sorted(found, key=lambda one: one.at))


def _environment(row: models.Json) -> case.Environment | None:
    table = row.get("env")
    if not isinstance(table, dict):
        return None
    variables = sorted((str(name), str(value)) for name, value in table.items())
    return case.Environment(row["revision"], row["at"], tuple(variables))


def words(office: Office, run: models.StageRun) -> str:
    """Return what a person said who asked for this run alone, "" for every other run."""
    subject = entries.alone(run.id)
    for entry in office.timeline.entries(run.incident):
        if entry.kind is models.EntryKind.NOTE and entry.subject == subject:
            return str(entry.content.get("text", ""))
    return ""


def protected_paths(
    mirror: git.Repository, service: Service, fix: reports.Patch
) -> tuple[str, ...]:
    """Return the protected paths that a patch changes, each with the reason, from its diff."""
    tree = mirror.apply(fix.base, fix.diff) if fix.diff.strip() else mirror.tree_of(fix.base)
    replay = service.reproduce.run if service.reproduce else None
    commands = [one.argv for one in (case.command(service.test), case.command(replay)) if one]
    return protected.of(mirror, fix.base, tree, fix.remedy, service.protected, commands)


def log_files(service: Service) -> tuple[Path, ...]:
    """Return the files that the service's log patterns name, oldest first."""
    found: dict[Path, float] = {}
    for pattern in service.logs:
        for name in glob.glob(pattern, recursive=True):  # noqa: PTH207  # the patterns are absolute
            with suppress(OSError):  # rotated away between the listing and the look
                state = Path(name).stat()
                if stat.S_ISREG(state.st_mode):
                    found[Path(name)] = state.st_mtime
    return tuple(sorted(found, key=lambda path: found[path]))


def onset_of(reading: LogReading) -> datetime | None:
    """Return since when it fails, by all failures or by the worst kind of them."""
    if reading.onset is not None:
        return reading.onset.at
    return next((one.onset.at for one in reading.ranked() if one.onset is not None), None)


def deployed_revision(
    incident: models.Incident, changes: tuple[Change, ...], mirror: git.Repository, branch: str
) -> str:
    """Return the revision that ran when the incident opened, else the head of the branch."""
    deploys = [
        change.after
        for change in changes
        if change.kind is ChangeKind.DEPLOY and change.after and change.at <= incident.opened_at
    ]
    for revision in reversed(deploys):
        try:
            return mirror.resolve(revision)
        except errors.NotFound:
            continue  # a deploy of something that this repository never had
    return mirror.resolve(f"refs/heads/{branch}")


def make(
    office: Office, incident: models.Incident, service: Service, mirror: git.Repository
) -> case.Case:
    """Return the case of an incident as everything known by now describes it."""
    changes = learn_changes(office, service)
    made = case.of_service(
        service,
        mirror.path,
        revision=deployed_revision(incident, changes, mirror, service.branch),
        title=incident.title,
        incident=incident.id,
        severity=incident.severity,
        onset=incident.onset,
        logs=log_files(service),
        changes=changes,
        tried=_tried(office, incident),
    )
    return replace(
        made,
        diagnosis=diagnosis(office, incident),
        patch=patch(office, incident),
        replaying=_replaying(office, incident),
    )


def diagnosis(office: Office, incident: models.Incident) -> reports.Diagnosis | None:
    """Return the newest diagnosis, that of an escalation included."""
    for report in _newest(office, incident, Stage.DIAGNOSE, Stage.ESCALATE):
        if isinstance(report, reports.Diagnosis):
            return report
        if isinstance(report, reports.Escalation) and report.diagnosis is not None:
            return report.diagnosis
    return None


def patch(office: Office, incident: models.Incident) -> reports.Patch | None:
    """Return the newest patch, that of an escalation included; None when the newest found none."""
    for report in _newest(office, incident, Stage.PATCH, Stage.ESCALATE):
        if isinstance(report, reports.Escalation):
            if report.patch is None:
                continue
            return report.patch
        return report if isinstance(report, reports.Patch) else None
    return None


def _replaying(office: Office, incident: models.Incident) -> reports.Replaying | None:
    """Return how the failure was shown, where the newest diagnosis is an escalation's."""
    for report in _newest(office, incident, Stage.DIAGNOSE, Stage.ESCALATE):
        if isinstance(report, reports.Diagnosis):
            return None
        if isinstance(report, reports.Escalation) and report.diagnosis is not None:
            return report.replaying
    return None


def _newest(office: Office, incident: models.Incident, *stages: Stage) -> Iterator[reports.Report]:
    """Yield the reports of these stages, the newest first."""
    for run in reversed(office.incidents.runs(incident.number)):
        if run.stage in stages and run.report is not None and run.finished_at is not None:
            yield reports.load(run.report)


def patch_of(run: models.StageRun) -> reports.Patch | None:
    """Return the patch that a run made, None when it made none."""
    found = reports.load(run.report) if run.report is not None else None
    if isinstance(found, reports.Escalation | reports.Hotfix):
        return found.patch
    return found if isinstance(found, reports.Patch) else None


def latest(office: Office, incident: models.Incident, stage: Stage, kind: type[R]) -> R | None:
    """Return the newest report of a stage, if it is of that kind."""
    run = office.stages.last(incident.number, stage)
    if run is None or run.report is None:
        return None
    found = reports.load(run.report)
    return found if isinstance(found, kind) else None


def contained(office: Office, incident: models.Incident) -> reports.Hotfix | None:
    """Return the newest hotfix that holds, if there is one."""
    for run in reversed(office.incidents.runs(incident.number)):
        if run.stage is Stage.HOTFIX and run.report is not None:
            found = reports.load(run.report)
            if isinstance(found, reports.Hotfix) and found.patch is not None:
                return found
    return None


def newest_patch(office: Office, incident: models.Incident) -> reports.Patch | None:
    """Return the newest patch of any stage, whether or not it was tested or shipped."""
    for run in reversed(office.incidents.runs(incident.number)):
        if run.stage in FIXING and run.report is not None and (found := patch_of(run)) is not None:
            return found
    return None


def fix(office: Office, incident: models.Incident) -> reports.Patch | None:
    """Return the patch that goes to production: a shipped hotfix, else the newest of the chain."""
    runs = office.incidents.runs(incident.number)
    of_fixes = [run for run in runs if run.stage in FIXING and run.report]
    if of_fixes and of_fixes[-1].outcome is Outcome.APPROVE:
        shipped = contained(office, incident)
        return shipped.patch if shipped else None
    return patch(office, incident)


def _tried(office: Office, incident: models.Incident) -> tuple[case.Tried, ...]:
    """Return the remedies that tests rejected or production refused, so that none comes twice."""
    tried = []
    patch: reports.Patch | None = None
    for run in office.incidents.runs(incident.number):
        if run.stage in PATCHING and run.report is not None:
            patch = patch_of(run) or (None if run.stage is Stage.PATCH else patch)
        elif run.stage is Stage.CONTAIN:
            continue  # a way back is no remedy, and its end says nothing about one
        elif patch is not None and run.outcome in (Outcome.REJECT, Outcome.TAKEN_BACK):
            outcome = f"{run.stage.value}: {run.outcome.value}"
            tried.append(case.Tried(patch.remedy, patch.digest, outcome, patch.culprit))
    return tuple(tried)
