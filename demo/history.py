"""Builds the git history of the demo service: real commits, dated deploys, a bug where it belongs.

Called by `halon demo` and by tests. The same scenario and `now` give the same revisions, whatever
the user's git is set to. Writes nowhere but below the destination.
"""

import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from demo import story
from demo.story import Bug, Edit, Step, StoryError

SOURCE = Path(__file__).resolve().parent / "checkout"
TEAM = "checkout team <checkout@example.invalid>"
REVIEW = timedelta(minutes=3)  # a commit lies this long before its deploy
CACHES = {"__pycache__", ".mypy_cache", ".ruff_cache"}

Tree = dict[str, str]  # path below the repository → text


class Scenario(StrEnum):
    """The three incidents of `halon demo`."""

    GUEST_CRASH = "guest-crash"
    NO_CODE_CAUSE = "no-code-cause"
    BAD_FIX = "bad-fix"

    @property
    def bug(self) -> Bug | None:
        """The bug planted for this scenario; None where no commit is guilty."""
        return None if self is Scenario.NO_CODE_CAUSE else story.read_bug(self.value)


@dataclass(frozen=True)
class Deploy:
    """One deploy of the past: an annotated tag."""

    tag: str
    revision: str
    at: datetime


@dataclass(frozen=True)
class History:
    """What was built, and the truth about it, for those who check the diagnosis from outside."""

    repository: Path
    deploys: tuple[Deploy, ...]  # oldest first
    last_good: str  # deployed before the culprit; without one, before the newest
    culprit: str | None
    newest: str
    scenario: str  # a scenario's name, or that of the bug planted instead
    commits: Mapping[str, str]  # name in the story → revision


def build(
    destination: Path,
    scenario: Scenario,
    now: datetime,
    *,
    bug: Bug | None = None,
    bare: bool = False,
) -> History:
    """Make the repository at `destination` (created; must be empty), as it would look at `now`.

    `bug` plants another bug than the scenario's; raises StoryError if an edit does not fit.
    """
    planted = bug or scenario.bug
    steps = story.read_steps()
    trees = plant(steps, grow(steps), planted)
    destination.mkdir(parents=True, exist_ok=True)
    if any(destination.iterdir()):
        raise StoryError(f"{str(destination)!r} is not empty")
    _git(destination, "init", "-q", "-b", "main", *(["--bare"] if bare else []), ".")
    _git(destination, "fast-import", "--quiet", stdin=_stream(steps, trees, now))
    if not bare:
        _git(destination, "reset", "-q", "--hard", "main")

    revisions = _git(destination, "rev-list", "--reverse", "main").split()
    commits = {step.slug: revision for step, revision in zip(steps, revisions, strict=True)}
    deploys = tuple(
        Deploy(tag, commits[step.slug], _deployed_at(step, now)) for tag, step in _tags(steps)
    )
    guilty = commits[planted.culprit] if planted else None
    last_good = _last_good(deploys, revisions, guilty or deploys[-1].revision)
    name = bug.name if bug else scenario.value
    return History(destination, deploys, last_good, guilty, revisions[-1], name, commits)


def grow(steps: tuple[Step, ...]) -> list[Tree]:
    """Return the innocent tree of each step, made by taking the steps back from the newest."""
    tree = _read_source()
    trees = [tree]
    for step in reversed(steps[1:]):
        older = dict(tree)
        for edit in reversed(step.edits):
            _replace(older, edit.path, edit.after, edit.before, step.slug)
        for path in step.added:
            del older[path]
        _check_forward(step, older, tree)
        trees.insert(0, older)
        tree = older
    return trees


def plant(steps: tuple[Step, ...], trees: list[Tree], bug: Bug | None) -> list[Tree]:
    """Return the trees with a bug in each from the commit on that brings it."""
    planted = [dict(tree) for tree in trees]
    slugs = [step.slug for step in steps]
    for slug, edit in bug.plants if bug else ():
        if slug not in slugs:
            raise StoryError(f"no commit {slug!r}; there are: {', '.join(slugs)}")
        for tree in planted[slugs.index(slug) :]:
            _replace(tree, edit.path, edit.before, edit.after, slug)
    return planted


def _check_forward(step: Step, older: Tree, newer: Tree) -> None:
    tree = dict(older)
    for edit in step.edits:
        _replace(tree, edit.path, edit.before, edit.after, step.slug)
    for path in step.added:
        tree[path] = newer[path]
    if tree != newer:
        raise StoryError(f"{step.slug}: its edits do not lead back to where they came from")


def _replace(tree: Tree, path: str, old: str, new: str, slug: str) -> None:
    found = tree.get(path, "").count(old)
    if not old or found != 1:
        raise StoryError(f"{slug}: {path} contains {found} times, not once:\n{old}")
    tree[path] = tree[path].replace(old, new)


def _read_source() -> Tree:
    return {
        path.relative_to(SOURCE).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(SOURCE.rglob("*"))
        if path.is_file() and not CACHES & set(path.parts)
    }


def _last_good(deploys: tuple[Deploy, ...], revisions: list[str], bad: str) -> str:
    before = [one for one in deploys if revisions.index(one.revision) < revisions.index(bad)]
    if not before:
        raise StoryError("the first deploy cannot be the bad one: there is nothing to return to")
    return before[-1].revision


def _tags(steps: Iterable[Step]) -> list[tuple[str, Step]]:
    deployed = (step for step in steps if step.deployed)
    return [(f"deploy-{number}", step) for number, step in enumerate(deployed, start=1)]


def _deployed_at(step: Step, now: datetime) -> datetime:
    return (now - step.age).replace(microsecond=0)


def _stream(steps: tuple[Step, ...], trees: list[Tree], now: datetime) -> bytes:
    """Write the history in the language of `git fast-import`: one process, exact dates."""
    out: list[bytes] = []
    for step, tree in zip(steps, trees, strict=True):
        written = _when(_deployed_at(step, now) - REVIEW)
        out.append(f"commit refs/heads/main\ncommitter {TEAM} {written}\n".encode())
        out.append(_counted(step.message))
        out.append(b"deleteall\n")
        for path, text in tree.items():
            out.append(f"M 100644 inline {path}\n".encode() + _counted(text))
        for tag, tagged in _tags(steps):
            if tagged is step:
                at = _when(_deployed_at(step, now))
                out.append(f"tag {tag}\nfrom refs/heads/main\ntagger {TEAM} {at}\n".encode())
                out.append(_counted(f"Deploy {step.slug}\n"))
    return b"".join(out)


def _when(moment: datetime) -> str:
    return f"{int(moment.timestamp())} +0000"


def _counted(text: str) -> bytes:
    content = text.encode()
    return f"data {len(content)}\n".encode() + content + b"\n"


def _git(repository: Path, *arguments: str, stdin: bytes | None = None) -> str:
    """Run git in the repository, deaf to the user's own settings, hooks and templates."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(repository),
        "LC_ALL": "C",
        "TZ": "UTC",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CEILING_DIRECTORIES": str(repository.resolve().parent),
        "GIT_TEMPLATE_DIR": "",
    }
    argv = ["git", "-C", str(repository), "-c", "core.autocrlf=false", *arguments]
    done = subprocess.run(argv, env=environment, input=stdin, capture_output=True, check=False)
    if done.returncode:
        raise StoryError(f"git {arguments[0]} failed: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode()


__all__ = ["Bug", "Deploy", "Edit", "History", "Scenario", "build", "grow", "plant"]
