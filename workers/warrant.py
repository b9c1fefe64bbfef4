"""Whether a planned rollout is what people were shown, checked before its first command.

Called by the controller (`workers.traffic`). A worker reads hostile logs, writes the plan, the
patch and the row, and holds no key: so nothing that they say is taken on trust. The row must say
what the approved plan says, the commit must be the patch on a released base, and every version
named must have been released. Reads the repository; changes nothing.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from agents import git, gitcalls, workspace
from agents.builtin import caution, pins, remedy, suspects
from incidents import approvals, errors
from incidents.models import Rollout, Stage
from incidents.reports import DeploymentPlan, Patch, RemedyKind
from incidents.settings import Service
from workers import cases
from workers.office import Office

NAMED = (
    *("service", "revision", "stable_revision", "last_good_revision", "patch_digest"),
    "safe_version",
)
PATCHING = (Stage.PATCH, Stage.ESCALATE, Stage.HOTFIX)
TEST = re.compile(r"(?:^|/)(?:test_[^/]*|[^/]*[._-](?:spec|test))\.\w+$")


class Unwarranted(errors.NotAllowed):
    """What would be deployed is not what was approved."""


def check(desk: Office, rollout: Rollout, *, alone: bool) -> None:
    """Return if the rollout is what its approvers read; raises `Unwarranted` with the reason.

    `alone`: no person was asked, so the change must provably be one that was taken back.
    Raises `errors.TemporaryFailure` while the repository cannot be read.
    """
    plan = DeploymentPlan.model_validate(rollout.plan)
    if differing := _differing(rollout, plan):
        raise _unwarranted(rollout, f"its row and its plan differ in {', '.join(differing)}")
    service = desk.service(rollout.service)
    with _repository(desk, service, plan.revision) as mirror:
        try:
            _look(desk, rollout, plan, mirror, alone=alone)
        except (errors.NotFound, gitcalls.GitFailed) as error:
            raise _unwarranted(rollout, f"the repository does not bear it out: {error}") from error


def digest(rollout: Rollout) -> str:
    """Return what changes when anything does that `check` goes by of a rollout."""
    return approvals.digest([rollout.plan, _named(rollout)])


def fix_of(desk: Office, rollout: Rollout) -> Patch | None:
    """Return the patch that is rolled out, which need not be the incident's newest."""
    for run in reversed(desk.incidents.runs(rollout.incident)):
        found = cases.patch_of(run) if run.stage in PATCHING else None
        if found is not None and found.digest == rollout.patch_digest:
            return found
    return None


def _look(
    desk: Office, rollout: Rollout, plan: DeploymentPlan, mirror: git.Repository, *, alone: bool
) -> None:
    released = _Released(desk.service(rollout.service), mirror, plan.stable_revision)
    if plan.last_good_revision is not None and plan.last_good_revision not in released:
        raise _unwarranted(rollout, f"{plan.last_good_revision[:12]} was never released")
    if plan.patch_digest == plan.revision:  # a way back: the commit's id is what was approved
        if alone or plan.revision not in released:
            raise _unwarranted(rollout, f"{plan.revision[:12]} was never released")
        return
    fix = fix_of(desk, rollout)
    if fix is None or remedy.digest_of(fix.diff) != fix.digest:
        raise _unwarranted(rollout, "no patch has the digest that was approved")
    if fix.base not in released:
        raise _unwarranted(rollout, f"its base {fix.base[:12]} was never released")
    tree = mirror.apply(fix.base, fix.diff) if fix.diff.strip() else mirror.tree_of(fix.base)
    is_ = (mirror.tree_of(plan.revision), mirror.parents(plan.revision))
    if is_ != (tree, (fix.base,)):
        raise _unwarranted(rollout, f"commit {plan.revision[:12]} is not the approved patch")
    guarded = cases.protected_paths(mirror, desk.service(rollout.service), fix)
    if unsaid := [path for path in guarded if path not in plan.protected]:
        raise _unwarranted(rollout, f"its plan keeps silent about {unsaid[0]}")
    if alone and guarded:
        raise _unwarranted(rollout, f"nobody was asked, and {guarded[0]} needs a human")
    if alone and (why := _not_taken_back(mirror, fix, tree)):
        raise _unwarranted(rollout, f"nobody was asked, and {why}")


