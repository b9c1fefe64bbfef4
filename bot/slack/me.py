"""Who Halon itself is in Slack, once Slack has said so; acts wait for it.

Held by `bot.slack.app`: by it our own reactions and messages are known as ours, and people of other
workspaces as from outside.
"""

import asyncio
from dataclasses import dataclass, field

from incidents.models import Json


@dataclass
class Me:
    """Our user, our bot, our workspace, and the scopes that were granted."""

    user: str = ""
    bot: str = ""
    team: str = ""
    scopes: tuple[str, ...] = ()
    trouble: str | None = "Slack was not asked yet who we are."
    _told: asyncio.Event = field(default_factory=asyncio.Event)

    def learn(self, told: Json) -> None:
        """Take what `auth.test` says."""
        self.user, self.bot = str(told.get("user_id", "")), str(told.get("bot_id", ""))
        self.team = str(told.get("team_id", ""))
        granted = str(told.get("scopes", ""))
        self.scopes = tuple(sorted(one.strip() for one in granted.split(",") if one.strip()))
        self.trouble = None
        self._told.set()

    async def known(self) -> None:
        """Return once it is known."""
        await self._told.wait()
