"""Which commits may be the cause: frames, blame, closeness in time and changed settings, all shown.

Called by the diagnosis to order what is tried first. A score is never a verdict: it only permits a
suspect and weighs the search.
"""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from agents.builtin import pins, traces
from agents.builtin.source import Source
from agents.builtin.tracelines import Frame
from agents.builtin.traces import Located
from agents.git import Commit
from agents.gitcalls import GitFailed
from incidents import reports

SAME_LINE, SAME_FUNCTION, SAME_FILE = 1.0, 0.5, 0.25
CONFIG, LOCK, NAMED = 0.3, 0.2, 0.4
FRAMES = 12
WORDS = 8
SHOWN = 8
# One commit stands out if it hits a line of a frame and the next one has at most this share of it.
CLEAR_SHARE = 0.5
HALF_LIFE = timedelta(days=14)
CONFIG_FILE = re.compile(
    r"\.(?:toml|ini|cfg|conf|ya?ml|env|properties|json)$|(?:^|/)(?:\.env|Dockerfile|Procfile)[^/]*$"
)
LOCK_FILE = re.compile(
    r"(?:^|/)(?:requirements[^/]*\.txt|constraints\.txt|[^/]*\.lock|package-lock\.json|go\.sum|poetry\.lock)$"
)
# Texts, and what runs before a deploy or not at all: none of it is there when a request fails.
INERT_FILE = re.compile(
    r"\.(?:md|rst|adoc)$|(?:^|/)(?:LICENSE|CHANGELOG|docs?/)"
    r"|^(?:\.github|\.circleci|\.buildkite|\.vscode|\.idea)/"
    r"|(?:^|/)(?:\.gitlab-ci\.yml|\.travis\.yml|\.pre-commit-config\.yaml|\.editorconfig"
    r"|\.git(?:ignore|attributes)|CODEOWNERS)$",
    re.IGNORECASE,
)


@dataclass
class Scored:
    """One commit with its terms; the score is their sum."""

    commit: Commit
    terms: list[tuple[float, str]] = field(default_factory=list)
    path: str | None = None
    line: int | None = None
    best: float = 0.0
    on_line: bool = False

    @property
    def score(self) -> float:
        """The sum of the terms."""
        return sum(value for value, _ in self.terms)


def rank(
    source: Source,
    *,
    head: str,
    good: str | None,
    frames: Sequence[Located],
    words: Sequence[str] = (),
    onset: datetime | None = None,
) -> list[Scored]:
    """Return the commits after `good` with a score, best first.

    score = sum over in-app frames of hit / (1 + depth), plus terms for changed settings and for
    names of the error that the change speaks of; all times recency = 1 / (1 + age / 14 days). A
    commit after the onset, or one that touches only tests and texts, has none.
    """
    window = source.between(good, head)
    scored = {
        commit.sha: Scored(commit)
        for commit in window
        if not commit.is_merge and _may_matter(commit, onset)
    }
    for depth, located in enumerate([item for item in frames if item.file][:FRAMES]):
        _score_frame(source, head, good, located, depth, scored)
    for item in scored.values():
        _score_settings(item)
    _score_words(source, words, scored)
    newest = max((item.commit.committed_at for item in scored.values()), default=None)
    for item in scored.values():
        age = (onset or newest or item.commit.committed_at) - item.commit.committed_at
        weight = 1 / (1 + max(age, timedelta(0)) / HALF_LIFE)
        item.terms = [(value * weight, why) for value, why in item.terms]
    return sorted(
        (item for item in scored.values() if item.terms),
        key=lambda item: (-item.score, -item.commit.committed_at.timestamp()),
    )


def clear(ranked: Sequence[Scored]) -> str | None:
    """Return the one commit that wrote a line of a frame and has no runner-up near it."""
    if not ranked or not ranked[0].on_line:
        return None
    if len(ranked) > 1 and ranked[1].score > ranked[0].score * CLEAR_SHARE:
        return None
    return ranked[0].commit.sha


def shown(ranked: Sequence[Scored], limit: int = SHOWN) -> tuple[reports.Suspect, ...]:
    """Return the first suspects as the report shows them, each with its terms."""
    return tuple(
        reports.Suspect(
            commit=item.commit.sha,
            path=item.path or next(iter(item.commit.paths), None),
            line=item.line,
            score=round(item.score, 4),
            why="; ".join(f"{value:.2f} {why}" for value, why in item.terms[:5]),
            subject=item.commit.subject[:120],
        )
        for item in ranked[:limit]
    )


