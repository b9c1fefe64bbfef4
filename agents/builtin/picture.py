"""Everything that one inquiry established, and how a claim finds its evidence.

Made at the end of a diagnosis, read by the account of it; it decides nothing.
"""

from dataclasses import dataclass
from datetime import datetime

from agents.builtin import environment, suspects, variables
from agents.builtin.goodrevision import Deployed
from agents.builtin.logs import LogReading, TemplateCount
from agents.builtin.proof import Found
from agents.builtin.scene import Scene
from agents.builtin.tracelines import Trace
from agents.builtin.verdict import Decision, Facts, Replayed
from agents.builtin.workbench import Workbench
from incidents import models


@dataclass(frozen=True)
class Picture:
    """All that one inquiry established."""

    bench: Workbench
    head: str
    facts: Facts
    decision: Decision
    reading: LogReading | None
    traces: tuple[Trace, ...]
    ranked: tuple[suspects.Scored, ...]
    released: tuple[Deployed, ...]
    probed: tuple[environment.Probed, ...]
    scene: Scene | None
    scenes: tuple[Scene, ...]
    found: Found | None
    onset: datetime | None
    outside: tuple[environment.Outside, ...]
    gaps: tuple[str, ...]
    variable: variables.Restored | None = None

    def name(self, commit: str) -> str:
        """Return a commit as people read it: short hash and subject."""
        return f"{commit[:12]} “{self.bench.source.commit(commit).subject[:80]}”"


def tree_of(picture: Picture, revision: str) -> str:
    """Return the tree of a revision as it was replayed, the test pinned."""
    scene, source = picture.scene, picture.bench.source
    tree = source.tree(revision)
    return source.pinned(tree, picture.head, scene.pinned) if scene and scene.pinned else tree


def evidence_of(picture: Picture, ids: dict[str, str], *revisions: str) -> tuple[str, ...]:
    """Return the ids of the runs of these revisions, as far as they were replayed."""
    found = [ids.get(tree_of(picture, revision)) for revision in revisions]
    return tuple(item for item in dict.fromkeys(found) if item is not None)


def commit_evidence(picture: Picture, sha: str) -> str:
    """Record a commit and return its evidence id."""
    commit = picture.bench.source.commit(sha)
    text = f"{commit.sha}\n{commit.subject}\n" + "\n".join(commit.paths[:50])
    return picture.bench.ledger.add(
        models.EvidenceKind.COMMIT, "git", commit.sha, text, commit.committed_at
    )


def failure_name(picture: Picture) -> str:
    """Return the failure in a few words."""
    if picture.scene and picture.scene.target:
        return f"the failure {picture.scene.target}"
    return f"the failure {exception(picture) or 'seen in the logs'}"


def telling(reading: LogReading) -> list[TemplateCount]:
    """Return the templates that may speak of the incident; all of them where none stands out.

    A log that begins after the onset has no quiet time to compare with.
    """
    ranked = list(reading.ranked())
    return [item for item in ranked if not item.background] or ranked


def exception(picture: Picture) -> str | None:
    """Return the type of the failure's error."""
    if picture.traces:
        return picture.traces[0].exception
    if (
        picture.scene
        and picture.scene.target
        and picture.scene.replayed in (Replayed.ALWAYS, Replayed.SOMETIMES)
    ):
        return picture.scene.target.exception
    return None
