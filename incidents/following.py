"""What follows the end of a stage run, applied in the transaction that ends it.

Used by `stages.finish`, `stages.milestone` and `service`. The rules are `lifecycle.follow`; this
module counts what was tried and carries the answer out.
"""

from sqlalchemy import func, insert, select

from incidents import entries, lifecycle, moves, rows, schema, timeline
from incidents.lifecycle import Next, Then, Tried
from incidents.models import (
    MACHINE,
    EntryKind,
    Incident,
    Outcome,
    Person,
    RunState,
    Stage,
    StageRun,
    Status,
)
from incidents.store import Tx
from incidents.timeline import Draft

_R = schema.stage_run
_MADE = insert(_R).returning(_R.c.id)


def queue(tx: Tx, number: int, stage: Stage) -> StageRun:
    """Queue a stage of a locked incident, or return its run that is already live."""
    mine = (_R.c.incident == number, _R.c.stage == stage)
    if (there := tx.run(rows.select_runs(*mine, moves.live())).first()) is not None:
        return rows.run(there)
    attempts = tx.run(select(func.max(_R.c.attempt)).where(*mine)).scalar() or 0
    return rows.get_run(tx, _queue(tx, rows.get_incident(tx, number), stage, attempts + 1))


def begin(tx: Tx, incident: Incident, stage: Stage) -> None:
    """Queue the first stage of an incident that this transaction has opened."""
    _queue(tx, incident, stage, 1)


def _queue(tx: Tx, incident: Incident, stage: Stage, attempt: int) -> int:
    values = {
        "incident": incident.number,
        "service": incident.service,
        "stage": stage,
        "attempt": attempt,
        "state": RunState.READY,
        "fence": 0,
        "created_at": tx.now,
        "waiting_since": tx.now,
        "waiting_seconds": 0.0,
        "tries": 0,
        "cancel": False,
    }
    return int(tx.run(_MADE, values).scalar_one())


def apply(
    tx: Tx, run: StageRun, outcome: Outcome, human: str, say: bool = True
) -> tuple[Next, StageRun | None]:
    """Carry out what the table says for an outcome; return it and the run that was queued."""
    if timeline.said_before(tx, run.incident, EntryKind.NOTE, entries.alone(run.id)):
        return Next(None, Then.STOP), None  # asked for itself: whoever asked decides
    incident = rows.get_incident(tx, run.incident)
    following = lifecycle.follow(run.stage, outcome, tried(tx, run, outcome))
    if say and following.then is not Then.STOP:
        _say(tx, run, outcome, following)
    queued = None
    if following.offer_contain and incident.status in lifecycle.HURT:
        # Before the next stage: planning the way back takes a second, a diagnosis takes minutes.
        queue(tx, run.incident, Stage.CONTAIN)
    if following.then is Then.RESOLVED and Status.RESOLVED in lifecycle.MOVES[incident.status]:
        moves.move(tx, incident, Status.RESOLVED, MACHINE, {"stage": run.stage.value})
    elif following.then is Then.MITIGATED and Status.MITIGATED in lifecycle.MOVES[incident.status]:
        moves.move(tx, incident, Status.MITIGATED, MACHINE, {"stage": run.stage.value})
    elif following.then in (Then.NEEDS_HUMAN, Then.IMPOSSIBLE):
        sentence = human or f"The stage {run.stage.value} ended with {outcome.value!r}; decide."
        extra = {"stage": run.stage.value, "offer_contain": following.offer_contain}
        moves.need_human(tx, run.incident, sentence, MACHINE, extra)
    # People may have ended the incident while the stage ran; then only the review goes on.
    live = incident.status in lifecycle.LIVE or following.stage is Stage.REVIEW
    if following.stage is not None and live:
        queued = queue(tx, run.incident, following.stage)
    return following, queued


def tried(tx: Tx, run: StageRun, outcome: Outcome) -> Tried:
    """Count what was tried since the incident was (re)opened, this outcome included."""
    reopened = tx.run(
        select(schema.incident.c.reopened_at).where(schema.incident.c.number == run.incident)
    ).scalar_one()
    since = () if reopened is None else (_R.c.created_at >= reopened,)
    runs = [
        rows.run(row) for row in tx.run(rows.select_runs(_R.c.incident == run.incident, *since))
    ]
    ended = [other for other in runs if other.outcome is not None and other.id != run.id]
    diagnosed = max((r.id for r in ended if r.stage is Stage.DIAGNOSE), default=0)
    back = (Stage.DEPLOY, Outcome.TAKEN_BACK)
    return Tried(
        patches=sum(
            r.stage is Stage.PATCH and r.outcome is Outcome.PATCHED and r.id > diagnosed
            for r in ended
        ),
        taken_back=sum((r.stage, r.outcome) == back for r in ended)
        + ((run.stage, outcome) == back),
        escalated=any(
            r.stage is Stage.ESCALATE and r.state is not RunState.CANCELLED for r in runs
        ),
    )


def _say(tx: Tx, run: StageRun, outcome: Outcome, following: Next) -> None:
    content = {
        "run": run.id,
        "stage": run.stage.value,
        "attempt": run.attempt,
        "outcome": outcome.value,
        "next": following.stage.value if following.stage else None,
        "then": following.then.value,
        "offer_contain": following.offer_contain,
    }
    timeline.append(tx, run.incident, Draft(EntryKind.DECISION, content), MACHINE)


def queue_by(tx: Tx, number: int, stage: Stage, actor: Person) -> StageRun:
    """Queue a stage by somebody's word; a human's word also answers what a human had to do."""
    incident = rows.lock_incident(tx, number)
    if moves.is_human(actor):
        moves.heard(tx, incident, actor)
        moves.put(tx, number, needs_human=None)
    return queue(tx, number, stage)
