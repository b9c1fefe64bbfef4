"""GitHistory: commits, their diffs, and who changed a line. It reads git's objects only."""

from typing import Annotated, Literal

from pydantic import Field

from agents import gitlines
from agents.tools.contract import Answer, Arguments, Tool
from agents.tools.desk import Desk
from incidents import errors
from incidents.models import EvidenceKind

COMMITS = 60
BLAMED = 120


class HistoryArguments(Arguments):
    """What to look up."""

    what: Literal["log", "show", "diff", "blame"] = Field(
        description="log: commits of a range; show: one commit with its diff; diff: between two "
        "revisions; blame: which commit last changed each line of a file."
    )
    revision: Annotated[
        str | None, Field(description="A commit, or for log a range a..b; left out: the base.")
    ] = None
    against: Annotated[str | None, Field(description="For diff: the older revision.")] = None
    path: Annotated[str | None, Field(description="Only this file.")] = None
    start: Annotated[int, Field(ge=1, description="For blame: first line.")] = 1
    end: Annotated[int, Field(ge=1, description="For blame: last line.")] = BLAMED


def tools(desk: Desk) -> list[Tool]:
    """Return the tool that reads history."""

    def history(given: HistoryArguments) -> Answer:
        if given.path is not None:
            gitlines.check_path(given.path)
        try:
            return LOOKS[given.what](desk, given)
        except errors.NotFound as error:
            raise errors.ToolRefused(error.message) from error

    described = (
        "Read the repository's history: log, show, diff, blame. The answer begins with the id "
        "under which you cite it."
    )
    return [Tool("GitHistory", described, HistoryArguments, history, restore=desk.restore_evidence)]


def _log(desk: Desk, given: HistoryArguments) -> Answer:
    revisions = given.revision or _base(desk)
    paths = [given.path] if given.path else []
    found = desk.bench.repository.log(revisions, paths=paths, limit=COMMITS)
    lines = [
        f"{one.sha[:12]} {one.committed_at:%Y-%m-%d %H:%M:%S} UTC {one.subject[:120]} "
        f"[{', '.join(one.paths[:4])}]"
        for one in found
    ]
    text = "\n".join(lines) or "No commit."
    return desk.record(EvidenceKind.COMMIT, "git log", f"log {revisions} {given.path or ''}", text)


def _show(desk: Desk, given: HistoryArguments) -> Answer:
    repository = desk.bench.repository
    sha = desk.commit(given.revision or _base(desk))
    (commit,) = repository.log(sha, limit=1)
    paths = [given.path] if given.path else []
    if commit.parents:
        diff = repository.diff(commit.parents[0], sha, paths)
    else:
        diff = "(the first commit of its history)"
    text = f"{sha}\n{commit.committed_at:%Y-%m-%d %H:%M:%S} UTC\n{commit.subject}\n\n{diff}"
    return desk.record(EvidenceKind.COMMIT, "git show", f"commit {sha[:12]}", text)


def _diff(desk: Desk, given: HistoryArguments) -> Answer:
    new = desk.commit(given.revision or _base(desk))
    if given.against is None:
        raise errors.ToolRefused("For diff name the older revision in `against`.")
    old = desk.commit(given.against)
    paths = [given.path] if given.path else []
    text = desk.bench.repository.diff(old, new, paths) or "No difference."
    return desk.record(EvidenceKind.DIFF, "git diff", f"diff {old[:12]}..{new[:12]}", text)


def _blame(desk: Desk, given: HistoryArguments) -> Answer:
    if given.path is None:
        raise errors.ToolRefused("For blame name a path.")
    sha = desk.commit(given.revision or _base(desk))
    end = min(given.end, given.start + BLAMED - 1)
    found = desk.bench.repository.blame(sha, given.path, given.start, end)
    content = (desk.content(given.path, sha) or b"").decode("utf-8", "replace").splitlines()
    lines = [
        f"{one.line:>5} {one.sha[:12]} {content[one.line - 1] if one.line <= len(content) else ''}"
        for one in found
    ]
    text = "\n".join(lines) or f"{given.path!r} has no such lines at {sha[:12]}."
    where = f"blame {given.path}:{given.start}-{end} at {sha[:12]}"
    return desk.record(EvidenceKind.COMMIT, "git blame", where, text)


def _base(desk: Desk) -> str:
    return desk.bench.repository.resolve(desk.bench.case.revision)


LOOKS = {"log": _log, "show": _show, "diff": _diff, "blame": _blame}
