"""Read-only looks at the live service by the hooks of halon.toml: threads, heap, sockets, pools.

Called by `workers.escalation` before the engine. A hook is an argv of the operator's, run without a
shell, with a clean environment and a limit on time; nothing of an incident enters it.
"""

from datetime import UTC, datetime

from agents.case import Capture
from incidents import errors
from incidents.settings import Service
from rollout import hooks
from rollout.hooks import Hooks


def take(service: Service) -> tuple[Capture, ...]:
    """Run every configured hook once and return what each said, or why it said nothing."""
    found = service.captures.hooks()
    return tuple(_take(kind, argv, service.captures.seconds) for kind, argv in found.items())


def _take(kind: str, argv: tuple[str, ...], seconds: float) -> Capture:
    at = datetime.now(UTC)
    hook = Hooks({kind: argv}, {}, hooks.kept_environment())
    try:
        return Capture(kind, argv, at, hooks.run(hook, kind, {}, seconds))
    except (errors.TemporaryFailure, errors.PermanentFailure) as error:
        return Capture(kind, argv, at, "", error.message)
