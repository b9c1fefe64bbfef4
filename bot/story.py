"""What a timeline tells of one rollout, as the chart needs it: its phases and what ended them.

Called by `bot.gathering` and by the page. Pure; entries whose content was purged tell nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.chart import Mark, MarkKind, Phase
from incidents.models import EntryKind, Status, TimelineEntry


@dataclass(frozen=True)
class Told:
    """The phases of a rollout in order, and the marks."""

    phases: tuple[Phase, ...] = ()
    marks: tuple[Mark, ...] = ()


def told(entries: Sequence[TimelineEntry], rollout: str) -> Told:
    """Return the phases and marks of a rollout."""
    begun: dict[int, datetime] = {}
    held: datetime | None = None
    back: datetime | None = None
    mitigated: datetime | None = None
    for entry in entries:
        mine = entry.content.get("rollout") == rollout
        if mine and entry.kind is EntryKind.PHASE:
            begun.setdefault(int(entry.content["percent"]), entry.at)
        elif mine and entry.kind is EntryKind.HELD:
            held = held or entry.at
        elif mine and entry.kind is EntryKind.TAKEN_BACK:
            back = back or entry.at
        elif begun and _is_mitigated(entry):
            mitigated = entry.at
    return Told(_phases(begun, back), _marks(held, back, mitigated))


def _is_mitigated(entry: TimelineEntry) -> bool:
    return entry.kind is EntryKind.STATUS and entry.content.get("to") == Status.MITIGATED.value


def _phases(begun: dict[int, datetime], back: datetime | None) -> tuple[Phase, ...]:
    steps = sorted((at, percent) for percent, at in begun.items() if percent)
    ends = [at for at, _ in steps[1:]] + [back]
    return tuple(Phase(percent, at, end) for (at, percent), end in zip(steps, ends, strict=False))


def _marks(
    held: datetime | None, back: datetime | None, mitigated: datetime | None
) -> tuple[Mark, ...]:
    found = (
        (MarkKind.HELD, held),
        (MarkKind.TAKEN_BACK, back),
        (MarkKind.MITIGATED, mitigated),
    )
    return tuple(Mark(kind, at) for kind, at in found if at is not None)
