"""Takes one of the other plans that a rollout was offered with, before anything of it has moved.

Called by the bot for `/incident approve WORD`. The plan changes and is asked for anew: a yes names
the hash of a plan, so nobody's yes to the first one counts for the second.
"""

from dataclasses import replace

from sqlalchemy import select, update

from incidents import approvals, entries, errors, policy, rows, schema, timeline
from incidents.approvals import THROUGH, Approvals, Question
from incidents.models import Answer, Approval, Person, Rollout, RolloutState, Stage
from incidents.policy import Access
from incidents.reports import Check, DeploymentPlan
from incidents.store import Store, Tx

_R = schema.rollout
ENOUGH = "enough traffic for a verdict in time"


class Offers:
    """Changes plans to what was offered."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store, self._access = store, access

    def take(self, asked: Approval, name: str, person: Person) -> Approval:
        """Return the question about the offered plan; the same offer again is the same question.

        Raises `errors.NotAllowed` for who may not approve, `errors.WrongState` where there is no
        such offer or something has moved.
        """
        with self._store.write() as tx:
            incident = rows.lock_incident(tx, asked.incident)
            allowed = policy.may_answer(asked, person, Answer.YES, incident, self._access)
            if isinstance(allowed, policy.Refused):
                raise errors.NotAllowed(allowed.reason, incident_id=incident.id)
            rollout = _planned(tx, asked)
            made = _changed(DeploymentPlan.model_validate(rollout.plan), name, incident.id)
            content = made.model_dump(mode="json")
            hashed = approvals.digest(content)
            if rollout.plan_hash != hashed:
                named = update(_R).where(_R.c.id == rollout.id)
                tx.run(named.values(plan=content, plan_hash=hashed))
                shown = entries.plan(rollout.id, content, Stage.DEPLOY)
                timeline.append(tx, asked.incident, shown, person)
        return self._ask(asked, replace(rollout, plan=content, plan_hash=hashed), made)

    def _ask(self, asked: Approval, rollout: Rollout, made: DeploymentPlan) -> Approval:
        first, last = made.phases[0].percent, made.phases[-1].percent
        through = asked.scope.startswith(THROUGH)
        return Approvals(self._store, self._access).ask(
            Question(
                incident=asked.incident,
                service=asked.service,
                act=asked.act,
                scope=f"{THROUGH}{last}" if through else str(first),
                patch_digest=asked.patch_digest,
                plan_hash=rollout.plan_hash,
                key=f"{rollout.id}-start-{made.chosen}",
                rollout=rollout.id,
                verdict=asked.verdict,
                gate=asked.gate,
                author=asked.author,
                expires=asked.expires_at - asked.asked_at,
            )
        )


def _planned(tx: Tx, asked: Approval) -> Rollout:
    row = tx.run(select(_R).where(_R.c.id == asked.rollout)).first()
    rollout = rows.rollout(row) if row is not None else None
    if rollout is None or rollout.state is not RolloutState.PLANNED:
        raise errors.WrongState(
            "Another plan can be taken only before the start; nothing was changed.",
            incident_id=f"INC-{asked.incident}",
        )
    return rollout


def _changed(made: DeploymentPlan, name: str, incident: str) -> DeploymentPlan:
    if made.chosen == name:
        return made
    offer = next((one for one in made.offers if one.name == name), None)
    if offer is None:
        known = " or ".join(repr(one.name) for one in made.offers) or "nothing else"
        raise errors.WrongState(
            f"There is no offer {name!r}; offered is {known}. Nothing was done.",
            incident_id=incident,
        )
    checks = tuple(
        Check(text=one.text, passed=True, detail=offer.text) if one.text == ENOUGH else one
        for one in made.checklist
    )
    return made.model_copy(
        update={
            "phases": offer.phases,
            "offers": (),
            "chosen": name,
            "checklist": checks,
            "gaps": tuple(gap for gap in made.gaps if gap != made.traffic),
            "traffic": f"{made.traffic} Chosen instead: {offer.text}.",
        }
    )
