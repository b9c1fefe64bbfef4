"""What the tools of one run share: the tree as edited so far, the ledger, and the workbench.

Made by the engine for each run. Edits live in memory over the base revision and are never written
to a repository; each trial gets a folder of its own from the workspaces.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agents import gitlines, telling
from agents.builtin import diagnose
from agents.builtin.scene import Scene
from agents.builtin.workbench import Workbench
from agents.evidence import Ledger
from agents.tools.contract import Answer, Refused
from agents.untrusted import Source
from incidents import errors, models, reports

LARGEST_FILE = 512 * 1024
ABBREVIATED = re.compile(r"[0-9a-fA-F]{4,39}")
LINK = "120000"

SOURCES = {
    models.EvidenceKind.LOG: Source.LOG,
    models.EvidenceKind.COMMIT: Source.COMMIT,
    models.EvidenceKind.DIFF: Source.COMMIT,
    models.EvidenceKind.COMMAND: Source.FILE,
    models.EvidenceKind.TEST_RUN: Source.TEST,
}

Edits = dict[str, bytes | None]  # None: the file is taken away


@dataclass
class Desk:
    """The state of one run; `base` is a commit or a tree."""

    bench: Workbench
    base: str
    teller: telling.Teller
    ledger: Ledger
    folder: Path  # private, beside the transcript: what edits a later life takes up
    edits: Edits = field(default_factory=dict)
    root: str = ""  # the tree that the edits lie over: the base, or the base with a commit out
    out: str = ""  # that commit
    # Why a path may not be edited; empty for one that may.
    refusal: Callable[[str], str] = lambda path: ""

    def __post_init__(self) -> None:
        """Start from the base's own tree."""
        self.root = self.bench.repository.tree_of(self.base)

    # --- the tree

    def tree(self) -> str:
        """Return the tree as edited so far."""
        if not self.edits:
            return self.root
        return self.bench.repository.tree_with(self.root, self.edits)

    def state(self) -> str:
        """Return a digest of the edits."""
        digest = hashlib.sha256(self.root.encode())
        for path, content in sorted(self.edits.items()):
            digest.update(f"\0{path}\0{len(content or b'')}\0{content is None}\0".encode())
            digest.update(content or b"")
        return digest.hexdigest()[:16]

    def content(self, path: str, revision: str | None = None) -> bytes | None:
        """Return a file as edited so far, or at a revision; None if there is none."""
        gitlines.check_path(path)
        if revision is not None:
            return self.bench.repository.show(revision, path)
        if path in self.edits:
            return self.edits[path]
        return self.bench.repository.show(self.root, path)

    def files(self) -> tuple[str, ...]:
        """Return the paths of the tree as edited so far."""
        known = set(self.bench.repository.files(self.root))
        known |= {path for path, content in self.edits.items() if content is not None}
        return tuple(sorted(known - {path for path, it in self.edits.items() if it is None}))

    def diff(self) -> str:
        """Return what was edited so far as a diff against the base."""
        return self.bench.repository.diff(self.base, self.tree())

    # --- editing

    def write(self, path: str, content: bytes | None) -> dict[str, str]:
        """Edit a file and return what a later life needs; ToolRefused for a path that is not ours.

        Never through a link: neither the path nor a folder of it may be one.
        """
        gitlines.check_path(path)
        if content is not None and len(content) > LARGEST_FILE:
            raise errors.ToolRefused(f"{path!r} would have {len(content)} bytes; that is too much.")
        links = self._links()
        parts = path.split("/")
        for end in range(1, len(parts) + 1):
            if "/".join(parts[:end]) in links:
                raise errors.ToolRefused(f"{path!r} leads through a link and is never written.")
        files = set(self.files())
        for end in range(1, len(parts)):
            if "/".join(parts[:end]) in files:
                raise errors.ToolRefused(f"{'/'.join(parts[:end])!r} is a file, not a folder.")
        if any(known.startswith(f"{path}/") for known in files):
            raise errors.ToolRefused(f"{path!r} is a folder, not a file.")
        if why := self.refusal(path):
            raise errors.ToolRefused(why)
        self.edits[path] = content
        return {"path": path, "content": self._store(content)}

    def restore_edit(self, kept: dict[str, str]) -> None:
        """Take up an edit of an earlier life."""
        if kept.get("root"):
            self.root, self.edits, self.out = kept["root"], {}, kept["commit"]
            return
        name = kept["content"]
        self.edits[kept["path"]] = (self.folder / name).read_bytes() if name else None

    def take_out(self, commit: str) -> dict[str, str]:
        """Let the tree be the base without one commit; earlier edits are dropped."""
        sha = self.commit(commit)
        base = self.bench.repository.resolve(self.base)
        tree, conflicts = self.bench.source.without(base, sha)
        if tree is None:
            raise kept_in(sha, conflicts)
        self.root, self.edits, self.out = tree, {}, sha
        return {"root": tree, "commit": sha, "base": base}

    def _links(self) -> frozenset[str]:
        answer = self.bench.repository.run("ls-tree", "-r", "-z", "--full-tree", self.root)
        entries = answer.out.decode("utf-8", "surrogateescape").split("\0")
        return frozenset(e.partition("\t")[2] for e in entries if e.startswith(LINK))

    def _store(self, content: bytes | None) -> str:
        if content is None:
            return ""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = hashlib.sha256(content).hexdigest()
        (self.folder / name).write_bytes(content)
        return name

    # --- evidence

    def record(
        self, kind: models.EvidenceKind, source: str, locator: str, text: str, shown: str = ""
    ) -> Answer:
        """Record a fact, and return it as an answer that names its id."""
        safe = self.teller.safe(text)
        name = self.ledger.add(kind, source, self.teller.safe(locator), safe)
        item = self.ledger.get(name)
        kept = {"evidence": item.model_dump(mode="json")} if item else None
        told = f"[{name}] {locator}\n{shown or text}"
        return Answer(told, kept=kept, source=SOURCES.get(kind, Source.EVIDENCE), origin=source)

    def restore_evidence(self, kept: dict[str, object]) -> None:
        """Take up a fact of an earlier life."""
        if "evidence" in kept:
            self.ledger.put(reports.EvidenceItem.model_validate(kept["evidence"]))

    # --- revisions

    def commit(self, name: str) -> str:
        """Return the full sha of a commit that the broken revision contains; raises ToolRefused."""
        try:
            sha = self.bench.repository.resolve(name)
        except errors.NotFound as error:
            raise errors.ToolRefused(error.message) from error
        if ABBREVIATED.fullmatch(name) and not sha.startswith(name.lower()):
            raise errors.ToolRefused(
                f"{name!r} is also the name of a branch or a tag, of another commit; give the "
                "whole sha."
            )
        return sha

    def scene(self) -> Scene | None:
        """Return what replaying the failure showed; plays it if nobody has in this life."""
        return diagnose.scene_of(self.bench)


def kept_in(commit: str, conflicts: Sequence[str]) -> errors.ToolRefused:
    """Return the refusal to take a commit out: later ones changed the same lines of these files."""
    said = f"{commit[:12]} cannot be taken out by itself"
    if not conflicts:
        return errors.ToolRefused(f"{said}: it is not contained.")
    return Refused(f"{said}; later commits changed the same lines of:", "\n".join(conflicts[:5]))
