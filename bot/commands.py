"""Carries out what people say: the one road of slash commands, mentions, buttons and pages.

Called by every platform with a typed line or a vote, the person, and a key that makes the act
happen once. Asks `incidents.policy` first, changes through `incidents.service` and
`incidents.approvals`, and answers in one sentence. Never posts: the timeline does.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from bot import hotfixes, parsing, texts, words
from bot.once import PATIENCE_SECONDS, Deed, Once
from bot.parsing import Command, Misunderstood
from bot.said import Said
from bot.verbs import Verb
from incidents import errors, lifecycle, mitigations
from incidents.approvals import TAKES_ANSWERS, Approvals, Expected
from incidents.knowledge import ActionItems
from incidents.models import (
    Act,
    Answer,
    Approval,
    Change,
    ChangeKind,
    Duty,
    EntryKind,
    Incident,
    Json,
    Person,
    Stage,
)
from incidents.offers import Offers
from incidents.policy import Access, Refused, may
from incidents.rollouts import Rollouts
from incidents.service import Incidents, Opening
from incidents.stages import Stages
from incidents.timeline import Draft, Timeline
from incidents.votes import Decision

ACTS: dict[Verb, Act] = {
    Verb.OPEN: Act.OPEN,
    Verb.STATUS: Act.STATUS,
    Verb.LIST: Act.STATUS,
    Verb.HELP: Act.STATUS,
    Verb.SEVERITY: Act.SEVERITY,
    Verb.ACK: Act.ACK,
    Verb.OWN: Act.OWN,
    Verb.OPERATIONS: Act.OWN,
    Verb.COMMUNICATIONS: Act.OWN,
    Verb.ACTIONS: Act.STATUS,
    Verb.MERGE: Act.MERGE,
    Verb.NOTE: Act.NOTE,
    Verb.CHANGED: Act.CHANGED,
    Verb.HOLD: Act.HOLD,
    Verb.ROLLBACK: Act.TAKE_BACK,
    Verb.MITIGATED: Act.MITIGATED,
    Verb.ESCALATE: Act.ESCALATE,
    Verb.RESOLVE: Act.RESOLVE,
    Verb.REOPEN: Act.RESOLVE,
    Verb.CANCEL: Act.CANCEL,
    Verb.MITIGATE: Act.ROLE_RUN,  # asking for it; the yes is an approver's
    Verb.EMERGENCY: Act.SEVERITY,
    Verb.RETRY: Act.ROLE_RUN,
    Verb.DIAGNOSE: Act.ROLE_RUN,
    Verb.PATCH: Act.ROLE_RUN,
    Verb.TEST: Act.ROLE_RUN,
    Verb.DEPLOY: Act.ROLE_RUN,
    Verb.REVIEW: Act.ROLE_RUN,
    Verb.CLOSE: Act.CLOSE,
    Verb.PUBLISH: Act.PUBLISH,
}  # APPROVE, REFUSE and BREAK_GLASS are judged by `approvals`, which know what is asked


REPEATABLE = (Verb.OPEN, Verb.APPROVE, Verb.REFUSE, Verb.BREAK_GLASS, Verb.HOTFIX)
READS = (Verb.STATUS, Verb.LIST, Verb.HELP, Verb.ACTIONS)
DUTIES = {
    Verb.OWN: Duty.COMMANDER,
    Verb.OPERATIONS: Duty.OPERATIONS,
    Verb.COMMUNICATIONS: Duty.COMMUNICATIONS,
}
DONE_ALREADY = "That was done already."

Question = Callable[[], Said]  # changes nothing, so that it is not stored and may be asked twice
Wish = Deed | Question


@dataclass(frozen=True)
class Commands:
    """Carries out commands over the store's faces; blocking, so call it in a thread."""

    incidents: Incidents
    stages: Stages
    timeline: Timeline
    approvals: Approvals
    rollouts: Rollouts
    access: Callable[[], Access]
    now: Callable[[], datetime]  # the database's clock
    once: Once
    action_items: ActionItems
    offers: Offers
    conversations: tuple[str, ...] = ()  # that follow every incident, such as "slack:C024BE91L"

    def say(self, line: str, person: Person, thread: str | None, key: str) -> Said:
        """Carry out a typed line; `thread` is the INC-n that it was typed in."""
        return self._now(self.saying(line, person, thread, key))

    def vote(
        self,
        approval: str,
        person: Person,
        answer: Answer,
        key: str,
        expected: Expected | None = None,
    ) -> Said:
        """Answer the question that a message asks; `expected` is what the voter saw of it."""
        return self._now(self.voting(approval, person, answer, key, expected))

    def withdraw(self, approval: str, person: Person, key: str) -> Said:
        """Take one's yes back, as long as the step has not begun."""
        return self._now(self.withdrawing(approval, person, key))

    def publish(self, incident: str, text: str, person: Person, key: str) -> Said:
        """Publish the review as a human has edited it (Markdown)."""
        return self._now(self.publishing(incident, text, person, key))

    def _now(self, wish: Wish) -> Said:
        return _said(lambda: self.carry_out([wish])[0].result(PATIENCE_SECONDS))

    def carry_out(self, wishes: Sequence[Wish]) -> list[Future[Said]]:
        """Carry out what several people want, in its order, and store it together."""
        done = iter(self.once.do([one for one in wishes if isinstance(one, Deed)]))
        return [next(done) if isinstance(one, Deed) else _asked(one) for one in wishes]

    def saying(
        self, line: str, person: Person, thread: str | None, key: str, place: str | None = None
    ) -> Wish:
        """Return what a typed line asks for.

        `place` is the conversation that an incident opened here is told in, such as "slack:C1".
        """
        parsed = parsing.parse(line, words.names(self.access().services), thread)
        if isinstance(parsed, Misunderstood):
            wrong = Said(
                texts.sentence(parsed.reason), False, thread, parsed.try_this, parsed.lines
            )
            return lambda: wrong
        if parsed.verb in READS:
            return lambda: self.answer(parsed, person, key, self.now())
        command = replace(parsed, place=place)
        body = _body("say", person, line=line, thread=thread, place=place)
        again = Said(DONE_ALREADY, True, parsed.incident or thread)
        # Opening and answering are made once by the store itself, under the same key.
        repeats = parsed.verb in REPEATABLE
        return Deed(
            key,
            person,
            body,
            lambda at: self.answer(command, person, key, at),
            lambda: self.answer(command, person, key, self.now()) if repeats else again,
        )

    def voting(
        self, approval: str, person: Person, answer: Answer, key: str, expected: Expected | None
    ) -> Wish:
        """Return an answer to the question that a message asks."""
        saw = None if expected is None else asdict(expected)
        body = _body("vote", person, approval=approval, answer=answer.value, expected=saw)

        def act(at: datetime) -> Said:
            self.access()  # an admin may have linked accounts a moment ago
            decision = self.approvals.decide(approval, person, answer, expected, key)
            return self.voted(decision, answer)

        return _deed(key, person, body, act)

    def withdrawing(self, approval: str, person: Person, key: str) -> Wish:
        """Return the wish to take one's yes back."""

        def act(at: datetime) -> Said:
            decision = self.approvals.withdraw(approval, person, key)
            said = "Your yes is withdrawn; nothing moves." if decision.accepted else decision.reason
            return Said(said, decision.accepted, f"INC-{decision.approval.incident}")

        return _deed(key, person, _body("withdraw", person, approval=approval), act)

    def publishing(self, incident: str, text: str, person: Person, key: str) -> Wish:
        """Return the wish to publish the review as a human has edited it."""

        def act(at: datetime) -> Said:
            return self._published(self._found(incident, person), text, person)

        return _deed(key, person, _body("publish", person, incident=incident, text=text), act)

    def answer(self, command: Command, person: Person, key: str, at: datetime) -> Said:
        """Carry out an understood command now, journaled or not; `at` is when it was said."""
        said = _said(lambda: self._carry_out(command, person, key, at))
        return said if said.incident else replace(said, incident=command.incident)

    def visible(self, person: Person) -> list[Incident]:
        """Return the live incidents that a person may see; nobody from outside sees any."""
        if isinstance(may(Act.STATUS, person, None, self.access()), Refused):
            return []
        return [one for one in self.incidents.list() if self._sees(one, person)]

    def allowed(self, act: Act, name: str, person: Person) -> Incident:
        """Return an incident to which a person may do something; raises `errors.NotAllowed`."""
        found = self._found(name, person)
        self._allow(act, person, found)
        return found

    def _found(self, name: str, person: Person) -> Incident:
        """Return an incident; a private one is not there for those who may not see it."""
        incident = self.incidents.find(name)
        if not self._sees(incident, person):
            raise errors.NotFound(f"There is no incident {incident.id}.")
        return incident

    def _sees(self, incident: Incident, person: Person) -> bool:
        if not incident.private:
            return True
        return not isinstance(may(Act.OWN, person, incident.service, self.access()), Refused)

    def _published(self, found: Incident, text: str, person: Person) -> Said:
        self._allow(Act.PUBLISH, person, found)
        if self.stages.last(found.number, Stage.REVIEW) is None:
            raise errors.WrongState(f"{found.id} has no review yet.", incident_id=found.id)
        content = {"text": text} if text.strip() else {}
        self.timeline.append(found.number, Draft(EntryKind.PUBLISHED, content, "review"), person)
        return Said("The review is published.", True, found.id)

    def _carry_out(self, command: Command, person: Person, key: str, at: datetime) -> Said:
        if command.verb is Verb.HELP:
            return Said(words.help_text(command.text))
        if command.verb is Verb.OPEN:
            return self._open(command, person, key)
        if command.verb is Verb.HOTFIX:
            return self._hotfix(command, person, key)
        if command.verb is Verb.LIST:
            self._allow(Act.STATUS, person, None)
            return Said(words.listing(self.visible(person)))
        incident = self._found(command.incident or "", person)
        if command.verb in ACTS:
            self._allow(ACTS[command.verb], person, incident)
        if command.verb is Verb.CHANGED:
            return self._changed(command, incident, person, at)
        return _DO[command.verb](self, command, incident, person, key)

    def _allow(self, act: Act, person: Person, incident: Incident | None) -> None:
        service = incident.service if incident else None
        answer = may(act, person, service, self.access())
        if isinstance(answer, Refused):
            raise errors.NotAllowed(answer.reason, incident_id=incident.id if incident else None)

    def _open(self, command: Command, person: Person, key: str) -> Said:
        self._allow(Act.OPEN, person, None)
        incident = self.incidents.open(
            Opening(
                title=command.text,
                reporter=person,
                key=key,
                severity=command.severity,
                service=command.service,
                emergency=command.emergency,
                conversations=_told_in(self.conversations, command.place),
            )
        )
        return Said(
            f"{incident.id} is open as {incident.severity}: {texts.inline(incident.title)}",
            True,
            incident.id,
        )

    def _hotfix(self, command: Command, person: Person, key: str) -> Said:
        wanted = hotfixes.act_of(command)
        if command.incident is None:
            answer = may(wanted, person, command.service, self.access())
            if isinstance(answer, Refused):
                raise errors.NotAllowed(answer.reason)
            incident = hotfixes.opened(self.incidents, command, person, key)
        else:
            incident = self._found(command.incident, person)
            self._allow(wanted, person, incident)
        return hotfixes.asked(
            hotfixes.Desk(self.incidents, self.stages, self.timeline),
            incident,
            command,
            person,
            key,
        )

    def _status(self, command: Command, incident: Incident, person: Person, key: str) -> Said:
        pending = self.approvals.pending(incident.number)
        runs = self.incidents.runs(incident.number)
        return Said(words.status(incident, runs, pending, self.now()), True, incident.id)

    def _severity(self, command: Command, incident: Incident, person: Person, key: str) -> Said:
        if command.severity is None:
            raise errors.WrongState("Name a severity: P0 to P3.", incident_id=incident.id)
        changed = self.incidents.change_severity(incident.number, command.severity, person)
        return Said(f"{incident.id} is {changed.severity} now.", True, incident.id)

    def _ack(self, command: Command, incident: Incident, person: Person, key: str) -> Said:
        self.incidents.acknowledge(incident.number, person)
        return Said(f"You have {incident.id}.", True, incident.id)

    def _own(self, command: Command, incident: Incident, person: Person, key: str) -> Said:
        duty = DUTIES[command.verb]
        stands = self._stands(incident)
        self.incidents.own(incident.number, person, duty, stands)
        what = "the commander" if duty is Duty.COMMANDER else duty.value
        return Said(f"You are {what} of {incident.id}.", True, incident.id)

    def _stands(self, incident: Incident) -> Json:
        """Return where things stand, for whoever takes over."""
        running = [one for one in self.incidents.runs(incident.number) if one.state in words.LIVE]
        return {
            "status": incident.status.value,
            "stage": running[-1].stage.value if running else None,
            "asked": [
                {"act": one.act.value, "scope": one.scope, "until": one.expires_at.isoformat()}
                for one in self.approvals.pending(incident.number)
            ],
            "needs_human": incident.needs_human,
            "open_items": len(self.action_items.list(incident.number, open_only=True)),
        }

    def _actions(self, command: Command, incident: Incident, person: Person, key: str) -> Said:
        items = self.action_items.list(incident.number)
        return Said(words.actions(incident, items), True, incident.id)

    def _merge(self, command: Command, incident: Incident, person: Person, key: str) -> Said:
        into = self._found(command.text, person)
        self._allow(Act.MERGE, person, into)
        self.incidents.merge(incident.number, into.number, person)
        return Said(f"{incident.id} goes on in {into.id}.", True, into.id)

    def _note(self, command: Command, incident: Incident, person: Person, key: str) -> Said:
        self.incidents.note(incident.number, person, command.text)
        return Said("Noted.", True, incident.id)

    def _changed(self, command: Command, incident: Incident, person: Person, at: datetime) -> Said:
        if incident.service is None:
            raise errors.WrongState(f"{incident.id} names no service.", incident_id=incident.id)
        first, _, rest = command.text.partition(" ")
        kinds = {kind.value: kind for kind in ChangeKind}
        kind = kinds.get(first.lower(), ChangeKind.INFRA)
        change = Change(
            service=incident.service,
            kind=kind,
            at=at,  # when it was said; the same act recovered after a crash is the same change
            source=str(person),
            note=rest if first.lower() in kinds else command.text,
        )
        self.incidents.record_change(change, person, incident.number)
        return Said(f"Recorded as a change of {incident.service}.", True, incident.id)

    def _answer(self, command: Command, incident: Incident, person: Person, key: str) -> Said:
        answer = Answer.YES if command.verb is Verb.APPROVE else Answer.NO
        asked = self._asked(incident)
        if answer is Answer.YES and command.text:
            asked = self.offers.take(asked, command.text.lower(), person)
        return self.voted(self.approvals.decide(asked.id, person, answer, None, key), answer)

    def _break_glass(self, command: Command, incident: Incident, person: Person, key: str) -> Said:
        asked = self._asked(incident)
        why = command.text
        return self.voted(
            self.approvals.decide(asked.id, person, Answer.YES, None, key, why), Answer.YES
        )

    def _asked(self, incident: Incident) -> Approval:
        """Return the newest open question; raises `errors.WrongState` where nothing is asked."""
        if pending := self.approvals.pending(incident.number):
            return pending[-1]
        raise errors.WrongState(f"{incident.id} asks nothing right now.", incident_id=incident.id)

    def voted(self, decision: Decision, answer: Answer) -> Said:
        """Return what became of a vote, as a sentence."""
        done = "Approved." if answer is Answer.YES else "Refused."
        waits = answer is Answer.YES and decision.approval.state in TAKES_ANSWERS  # for others
        said = texts.sentence(decision.reason) if waits or not decision.accepted else done
        return Said(said, decision.accepted, f"INC-{decision.approval.incident}")

    def _hold(self, command: Command, incident: Incident, person: Person, key: str) -> Said:
        self._request(Act.HOLD, incident, person)
        return Said("The canary stays where it is.", True, incident.id)

    def _rollback(self, command: Command, incident: Incident, person: Person, key: str) -> Said:
        self._request(Act.TAKE_BACK, incident, person)
        return Said("Taking the canary back.", True, incident.id)

    def _request(self, act: Act, incident: Incident, person: Person) -> None:
        rolling = self.rollouts.open_rollouts(incident=incident.number)
        if not rolling:
            raise errors.WrongState(
                f"{incident.id} has no rollout that is open.", incident_id=incident.id
            )
        for rollout in rolling:
            self.rollouts.request(rollout.id, act, person)

    def _mitigated(self, command: Command, incident: Incident, person: Person, key: str) -> Said:
        self.incidents.mitigated(incident.number, person, command.text)
        return Said(f"{incident.id} is mitigated.", True, incident.id)

    def _mitigate(self, command: Command, incident: Incident, person: Person, key: str) -> Said:
        service = self.access().services.get(incident.service or "")
        if service is None:
            raise errors.WrongState(f"{incident.id} names no service.", incident_id=incident.id)
        if incident.status not in lifecycle.LIVE:
            raise errors.WrongState(
                f"{incident.id} is {incident.status.value}; `/incident reopen` comes first.",
                incident_id=incident.id,
            )
        scope = " ".join(command.text.lower().split())
        asked = self.approvals.ask(mitigations.question(incident, service, scope, key))
        if isinstance(may(Act.MITIGATE, person, service.name, self.access()), Refused):
            return Said(f"{scope!r} is asked of the approvers.", True, incident.id)
        # Whoever may approve it and names it has said yes to exactly this.
        return self.voted(
            self.approvals.decide(asked.id, person, Answer.YES, None, key), Answer.YES
        )

    def _emergency(self, command: Command, incident: Incident, person: Person, key: str) -> Said:
        self.incidents.declare_emergency(incident.number, person)
        return Said(f"{incident.id} takes the emergency path as P0.", True, incident.id)

    def _retry(self, command: Command, incident: Incident, person: Person, key: str) -> Said:
        run = self.incidents.retry(incident.number, person)
        return Said(f"{incident.id}: {run.stage.value} runs again.", True, incident.id)

    def _role(self, command: Command, incident: Incident, person: Person, key: str) -> Said:
        stage = Stage(command.verb.value)
        self.incidents.run_role(incident.number, stage, person, command.text)
        alone = "" if stage is Stage.DEPLOY else " alone"
        return Said(f"{incident.id}: {stage.value} runs{alone}.", True, incident.id)

    def _escalate(self, command: Command, incident: Incident, person: Person, key: str) -> Said:
        if command.text:
            self.incidents.note(incident.number, person, command.text)
        self.stages.queue_stage(incident.number, Stage.ESCALATE, person)
        return Said(f"{incident.id} is escalated.", True, incident.id)

    def _resolve(self, command: Command, incident: Incident, person: Person, key: str) -> Said:
        self.incidents.resolve(incident.number, person, command.text)
        return Said(f"{incident.id} is resolved; the review is being written.", True, incident.id)

    def _reopen(self, command: Command, incident: Incident, person: Person, key: str) -> Said:
        self.incidents.reopen(incident.number, person, command.text)
        return Said(f"{incident.id} is open again.", True, incident.id)

    def _cancel(self, command: Command, incident: Incident, person: Person, key: str) -> Said:
        self.incidents.cancel(incident.number, person, command.text)
        return Said(f"{incident.id} is cancelled; what runs stops.", True, incident.id)

    def _close(self, command: Command, incident: Incident, person: Person, key: str) -> Said:
        self.incidents.close(incident.number, person)
        return Said(f"{incident.id} is closed.", True, incident.id)

    def _publish(self, command: Command, incident: Incident, person: Person, key: str) -> Said:
        return self._published(incident, command.text, person)


