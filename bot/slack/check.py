"""Looks at a Slack account for `halon doctor`: tokens, scopes, channel, the people of the lists.

Asks only what changes nothing. Each finding is a name, what is wrong (empty: nothing) or what was
seen, and how to mend it; no token is ever part of a text.
"""

from collections.abc import AsyncIterator, Iterable

from slack_sdk.web.async_client import AsyncWebClient

from bot.looked import Seen
from bot.slack import registry
from bot.slack.app import Account
from bot.slack.asking import SECONDS, Asking
from bot.slack.failures import translated
from bot.slack.people import person
from incidents import errors
from incidents.models import Json

INSTALL = "paste the manifest of `halon manifest slack` and install the app again"


async def look(account: Account, people: Iterable[str]) -> AsyncIterator[Seen]:
    """Look at everything, the rest too when one thing is wrong; `people` are user ids."""
    asking = Asking(account.client())
    try:
        me = await asking.me()
    except errors.HalonError as error:
        mend = "Set SLACK_BOT_TOKEN to the xoxb-… of the app's page “OAuth & Permissions”."
        yield Seen("Slack: bot token", error.message, mend)
        return
    yield Seen("Slack: bot token", f"{me.get('user', 'halon')} of {me.get('team', '?')}")
    yield scopes(str(me.get("scopes", "")))
    if account.app_token is not None:
        yield await _app_token(account)
    yield await _channel(asking, account.channel)
    for user in dict.fromkeys(people):
        async for seen in _person(asking, user, str(me.get("team_id", ""))):
            yield seen


def scopes(granted: str) -> Seen:
    """Compare the scopes that were granted (x-oauth-scopes) with those that are needed."""
    given = {one.strip() for one in granted.split(",") if one.strip()}
    missing = [one for one in registry.scopes() if one not in given]
    if missing:
        lacks = f"missing: {', '.join(missing)}"
        return Seen("Slack: scopes", lacks, f"In the app's settings {INSTALL}.")
    return Seen("Slack: scopes", f"all {len(registry.scopes())} granted")


async def _app_token(account: Account) -> Seen:
    what = "Slack: app token"
    web = AsyncWebClient(base_url=account.base_url, timeout=SECONDS)
    web.retry_handlers.clear()
    try:
        async with translated("apps.connections.open"):
            await web.apps_connections_open(app_token=str(account.app_token))
    except errors.HalonError as error:
        mend = (
            f"Make an app-level token with {registry.APP_SCOPE} on the app's page "
            "“Basic Information”, switch Socket Mode on, and set SLACK_APP_TOKEN to it."
        )
        return Seen(what, error.message, mend)
    return Seen(what, "opens a socket")


async def _channel(asking: Asking, channel: str | None) -> Seen:
    what = "Slack: channel"
    if channel is None:
        mend = "Set HALON_SLACK_CHANNEL to the id of #incidents."
        return Seen(what, "none: what monitors or the war room open is not told in Slack", mend)
    what = f"Slack: channel {channel}"
    try:
        found: Json = await asking.channel(channel)
    except errors.HalonError as error:
        mend = "Correct HALON_SLACK_CHANNEL; a private channel must invite the bot first."
        return Seen(what, error.message, mend)
    name = f"#{found.get('name', channel)}"
    if found.get("is_archived"):
        return Seen(what, f"{name} is archived", "Bring it back, or name another channel.")
    if not found.get("is_member"):
        return Seen(what, f"the bot is not in {name}", f"Type `/invite @halon` in {name}.")
    return Seen(what, f"the bot is in {name}")


async def _person(asking: Asking, user: str, team: str) -> AsyncIterator[Seen]:
    what = f"Slack: person {user}"
    try:
        told = await asking.user(user)
    except errors.HalonError as error:
        yield Seen(what, error.message, "Correct the id in halon.toml; a profile's menu copies it.")
        return
    known = person(told, user, team)
    if known.bot or known.guest:
        kind = "a bot" if known.bot else "a guest, deleted, or of another workspace"
        yield Seen(what, f"is {kind} and may do nothing", "Take the id out of halon.toml.")
