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
from incidents import errors, models, remotes, reports
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
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return
    before = None
    for line in lines:
        try:
            row = json.loads(line)
            at = datetime.fromisoformat(row["at"])
            revision = str(row["revision"])
            if row.get("version", "stable") != "stable":
                continue  # a canary of ours is no change of the team's
        except (ValueError, KeyError, TypeError):
            continue
        yield Change(
            service=service.name,
            kind=ChangeKind.DEPLOY,
            at=at if at.tzinfo else at.replace(tzinfo=UTC),
            source=f"record {path.name}",
            before=before,
            after=revision,
        )
        before = revision


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
        diagnosis=latest(office, incident, Stage.DIAGNOSE, reports.Diagnosis),
        patch=newest_patch(office, incident),
    )


def newest_patch(office: Office, incident: models.Incident) -> reports.Patch | None:
    """Return the patch in hand: the developer's, or the fixer's after an escalation."""
    for run in reversed(office.incidents.runs(incident.number)):
        if run.stage in PATCHING and run.report is not None:
            found = reports.load(run.report)
            return found if isinstance(found, reports.Patch) else None
    return None


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


def fix(office: Office, incident: models.Incident) -> reports.Patch | None:
    """Return the patch that goes to production: a shipped hotfix, else the newest of the chain."""
    runs = office.incidents.runs(incident.number)
    of_fixes = [run for run in runs if run.stage in FIXING and run.report]
    if of_fixes and of_fixes[-1].outcome is Outcome.APPROVE:
        shipped = contained(office, incident)
        return shipped.patch if shipped else None
    return newest_patch(office, incident)


def _tried(office: Office, incident: models.Incident) -> tuple[case.Tried, ...]:
    """Return the remedies that tests rejected or production refused, so that none comes twice."""
    tried = []
    patch: reports.Patch | None = None
    for run in office.incidents.runs(incident.number):
        if run.stage in PATCHING and run.report is not None:
            found = reports.load(run.report)
            patch = found if isinstance(found, reports.Patch) else None
        elif run.stage is Stage.CONTAIN:
            continue  # a way back is no remedy, and its end says nothing about one
        elif patch is not None and run.outcome in (Outcome.REJECT, Outcome.TAKEN_BACK):
            outcome = f"{run.stage.value}: {run.outcome.value}"
            tried.append(case.Tried(patch.remedy, patch.digest, outcome, patch.culprit))
    return tuple(tried)
