"""Writes a grown history as a git repository: one fast-import, then a checkout.

Used by tests/histories.py; git runs in folders that this program made and nowhere else.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from tests.history.base import World, spell
from tests.history.build import History
from tests.history.plan import Plan
from tests.history.tree import (
    Tree,
)

ENV = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "examiner",
    "GIT_AUTHOR_EMAIL": "e@example.invalid",
    "GIT_COMMITTER_NAME": "examiner",
    "GIT_COMMITTER_EMAIL": "e@example.invalid",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def final_files(world: World, tree: Tree) -> dict[str, str]:
    """Return a revision's files as they are written: names spelled, sources where they belong."""
    found = {}
    for path, text in tree.files.items():
        where = world.layout + path if path.startswith("xpkg/") else path
        found[spell(world, where)] = spell(world, text)
    return found


def write_repository(history: History, repo: Path) -> list[str]:
    """Write all commits and deploy tags by one fast-import; return the sha of each commit."""
    world, plan = history.world, history.plan
    stream = bytearray()
    authors = [f"dev-{letter} <dev-{letter}@example.invalid>" for letter in "abcd"]
    for index, commit in enumerate(history.commits):
        clock = f"{int(commit.when.timestamp())} {commit.when.strftime('%z')}"
        who = f"{world.rng.choice(authors)} {clock}"
        message = spell(world, commit.message).encode()
        stream += f"commit refs/heads/{plan.branch}\nmark :{index + 1}\n".encode()
        stream += f"author {who}\ncommitter {who}\ndata {len(message)}\n".encode() + message + b"\n"
        for verb, parent in zip(("from", "merge"), commit.parents, strict=False):
            stream += f"{verb} :{parent + 1}\n".encode()
        stream += b"deleteall\n"
        for path, text in sorted(final_files(world, commit.tree).items()):
            blob = text.encode()
            stream += f"M 100644 inline {path}\ndata {len(blob)}\n".encode() + blob + b"\n"
    for number, (index, when) in enumerate(history.deploys):
        note = f"Deployed to production at {when.astimezone(UTC).isoformat()}\n".encode()
        stream += f"tag {tag_name(number, when)}\nfrom :{index + 1}\n".encode()
        stream += (
            f"tagger deployer <deploy@example.invalid> {int(when.timestamp())} +0000\n".encode()
        )
        stream += f"data {len(note)}\n".encode() + note + b"\n"
    git(repo.parent, ["init", "-q", "-b", plan.branch, repo.name])
    marks = repo.parent / "marks"
    git(repo, ["fast-import", "--quiet", f"--export-marks={marks}"], bytes(stream))
    git(repo, ["reset", "-q", "--hard", plan.branch])
    rows = [line.split() for line in marks.read_text(encoding="ascii").splitlines()]
    marks.unlink()
    known = {int(mark[1:]): sha for mark, sha in rows}
    return [known[index + 1] for index in range(len(history.commits))]


def tag_name(number: int, when: datetime) -> str:
    """Return the name of a deploy tag."""
    return f"deploy-{number + 1}-{when.astimezone(UTC):%Y%m%d}"


def name_of_good(history: History, shas: list[str], plan: Plan) -> str | None:
    """Return the good revision as a person would give it, or None."""
    sha = shas[history.good]
    match plan.good:
        case "sha":
            return sha
        case "short":
            return sha[:10]
        case "tag":
            number, when = next(
                (n, at) for n, (index, at) in enumerate(history.deploys) if index == history.good
            )
            return tag_name(number, when)
        case _:
            return None


def git(folder: Path, args: Iterable[str], stdin: bytes = b"") -> str:
    """Run git in a folder that this program made; return what it printed."""
    done = subprocess.run(
        ["git", "-C", str(folder), *args], input=stdin, capture_output=True, env=ENV, check=True
    )
    return done.stdout.decode()
