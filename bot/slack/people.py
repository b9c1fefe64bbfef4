"""Who somebody in Slack is: ours, a guest, somebody from outside, or a program; asked, and kept.

Called by `bot.slack.acts` before anything a person wants is carried out. Whoever cannot be seen as
one of ours is a guest; a Slack that does not answer is a `TemporaryFailure`, never a yes.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.slack.asking import Asking
from bot.slack.failures import Refused
from incidents.models import Json, Person, Platform

KEPT_SECONDS = 600.0  # a new guest mark counts within ten minutes
MOST = 5000
NOT_OURS = ("user_not_found", "user_not_visible", "users_not_found")


@dataclass
class People:
    """Looks people up; `team` is the workspace that Halon is installed in."""

    asking: Asking
    team: Callable[[], str]
    clock: Callable[[], float] = lambda: asyncio.get_running_loop().time()
    _known: OrderedDict[str, tuple[float, Person]] = field(default_factory=OrderedDict)

    async def who(self, user: str, team: str = "") -> Person:
        """Return a person; `team` is the workspace that Slack named beside the user."""
        known = self._known.get(user)
        if known is None or self.clock() - known[0] > KEPT_SECONDS:
            known = (self.clock(), await self._asked(user))
            self._known[user] = known
            self._known.move_to_end(user)
            while len(self._known) > MOST:
                self._known.popitem(last=False)
        person = known[1]
        outside = bool(team) and bool(self.team()) and team != self.team() and not person.bot
        return person if not outside else Person(Platform.SLACK, user, guest=True)

    def forget(self, user: str) -> None:
        """Ask anew next time."""
        self._known.pop(user, None)

    async def _asked(self, user: str) -> Person:
        try:
            return person(await self.asking.user(user), user, self.team())
        except Refused as error:
            if error.reason in NOT_OURS:
                return Person(Platform.SLACK, user, guest=True)
            raise


def person(told: Json, user: str, team: str) -> Person:
    """Return a person as `users.info` tells of one."""
    bot = bool(told.get("is_bot") or told.get("is_workflow_bot")) or user == "USLACKBOT"
    marks = ("is_restricted", "is_ultra_restricted", "is_stranger", "is_invited_user", "deleted")
    return Person(
        Platform.SLACK,
        user,
        guest=any(bool(told.get(mark)) for mark in marks) or _elsewhere(told, team),
        bot=bot,
    )


def _elsewhere(told: Json, team: str) -> bool:
    """Tell whether somebody belongs to another company's workspace (Slack Connect)."""
    own, grid = told.get("team_id"), told.get("enterprise_user")
    teams = grid.get("teams", ()) if isinstance(grid, dict) else ()
    return bool(team) and isinstance(own, str) and own != team and team not in teams
