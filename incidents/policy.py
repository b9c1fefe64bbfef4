"""Who may do what: one pure table, `may` for acts, and `may_answer` for approvals.

Called by bot commands before a change and by `approvals.decide`. No I/O, no clock. An empty list
is nobody; guests, people from outside and bots are refused everything.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from incidents.models import (
    MACHINE,
    Act,
    Answer,
    Approval,
    Incident,
    Person,
    Platform,
    Result,
    Severity,
    Verdict,
)
from incidents.settings import Service


class Who(StrEnum):
    """The circles of people; the value is the name of the list in the settings."""

    ANYONE = "anyone"
    RESPONDERS = "responders"
    APPROVERS = "approvers"
    ADMINS = "admins"


WHO_MAY: dict[Act, Who] = {
    Act.OPEN: Who.ANYONE,
    Act.ACK: Who.ANYONE,
    Act.NOTE: Who.ANYONE,
    Act.STATUS: Who.ANYONE,
    Act.CHANGED: Who.RESPONDERS,  # a false record would point the diagnosis at the innocent
    Act.OWN: Who.RESPONDERS,
    Act.SEVERITY: Who.RESPONDERS,
    Act.HOTFIX: Who.RESPONDERS,
    Act.ROLE_RUN: Who.RESPONDERS,
    Act.ESCALATE: Who.RESPONDERS,
    Act.MITIGATED: Who.RESPONDERS,
    Act.RESOLVE: Who.RESPONDERS,
    Act.CANCEL: Who.RESPONDERS,
    Act.HOLD: Who.RESPONDERS,
    Act.TAKE_BACK: Who.RESPONDERS,
    Act.BREAK_GLASS: Who.RESPONDERS,
    Act.PUBLISH: Who.RESPONDERS,
    Act.CLOSE: Who.RESPONDERS,
    Act.START: Who.APPROVERS,
    Act.EXPAND: Who.APPROVERS,
    Act.SHIP: Who.APPROVERS,
    Act.REDEPLOY: Who.APPROVERS,
    Act.MITIGATE: Who.APPROVERS,
    Act.MERGE: Who.ADMINS,
    Act.PRIVATE: Who.ADMINS,
    Act.RUN_MODE: Who.ADMINS,
}

MACHINE_MAY = frozenset(
    {Act.OPEN, Act.NOTE, Act.STATUS, Act.CHANGED, Act.ESCALATE, Act.HOLD, Act.TAKE_BACK}
)

# Whoever may start a rollout may also hold it; administering is a matter of its own.
CIRCLES: dict[Who, tuple[Who, ...]] = {
    Who.RESPONDERS: (Who.RESPONDERS, Who.APPROVERS),
    Who.APPROVERS: (Who.APPROVERS,),
    Who.ADMINS: (Who.ADMINS,),
}

OPERATOR = Person(Platform.WEB, "operator")


@dataclass(frozen=True)
class Access:
    """The lists of the settings, whether a chat is configured, and which accounts are one voice."""

    services: Mapping[str, Service]
    chat_configured: bool
    identities: Mapping[Person, Person] = field(default_factory=dict)

    def voice(self, person: Person) -> Person:
        """Return the person behind an account; without guest and bot marks, for comparing."""
        plain = Person(person.platform, person.user)
        return self.identities.get(plain, plain)


@dataclass(frozen=True)
class Allowed:
    """Yes."""


@dataclass(frozen=True)
class Refused:
    """No, with the sentence that says why and what to do."""

    reason: str


def may(act: Act, person: Person, service: str | None, access: Access) -> Allowed | Refused:
    """Return whether a person may do an act to a service's incident; None: no service named yet."""
    if person.platform is Platform.MACHINE:
        allowed = person == MACHINE and act in MACHINE_MAY
        return Allowed() if allowed else Refused(f"{act.value!r} takes a person.")
    if person.bot:
        return Refused("Bots may do nothing here; a person has to ask.")
    if person.guest:
        return Refused("Guests and people from outside may do nothing here.")
    who = WHO_MAY[act]
    if who is Who.ANYONE or (_is_operator(person, access) and not access.chat_configured):
        return Allowed()
    if access.voice(person) in {access.voice(one) for one in _circle(who, service, access)}:
        return Allowed()
    where = f"service {service!r}" if service else "any service"
    return Refused(
        f"{act.value!r} is for the {who.value} of {where}, and {person} is not among them; "
        f"an admin can add the id to {who.value!r} in halon.toml."
    )


def may_answer(
    approval: Approval, person: Person, answer: Answer, incident: Incident, access: Access
) -> Allowed | Refused:
    """Return whether a person may give this answer; state and time are checked apart."""
    if answer is Answer.NO:  # taking back never needs approval
        return may(Act.TAKE_BACK, person, approval.service, access)
    if person.platform is Platform.MACHINE:
        return Refused("An approval takes a person.")
    allowed = may(approval.act, person, approval.service, access)
    if isinstance(allowed, Refused):
        return allowed
    if approval.gate is Result.FAIL:
        return Refused("The gate says FAIL; that is never approved. Take it back.")
    unsure = approval.gate is Result.INCONCLUSIVE or approval.verdict is Verdict.INCONCLUSIVE
    agreeing = (person, *approval.agreed)
    if unsure and not any(_same(incident.commander, one, access) for one in agreeing):
        return Refused(
            "The verdict is INCONCLUSIVE; only an approver who is the commander may approve it. "
            f"`/incident own` makes you the commander of {incident.id}."
        )
    service = access.services.get(approval.service)
    if service is not None and service.four_eyes and _same(approval.author, person, access):
        return Refused("Four eyes: whoever wrote the patch cannot approve it.")
    return Allowed()


def quorum(act: Act, service: str, severity: Severity, access: Access) -> int:
    """Return how many people have to say yes to an act of the approvers."""
    known = access.services.get(service)
    asked = known is not None and WHO_MAY[act] is Who.APPROVERS
    return known.quorum.get(severity, 1) if known and asked else 1


def may_break_glass(approval: Approval, person: Person, access: Access) -> Allowed | Refused:
    """Return whether a person may say yes alone where no approver answers; never over a FAIL."""
    if person.platform is Platform.MACHINE:
        return Refused("Breaking the glass takes a person.")
    if approval.gate is Result.FAIL:
        return Refused("The gate says FAIL; no glass is broken over that. Take it back.")
    return may(Act.BREAK_GLASS, person, approval.service, access)


def _same(one: Person | None, other: Person, access: Access) -> bool:
    return one is not None and access.voice(one) == access.voice(other)


def _is_operator(person: Person, access: Access) -> bool:
    return access.voice(person) == OPERATOR


def _circle(who: Who, service: str | None, access: Access) -> Iterable[Person]:
    named = access.services.values() if service is None else [access.services.get(service)]
    for one in named:
        for circle in CIRCLES[who] if one is not None else ():
            people = getattr(one, circle.value)
            for platform in (Platform.WEB, Platform.SLACK, Platform.TELEGRAM, Platform.SHELL):
                for user in getattr(people, platform.value):
                    yield Person(platform, user)
