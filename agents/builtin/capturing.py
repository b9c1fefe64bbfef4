"""What the captures of the live service say: how much of something scarce is in use.

Used by production-fixer. The hooks ran outside, read-only, before the engine was called; their
words are untrusted. A pool that is used up is a measurement, not yet a cause.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agents.case import Capture
from agents.evidence import Ledger
from incidents import models
from incidents.reports import Claim

FULL = 0.95  # of its limit in use
USED = ("used", "in_use", "open", "active", "busy", "checked_out")
LIMIT = ("limit", "size", "max", "capacity", "maximum")
WAITING = ("waiting", "queued", "pending", "waiters")
DEPTH, MOST = 4, 50


@dataclass(frozen=True)
class Use:
    """How much of something is in use; `waiting` is None where nobody counts."""

    name: str
    used: float
    limit: float
    waiting: float | None

    @property
    def full(self) -> bool:
        """Whether nothing is left, or next to nothing."""
        return self.limit > 0 and self.used >= FULL * self.limit

    def __str__(self) -> str:
        waits = "" if self.waiting is None else f", {self.waiting:g} waiting"
        return f"{self.name}: {self.used:g} of {self.limit:g} in use{waits}"


@dataclass(frozen=True)
class Told:
    """One capture: the claim that the report makes of it, and what is used up."""

    claim: Claim
    full: tuple[tuple[Use, str], ...] = ()  # with the id of its evidence


def read(captures: Sequence[Capture], ledger: Ledger) -> tuple[Told, ...]:
    """Record every capture and say what it shows."""
    return tuple(_read(capture, ledger) for capture in captures)


def _read(capture: Capture, ledger: Ledger) -> Told:
    at = f"{capture.at:%H:%M:%S} UTC"
    said = capture.output if not capture.problem else f"{capture.problem}\n{capture.output}"
    found = ledger.add(
        models.EvidenceKind.COMMAND,
        f"capture of {capture.kind}",
        " ".join(capture.argv)[:200],
        said,
        capture.at,
    )
    if capture.problem:
        return Told(Claim(text=f"{capture.kind} at {at}: {capture.problem}", evidence=(found,)))
    uses = tuple(_uses(capture))[:MOST]
    full = tuple((use, found) for use in uses if use.full)
    words = "; ".join(map(str, [use for use, _ in full] or uses[:3]))
    words = words or f"{len(capture.output.splitlines())} lines, kept as evidence"
    return Told(Claim(text=f"{capture.kind} at {at}: {words}", evidence=(found,)), full)


def _uses(capture: Capture) -> Iterator[Use]:
    try:
        table = json.loads(capture.output)
    except (ValueError, RecursionError):
        return
    yield from _walk(table, capture.kind, DEPTH)


def _walk(value: object, name: str, depth: int) -> Iterator[Use]:
    if depth == 0:
        return
    if isinstance(value, list):
        for number, item in enumerate(value[:MOST]):
            yield from _walk(item, f"{name} {number + 1}", depth - 1)
    if not isinstance(value, dict):
        return
    named = str(value.get("name", name))[:60]
    used, limit = _figure(value, USED), _figure(value, LIMIT)
    if used is not None and limit is not None:
        yield Use(named, used, limit, _figure(value, WAITING))
    for key, item in list(value.items())[:MOST]:
        if isinstance(item, dict | list):
            yield from _walk(item, str(key)[:60], depth - 1)


def _figure(row: dict[object, object], names: Sequence[str]) -> float | None:
    for name in names:
        value = row.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return None
