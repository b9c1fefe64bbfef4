"""Who may do what: one pure table, and `may`, the only reader of it.

Called by bot commands before a change and by `approvals.decide`. No I/O, no clock. An empty list
is nobody; guests, people from outside and bots are refused everything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from incidents.models import Act, Person
from incidents.settings import Service


@dataclass(frozen=True)
class Access:
    """The lists of the settings, whether a chat is configured, and which accounts are one voice."""

    services: Mapping[str, Service]
    chat_configured: bool
    identities: Mapping[Person, Person] = field(default_factory=dict)


@dataclass(frozen=True)
class Allowed:
    """Yes."""


@dataclass(frozen=True)
class Refused:
    """No, with the sentence that says why and what to do."""

    reason: str


def may(act: Act, person: Person, service: str | None, access: Access) -> Allowed | Refused:
    """Return whether a person may do an act to a service's incident; None: no service named yet."""
    raise NotImplementedError
