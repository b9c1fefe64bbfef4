"""The chart beside the thread: the drawing of `bot.chart` over an incident's facts. Pure.

Called by `bot.web.parts`. The phases are those that the timeline tells of, so that the page shows
what the thread says.
"""

from datetime import datetime

from markupsafe import Markup

from bot import chart
from bot.web.facts import Facts
from incidents.models import EntryKind, Rollout

SIZE = (390, 250)
MARKS: dict[EntryKind, chart.MarkKind] = {
    EntryKind.TAKEN_BACK: chart.MarkKind.TAKEN_BACK,
    EntryKind.HELD: chart.MarkKind.HELD,
}


def svg(facts: Facts) -> Markup:
    """Return the error rate of both versions as SVG; empty before a rollout has counts."""
    if facts.rollout is None or not facts.buckets:
        return Markup()
    scene = chart.scene(
        facts.buckets,
        facts.incident.onset,
        _phases(facts, facts.rollout),
        _marks(facts, facts.rollout),
        SIZE,
    )
    return Markup(chart.to_svg(scene, chart.PAGE))  # noqa: S704 - every text in it is escaped


def _phases(facts: Facts, rollout: Rollout) -> list[chart.Phase]:
    """Return each share of traffic from its first entry to the next one's, or to the end."""
    begun = [
        (int(entry.content.get("percent", 0)), entry.at)
        for entry in facts.entries
        if entry.kind is EntryKind.PHASE and entry.content.get("rollout") == rollout.id
    ]
    starts = [
        (percent, at)
        for place, (percent, at) in enumerate(begun)
        if place == 0 or begun[place - 1][0] != percent
    ]
    over = [at for kind, at in _told(facts, rollout) if kind is EntryKind.TAKEN_BACK]
    ends = [at for _, at in starts[1:]] + [over[0] if over else None]
    return [
        chart.Phase(percent, start, end)
        for (percent, start), end in zip(starts, ends, strict=False)
        if percent
    ]


def _marks(facts: Facts, rollout: Rollout) -> list[chart.Mark]:
    marks = [chart.Mark(MARKS[kind], at) for kind, at in _told(facts, rollout)]
    if facts.incident.mitigated_at is not None:
        marks.append(chart.Mark(chart.MarkKind.MITIGATED, facts.incident.mitigated_at))
    return marks


def _told(facts: Facts, rollout: Rollout) -> list[tuple[EntryKind, datetime]]:
    return [
        (entry.kind, entry.at)
        for entry in facts.entries
        if entry.kind in MARKS and entry.content.get("rollout") == rollout.id
    ]
