"""The war room as JSON: the same incidents for programs, with the same access as the pages.

Called by `bot.web.app`; used by `halon demo`, tests and whoever holds a token. Pure: facts in, JSON
out. Times are ISO 8601 in UTC, durations seconds, money a string.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from bot.web.facts import Facts
from incidents.models import (
    ActionItem,
    Approval,
    Incident,
    Json,
    Rollout,
    Stage,
    StageClock,
    StageRun,
    TimelineEntry,
)


def incident(one: Incident) -> Json:
    """Return an incident as it stands."""
    return {
        "id": one.id,
        "title": one.title,
        "severity": one.severity.value,
        "status": one.status.value,
        "service": one.service,
        "opened_at": _at(one.opened_at),
        "onset": _at(one.onset),
        "acknowledged_at": _at(one.acknowledged_at),
        "mitigated_at": _at(one.mitigated_at),
        "resolved_at": _at(one.resolved_at),
        "commander": None if one.commander is None else str(one.commander),
        "operations": None if one.operations is None else str(one.operations),
        "communications": None if one.communications is None else str(one.communications),
        "needs_human": one.needs_human,
        "drill": one.drill,
    }


def whole(facts: Facts) -> Json:
    """Return an incident with stages, verdict, open questions, rollout and cost."""
    diagnosis: Mapping[str, Any] = facts.report(Stage.DIAGNOSE) or {}
    return incident(facts.incident) | {
        "now": _at(facts.now),
        "verdict": diagnosis.get("verdict"),
        "culprit": diagnosis.get("culprit"),
        "stages": [_clock(clock) for clock in facts.clocks],
        "runs": [_run(run) for run in facts.runs],
        "approvals": [_approval(approval) for approval in facts.asked],
        "rollout": None if facts.rollout is None else _rollout(facts.rollout),
        "cost": str(facts.cost),
        "action_items": [_item(item) for item in facts.items],
    }


def entry(one: TimelineEntry) -> Json:
    """Return a timeline entry with its place in the chain."""
    return {
        "sequence": one.sequence,
        "kind": one.kind.value,
        "at": _at(one.at),
        "actor": str(one.actor),
        "subject": one.subject,
        "content": one.content,
        "hash": one.hash,
        "previous": one.previous,
    }


def _clock(clock: StageClock) -> Json:
    return {
        "stage": clock.stage.value,
        "target_seconds": _seconds(clock.target),
        "working_seconds": _seconds(clock.working),
        "waiting_seconds": _seconds(clock.waiting),
        "running": clock.running,
    }


def _run(run: StageRun) -> Json:
    return {
        "id": run.id,
        "stage": run.stage.value,
        "attempt": run.attempt,
        "state": run.state.value,
        "outcome": None if run.outcome is None else run.outcome.value,
        "engine": run.engine,
        "error": run.error,
        "started_at": _at(run.started_at),
        "finished_at": _at(run.finished_at),
        "cost": str(run.cost),
    }


def _approval(approval: Approval) -> Json:
    return {
        "id": approval.id,
        "act": approval.act.value,
        "scope": approval.scope,
        "state": approval.state.value,
        "rollout": approval.rollout,
        "patch_digest": approval.patch_digest,
        "plan_hash": approval.plan_hash,
        "asked_at": _at(approval.asked_at),
        "expires_at": _at(approval.expires_at),
    }


def _rollout(rollout: Rollout) -> Json:
    return {
        "id": rollout.id,
        "state": rollout.state.value,
        "phase": rollout.phase,
        "revision": rollout.revision,
        "stable_revision": rollout.stable_revision,
        "safe_version": rollout.safe_version.value,
        "result": None if rollout.result is None else rollout.result.value,
        "reason": rollout.reason,
        "deadline": _at(rollout.deadline),
    }


def _item(item: ActionItem) -> Json:
    return {
        "id": item.id,
        "text": item.text,
        "owner": item.owner,
        "due": _at(item.due),
        "check": item.check,
        "done_at": _at(item.done_at),
    }


def _at(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()