_DO: dict[Verb, Callable[[Commands, Command, Incident, Person, str], Said]] = {
    Verb.STATUS: Commands._status,
    Verb.SEVERITY: Commands._severity,
    Verb.ACK: Commands._ack,
    Verb.OWN: Commands._own,
    Verb.OPERATIONS: Commands._own,
    Verb.COMMUNICATIONS: Commands._own,
    Verb.ACTIONS: Commands._actions,
    Verb.MERGE: Commands._merge,
    Verb.NOTE: Commands._note,
    Verb.APPROVE: Commands._answer,
    Verb.REFUSE: Commands._answer,
    Verb.BREAK_GLASS: Commands._break_glass,
    Verb.HOLD: Commands._hold,
    Verb.ROLLBACK: Commands._rollback,
    Verb.MITIGATED: Commands._mitigated,
    Verb.ESCALATE: Commands._escalate,
    Verb.MITIGATE: Commands._mitigate,
    Verb.EMERGENCY: Commands._emergency,
    Verb.RETRY: Commands._retry,
    Verb.DIAGNOSE: Commands._role,
    Verb.PATCH: Commands._role,
    Verb.TEST: Commands._role,
    Verb.DEPLOY: Commands._role,
    Verb.REVIEW: Commands._role,
    Verb.RESOLVE: Commands._resolve,
    Verb.REOPEN: Commands._reopen,
    Verb.CANCEL: Commands._cancel,
    Verb.CLOSE: Commands._close,
    Verb.PUBLISH: Commands._publish,
}


def _said(act: Callable[[], Said]) -> Said:
    """Return what an act says, a refusal as the sentence that it carries."""
    try:
        return act()
    except errors.HalonError as error:
        return Said(texts.sentence(error.message), False, error.incident_id)


def _told_in(always: tuple[str, ...], place: str | None) -> tuple[str, ...]:
    """Return where an incident is told: a platform with a place of its own needs no other."""
    has_home = place is not None and any(
        one.partition(":")[0] == place.partition(":")[0] for one in always
    )
    return always if place is None or has_home else (*always, place)


def _asked(question: Question) -> Future[Said]:
    answer: Future[Said] = Future()
    answer.set_result(_said(question))
    return answer


def _deed(key: str, person: Person, body: Json, act: Callable[[datetime], Said]) -> Deed:
    return Deed(key, person, body, lambda at: _said(lambda: act(at)), lambda: Said(DONE_ALREADY))


def _body(what: str, person: Person, **values: str | Json | None) -> Json:
    who = {"platform": person.platform.value, "user": person.user}
    return {"what": what, "person": who | {"guest": person.guest, "bot": person.bot}} | values
