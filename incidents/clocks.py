"""Stage clocks and the times of an incident: pure functions over runs and timeline entries.

Called by `service.clocks`, the status card and the review. Every figure comes from a state
transition that was recorded when it happened, never from a column that says when a row was touched.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from incidents import lifecycle, moves, schema
from incidents.models import (
    EntryKind,
    Incident,
    Outcome,
    Severity,
    Stage,
    StageClock,
    StageRun,
    Status,
    TimelineEntry,
)


@dataclass(frozen=True)
class Reached:
    """When all traffic was on the new version, and how long the run had waited until then."""

    at: datetime
    waited: timedelta


def reached(entries: Iterable[TimelineEntry]) -> dict[int, Reached]:
    """Return the runs that reached 100 %: their target ends there, the validation is not in it."""
    found: dict[int, Reached] = {}
    for entry in entries:
        said = entry.content
        told = entry.kind is EntryKind.DECISION and said.get("milestone")
        if told and said.get("outcome") == Outcome.FULL.value:
            waited = timedelta(seconds=float(said.get("waited_seconds", 0.0)))
            found.setdefault(int(said["run"]), Reached(entry.at, waited))
    return found


def stage_clocks(
    runs: Iterable[StageRun],
    severity: Severity,
    now: datetime,
    full: Mapping[int, Reached] | None = None,
) -> tuple[StageClock, ...]:
    """Return one clock per stage that has run, in the order in which the stages first began.

    The clock of a run that is `full` has stopped when it became so, though the run goes on.
    """
    full = full or {}
    by_stage: dict[Stage, list[StageRun]] = {}
    for run in runs:
        by_stage.setdefault(run.stage, []).append(run)
    return tuple(
        _clock(stage, of, lifecycle.target(severity, stage), now, full)
        for stage, of in by_stage.items()
    )


def _clock(
    stage: Stage,
    runs: Sequence[StageRun],
    target: timedelta | None,
    now: datetime,
    full: Mapping[int, Reached],
) -> StageClock:
    ends = [full[run.id].at if run.id in full else run.finished_at or now for run in runs]
    waits = [full[run.id].waited if run.id in full else waited(run, now) for run in runs]
    waiting = sum(waits, timedelta())
    whole = sum(
        (end - run.created_at for run, end in zip(runs, ends, strict=True)),
        timedelta(),
    )
    return StageClock(
        stage=stage,
        target=target,
        working=max(timedelta(), whole - waiting),
        waiting=waiting,
        running=any(run.state not in schema.ENDED_RUNS and run.id not in full for run in runs),
        parts=tuple(
            f"{run.attempt}: {run.outcome.value if run.outcome else run.state.value}"
            for run in runs
        ),
    )


def waited(run: StageRun, now: datetime) -> timedelta:
    """Return how long a run was in no worker's hands, the present wait included."""
    past = timedelta(seconds=run.waiting_seconds)
    if run.waiting_since is None or run.finished_at is not None:
        return past
    return past + max(timedelta(), now - run.waiting_since)


def is_overdue(clock: StageClock, wall: timedelta, times: int = 1) -> bool:
    """Return whether a stage's wall-clock time is past its target, or past a multiple of it."""
    return clock.running and clock.target is not None and wall > clock.target * times


@dataclass(frozen=True)
class Times:
    """The times of an incident; None where it did not come so far."""

    to_detect: timedelta | None  # onset to opened
    to_acknowledge: timedelta | None  # opened to the first human act
    to_mitigate: timedelta | None  # onset to mitigated: MTTR's term
    to_resolve: timedelta | None  # onset to resolved


def times(incident: Incident, entries: Iterable[TimelineEntry]) -> Times:
    """Return an incident's times from its transitions; the onset falls back to the opening."""
    kept = list(entries)
    opened = next((e.at for e in kept if e.kind is EntryKind.OPENED), incident.opened_at)
    onset = incident.onset or opened
    acts = (e.at for e in kept if e.kind is not EntryKind.OPENED and moves.is_human(e.actor))
    human = next(acts, None)
    resolved = _last_move(kept, Status.RESOLVED)
    mitigated = _last_move(kept, Status.MITIGATED) or resolved
    return Times(
        to_detect=opened - onset if incident.onset else None,
        to_acknowledge=human - opened if human else None,
        to_mitigate=mitigated - onset if mitigated else None,
        to_resolve=resolved - onset if resolved else None,
    )


def _last_move(entries: Iterable[TimelineEntry], to: Status) -> datetime | None:
    """Return the last move to a status since the incident was last reopened."""
    at = None
    for entry in entries:
        if entry.kind is not EntryKind.STATUS:
            continue
        if entry.content.get("to") == to.value:
            at = entry.at
        elif entry.content.get("to") == Status.REOPENED.value:
            at = None
    return at
