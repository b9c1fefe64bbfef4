"""Brings the people of a service to where its P0 or P1 is told, once per severity.

Run by `bot.slack.app`. Follows the severity that is stored, so that a change from a shell or from
another chat counts too; remembers whom it called, so that who has left is not fetched back.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.slack import place
from bot.slack.asking import Asking
from incidents import errors
from incidents.deliveries import Conversation, Deliveries
from incidents.effects import Effects
from incidents.models import Incident, Platform, Severity
from incidents.policy import Access
from incidents.service import Incidents

log = logging.getLogger(__name__)

CALLED_FOR = (Severity.P0, Severity.P1)
LOOK_SECONDS = 2.0


@dataclass
class Crew:
    """Invites those whom an incident concerns."""

    asking: Asking
    incidents: Incidents
    deliveries: Deliveries
    effects: Effects
    access: Callable[[], Access]
    _called: set[str] = field(default_factory=set)

    async def run(self, stop: asyncio.Event) -> None:
        """Look until told to stop."""
        while not stop.is_set():
            await self.turn()
            try:
                await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue

    async def turn(self) -> None:
        """Invite where nobody was invited yet; a Slack that is down is asked again next time."""
        prefix = f"{Platform.SLACK}:"
        try:
            for one in await asyncio.to_thread(self.deliveries.live, prefix):
                await self._call(one)
        except errors.TemporaryFailure as error:
            log.info("people could not be invited yet: %s", error.message)

    async def _call(self, one: Conversation) -> None:
        if one.thread is None:
            return
        incident = await asyncio.to_thread(self.incidents.get, one.incident)
        key = f"slack-crew {incident.id} {incident.severity}"
        if incident.severity not in CALLED_FOR or key in self._called:
            return
        people = concerned(incident, self.access())
        if people and not await asyncio.to_thread(self.effects.is_done, key):
            try:
                await self.asking.invite(place.read(one.thread).channel, people)
            except (errors.PermanentFailure, errors.NotFound) as error:
                log.warning("%s: its people could not be invited: %s", incident.id, error.message)
            await asyncio.to_thread(self.effects.note, key)
        self._called.add(key)


def concerned(incident: Incident, access: Access) -> tuple[str, ...]:
    """Return whom in Slack an incident concerns: its own people and those of its service."""
    service = access.services.get(incident.service or "")
    listed = (*service.responders.slack, *service.approvers.slack) if service else ()
    own = (incident.reporter, incident.commander, incident.operations, incident.communications)
    named = (one.user for one in own if one is not None and one.platform is Platform.SLACK)
    return tuple(dict.fromkeys((*named, *listed)))