def of_output(text: str) -> tuple[Frame, ...]:
    """Return the frames of pytest's own way of printing a traceback, newest first."""
    found = [
        Frame(match[1], int(match[2]), match[3] or "")
        for match in re.finditer(
            r"^([\w./@+-]+\.py):(\d+): (?:in (\w+)|[A-Za-z_][\w.]*)\s*$", text, re.MULTILINE
        )
    ]
    return tuple(reversed(found[:100]))


def words_of(message: str) -> tuple[str, ...]:
    """Return the names that an error message quotes."""
    quoted = re.findall(r"['\"]([A-Za-z_][\w.-]{2,60})['\"]", message)
    common = {"NoneType", "object", "None", "str", "int", "dict", "list", "float", "type"}
    return tuple(dict.fromkeys(word for word in quoted if word not in common))[:WORDS]


def locate(frames: Sequence[Frame], files: Sequence[str]) -> tuple[Located, ...]:
    """Return the frames that lie in the service's own tracked code; tests left out."""
    return tuple(
        item
        for item in traces.resolve(frames, files)
        if item.in_app and item.file and not pins.testlike(item.file)
    )


def _may_matter(commit: Commit, onset: datetime | None) -> bool:
    if onset is not None and commit.committed_at > onset:
        return False
    return any(not pins.testlike(path) and not INERT_FILE.search(path) for path in commit.paths)


def _score_frame(
    source: Source,
    head: str,
    good: str | None,
    located: Located,
    depth: int,
    scored: dict[str, Scored],
) -> None:
    path, line = located.file or "", located.frame.line
    content = source.repository.show(head, path)
    if content is None:
        return
    first, last = function_lines(content, line)
    try:
        blamed = source.repository.blame(head, path, first, last, since=good)
    except GitFailed:
        blamed = []
    hits: dict[str, tuple[float, int]] = {}
    for item in blamed:
        if item.older or item.sha not in scored:
            continue
        hit = SAME_LINE if item.line == line else SAME_FUNCTION
        if hit > hits.get(item.sha, (0.0, 0))[0]:
            hits[item.sha] = (hit, item.line)
    for sha, suspect in scored.items():
        if sha not in hits and path in suspect.commit.paths:
            hits[sha] = (SAME_FILE, line)
    names = {
        SAME_LINE: "wrote line",
        SAME_FUNCTION: "changed the function around",
        SAME_FILE: "changed the file of",
    }
    for sha, (hit, where) in hits.items():
        suspect = scored[sha]
        value = hit / (1 + depth)
        suspect.terms.append((value, f"{names[hit]} {path}:{line}"))
        suspect.on_line = suspect.on_line or (hit == SAME_LINE and depth <= 1)
        if value > suspect.best:
            suspect.best, suspect.path, suspect.line = value, path, where


def _score_settings(item: Scored) -> None:
    for path in item.commit.paths:
        if INERT_FILE.search(path):
            continue
        if LOCK_FILE.search(path):
            item.terms.append((LOCK, f"changed the dependencies in {path}"))
            item.path = item.path or path
        elif CONFIG_FILE.search(path) and not pins.testlike(path):
            item.terms.append((CONFIG, f"changed the settings in {path}"))
            item.path = item.path or path


def _score_words(source: Source, words: Sequence[str], scored: dict[str, Scored]) -> None:
    """Add a term to a commit whose change adds or removes a name that the error speaks of."""
    if not words:
        return
    for item in list(scored.values())[-60:]:
        parents = item.commit.parents
        if not parents:
            continue
        paths = [path for path in item.commit.paths if not pins.testlike(path)][:20]
        if not paths:
            continue
        diff = source.repository.diff(parents[0], item.commit.sha, paths, context=0)
        changed = [line for line in diff.splitlines() if re.match(r"[+-](?![+-]{2})", line)]
        for word in words:
            if any(word in line for line in changed):
                item.terms.append((NAMED, f"its change speaks of {word!r}"))
                break


def function_lines(content: bytes, line: int) -> tuple[int, int]:
    """Return the lines of the innermost Python function around a line, else five each way."""
    try:
        module = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):
        return max(1, line - 5), line + 5
    best = (max(1, line - 5), line + 5)
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
            inner = best == (max(1, line - 5), line + 5) or first > best[0]
            if first <= line <= node.end_lineno and inner:
                best = (first, min(node.end_lineno, first + 200))
    return best


def named_in(path: str, files: Sequence[str]) -> str | None:
    """Return the tracked file that ends with a path, if there is exactly one."""
    tail = PurePosixPath(path).as_posix().lstrip("/")
    hits = [file for file in files if file == tail or file.endswith("/" + tail)]
    return hits[0] if len(hits) == 1 else None
