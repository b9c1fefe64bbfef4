"""Everything that a stage or the controller works with, put together at one place.

Made by the entry points (`workers.stages.Runner`, `workers.controller.run`). A store that was made
before a fork gives each child connections of its own. Holds no logic.
"""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from incidents import errors
from incidents.approvals import Approvals
from incidents.knowledge import ActionItems, Costs, KnownIncidents, Ledger
from incidents.rollouts import Rollouts
from incidents.sent import Sent
from incidents.service import Incidents
from incidents.settings import Service, Settings, load_services, personal
from incidents.stages import Stages
from incidents.store import Store
from incidents.timeline import Timeline
from incidents.timers import Leases, Timers


@dataclass(frozen=True)
class Office:
    """The store's faces, the services and the shared settings of one process."""

    settings: Settings
    services: Mapping[str, Service]
    store: Store
    incidents: Incidents
    stages: Stages
    timeline: Timeline
    approvals: Approvals
    rollouts: Rollouts
    timers: Timers
    leases: Leases
    ledger: Ledger
    costs: Costs
    action_items: ActionItems
    known: KnownIncidents
    sent: Sent
    owner: str

    @property
    def folder(self) -> Path:
        """The data folder."""
        return self.settings.folder.absolute()

    def service(self, name: str | None) -> Service:
        """Return a configured service; raises `PermanentFailure` when halon.toml has lost it."""
        if name is None:
            raise errors.PermanentFailure(
                "The incident names no service, so there is nothing to look into: "
                "open it again with `service:NAME`."
            )
        if name not in self.services:
            known = ", ".join(self.services) or "none"
            raise errors.PermanentFailure(
                f"halon.toml names no service {name!r} (it names: {known}); put it there, "
                "or use a name that it has."
            )
        return self.services[name]


@contextmanager
def opened(process: Settings, owner: str, *, key: bytes | None = None) -> Iterator[Office]:
    """Open the store and read the services; `key` verifies approvals (the controller's only)."""
    store = Store(process.database)
    try:
        yield over(store, process, owner, key=key)
    finally:
        store.close()


def over(store: Store, process: Settings, owner: str, *, key: bytes | None = None) -> Office:
    """Return an office over an open store; whoever opened it closes it."""
    services = {one.name: one for one in load_services(process.file)}
    store.private = personal(services.values())
    return Office(
        settings=process,
        services=services,
        store=store,
        incidents=Incidents(store),
        stages=Stages(store),
        timeline=Timeline(store),
        approvals=Approvals(store, key=key),  # who may answer is the bot's to know
        rollouts=Rollouts(store, key),
        timers=Timers(store),
        leases=Leases(store),
        ledger=Ledger(store),
        costs=Costs(store),
        action_items=ActionItems(store),
        known=KnownIncidents(store),
        sent=Sent(store),
        owner=owner,
    )


def owner_of(pid: int) -> str:
    """Return the name under which a worker process leases runs; the supervisor knows its pid."""
    return f"{socket.gethostname()}:{pid}"


def owner_of_parent() -> str:
    """Return the owner for code that runs in a worker's forked child."""
    return owner_of(os.getppid())
