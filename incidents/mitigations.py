"""Named mitigations as questions: what exactly is asked, so that a yes is for that and no other.

Called by `bot.commands`, which asks, and by the controller, which compares before it runs. Pure.
The scope of a question is the mitigation's name, or "undo NAME".
"""

from datetime import timedelta

from incidents import approvals, errors
from incidents.approvals import Question
from incidents.models import Act, Incident
from incidents.settings import Mitigation, Service

UNDO = "undo "
EXPIRES = timedelta(minutes=30)


def find(service: Service, scope: str) -> Mitigation:
    """Return the mitigation that a scope names; raises `errors.NotFound` with those there are."""
    name = scope.removeprefix(UNDO)
    known = service.mitigations
    if name not in known:
        names = ", ".join(known) or "none"
        raise errors.NotFound(
            f"{service.name} has no mitigation {name!r} in halon.toml (it has: {names}); "
            "what a person did is recorded with `/incident mitigated WHAT`."
        )
    if scope.startswith(UNDO) and known[name].undo is None:
        raise errors.NotFound(
            f"The mitigation {name!r} has no `undo` in halon.toml; undo it by hand."
        )
    return known[name]


def argv(mitigation: Mitigation, scope: str) -> tuple[str, ...]:
    """Return the command that a scope stands for."""
    return (mitigation.undo or ()) if scope.startswith(UNDO) else mitigation.run


def digest(service: Service, scope: str) -> str:
    """Return what changes when anything of the mitigation does; raises `errors.NotFound`."""
    found = find(service, scope)
    return approvals.digest([service.name, scope, found.model_dump(mode="json")])


def question(
    incident: Incident, service: Service, scope: str, key: str, expires: timedelta = EXPIRES
) -> Question:
    """Return the question whether a mitigation shall be run; raises `errors.NotFound`."""
    named = digest(service, scope)
    return Question(
        incident=incident.number,
        service=service.name,
        act=Act.MITIGATE,
        scope=scope,
        patch_digest=named,
        plan_hash=named,
        key=key,
        expires=expires,
    )


def offered(service: Service) -> str:
    """Return the service's mitigations with their commands and risks, "" when it has none."""
    listed = (
        f"`/incident mitigate {name}` ({one.risk})" for name, one in service.mitigations.items()
    )
    return "; ".join(listed)