def _differing(rollout: Rollout, plan: DeploymentPlan) -> list[str]:
    both = zip(NAMED, _named(rollout), _named(plan), strict=True)
    return [name for name, one, other in both if one != other]


def _named(one: Rollout | DeploymentPlan) -> list[str | None]:
    return [None if getattr(one, name) is None else str(getattr(one, name)) for name in NAMED]


class _Released:
    """What the team released: its branch, what production runs, and the deployer's own record."""

    def __init__(self, service: Service, mirror: git.Repository, stable: str) -> None:
        self._mirror = mirror
        record = service.changes.record
        ran = [] if record is None else [str(one.after) for one in cases.recorded(service, record)]
        self._ran = frozenset(ran)
        self._tips = (f"refs/heads/{service.branch}", stable)

    def __contains__(self, revision: str) -> bool:
        if revision in self._ran:
            return True
        return any(self._holds(tip, revision) for tip in self._tips)

    def _holds(self, tip: str, revision: str) -> bool:
        try:
            return self._mirror.is_ancestor(revision, tip)
        except errors.NotFound:
            return False


def _not_taken_back(mirror: git.Repository, fix: Patch, tree: str) -> str | None:
    """Return why the change is not one commit (or its settings) taken back, None when it is."""
    changed = [change.path for change in mirror.diff_trees(fix.base, tree)]
    if delicate := caution.delicate(changed, mirror.diff(fix.base, tree)):
        return f"{delicate[0]!r} needs a human"
    if fix.culprit is None:
        return "no commit is named that it takes back"
    before = _before(mirror, fix, fix.culprit)
    if before is None:
        return f"{fix.culprit[:12]} cannot be taken back cleanly"
    # A test of the fix may stand beside it: it lies where tests lie, and serves nobody.
    more = [change.path for change in mirror.diff_trees(before, tree)]
    strange = [path for path in more if not _serves_nobody(path)]
    return f"{strange[0]!r} is not as it was before" if strange else None


def _before(mirror: git.Repository, fix: Patch, culprit: str) -> str | None:
    """Return the tree of the base without the culprit, or without its settings alone."""
    if fix.remedy is not RemedyKind.CONFIG:
        return mirror.revert_tree(culprit, fix.base).tree
    parents = mirror.parents(culprit)
    if not parents or not mirror.is_ancestor(culprit, fix.base):
        return None
    touched = [change.path for change in mirror.diff_trees(parents[0], culprit)]
    settings = [path for path in touched if suspects.CONFIG_FILE.search(path)]
    return mirror.apply(fix.base, mirror.diff(culprit, parents[0], settings)) if settings else None


def _serves_nobody(path: str) -> bool:
    return bool(TEST.search(path)) and not pins.TEST_FOLDERS.isdisjoint(path.split("/")[:-1])


@contextmanager
def _repository(desk: Office, service: Service, revision: str) -> Iterator[git.Repository]:
    """Open the mirror that has the commit: of the service, else of where fixes are delivered."""
    remote = (service.delivery.model_extra or {}).get("remote") if service.delivery else None
    try:
        with cases.repository(desk, service) as mirror:
            if not isinstance(remote, str) or _has(mirror, revision):
                yield mirror
                return
        folder = desk.folder / "repositories" / f"{service.name}.delivery.git"
        with workspace.mirror(remote, folder, desk.settings.credentials) as delivered:
            yield delivered
    except (gitcalls.GitFailed, workspace.WorkspaceFailed) as error:
        raise errors.TemporaryFailure(f"The repository cannot be read: {error.message}") from error


def _has(mirror: git.Repository, revision: str) -> bool:
    try:
        mirror.resolve(revision)
    except errors.NotFound:
        return False
    return True


def _unwarranted(rollout: Rollout, why: str) -> Unwarranted:
    return Unwarranted(
        f"Rollout {rollout.id} is not what was approved: {why}.",
        incident_id=f"INC-{rollout.incident}",
    )
