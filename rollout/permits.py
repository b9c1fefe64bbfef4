"""What Flagger may do with a service's canary, on disk, and the answer to each of its questions.

The permit is written by `rollout.flagger` when Halon commands, the memory by `rollout.webhooks`,
which asks here what to answer. The answer is pure: a question, a permit and a memory come in.
A missing or unreadable permit is never a yes. Standard library only.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from rollout import record

START, RAISE, PROMOTE = "confirm-rollout", "confirm-traffic-increase", "confirm-promotion"
BACK = "rollback"
HOOKS = (START, RAISE, PROMOTE, BACK)
YES, BAD, STRANGER, NO, UNKNOWN = 200, 400, 401, 403, 404
T = TypeVar("T")


@dataclass(frozen=True)
class Permit:
    """What Halon commands now. `open` False: it rolls nothing out, and stands in nobody's way."""

    canary: str
    namespace: str
    token: str  # the SHA-256 of the webhooks' token
    open: bool = False
    may: tuple[str, ...] = ()  # the hooks that get a yes
    once: str = ""  # names this permit where one step is allowed, and no second
    until: float = 0.0  # of such a step: a permit that its writer could not close ends by itself
    rollout: str = ""


@dataclass(frozen=True)
class Memory:
    """What was answered before: whose questions they were, and which step is taken."""

    rollout: str = ""
    checksum: str = ""  # of the canary in progress, as Flagger names it
    spent: str = ""  # the permit whose one step was allowed
    asked: str = ""  # the newest question
    told: str = ""  # and its answer


@dataclass(frozen=True)
class Answer:
    """What Flagger is told; `memory` is what is kept of it."""

    code: int
    text: str
    memory: Memory


def digest(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def answer(hook: str, content: object, permit: Permit | None, memory: Memory, now: float) -> Answer:
    """Return the answer to one webhook; `content` is the JSON posted, `now` in UNIX seconds."""

    def said(code: int, text: str, keeping: Memory = memory) -> Answer:
        return Answer(code, text, replace(keeping, asked=hook, told=text))

    if hook not in HOOKS or permit is None:
        return said(UNKNOWN, f"There is no {hook!r} here: Halon has no permit for this service.")
    if not isinstance(content, Mapping):
        return said(BAD, "The body is no JSON object.")
    if not _knows(content, permit):
        return said(STRANGER, "metadata.token is missing or wrong.")
    name, namespace = content.get("name"), content.get("namespace")
    if (name, namespace) != (permit.canary, permit.namespace):
        return said(UNKNOWN, f"{name!r} in {namespace!r} is not the canary of this service.")
    if not permit.open:
        if hook == BACK:
            return said(NO, "Nothing is taken back.")
        return said(YES, "Halon rolls nothing out now: go on as without it.")
    kept = memory if memory.rollout == permit.rollout else Memory(rollout=permit.rollout)
    checksum = content.get("checksum")
    # The first name that Flagger gives the canary that is up; before that it may be an older one.
    if hook != START and not kept.checksum and isinstance(checksum, str):
        kept = replace(kept, checksum=checksum)
    if hook != START and kept.checksum and checksum != kept.checksum:
        return said(NO, "This is another revision than Halon rolls out.", kept)
    if hook not in permit.may:
        return said(NO, "Nobody has approved this step yet." if hook != BACK else "It stays.", kept)
    if hook == RAISE and permit.once and (kept.spent == permit.once or now >= permit.until):
        return said(NO, "This step was allowed before, and no further one is.", kept)
    spent = permit.once if hook == RAISE else kept.spent
    return said(YES, "Halon allows it.", replace(kept, spent=spent))


def _knows(content: Mapping[str, Any], permit: Permit) -> bool:
    metadata = content.get("metadata")
    token = metadata.get("token") if isinstance(metadata, Mapping) else None
    known = bool(permit.token) and isinstance(token, str)
    return known and hmac.compare_digest(digest(str(token)), permit.token)


def read(folder: Path) -> Permit | None:
    """Return a service's permit, None where there is none that can be read."""
    return _read(folder / "permit.json", Permit)


def write(folder: Path, permit: Permit) -> None:
    """Write a service's permit, readable by its owner alone."""
    _write(folder / "permit.json", permit)


def remembered(folder: Path) -> Memory:
    """Return what was answered for a service."""
    return _read(folder / "asked.json", Memory) or Memory()


def remember(folder: Path, memory: Memory) -> None:
    """Keep what was answered for a service."""
    _write(folder / "asked.json", memory)


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = {item.name for item in fields(kind)}  # type: ignore[arg-type]
        given = {name: value for name, value in content.items() if name in known}
        if "may" in given:
            given["may"] = tuple(given["may"])
        return kind(**given)
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _write(path: Path, value: Permit | Memory) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    record.write(path, json.dumps(asdict(value), indent=1) + "\n")
