"""What `halon doctor` looks at in the chats that are set up.

Called by cli/doctor.py only; the questions to a chat are its platform's own.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator

from bot import app as bot_app
from bot.looked import Seen
from bot.settings import BotSettings
from bot.slack import check as slack_check
from bot.telegram import account as telegram_accounts
from bot.telegram import check as telegram_check
from cli.finding import Finding, State, note, wrong
from incidents import errors
from incidents.models import Platform
from incidents.settings import Service

# What works without, a little less well, or is a choice.
OPTIONAL = ("Slack: channel", "Telegram: rights")


def slack(settings: BotSettings, services: Iterable[Service]) -> Iterator[Finding]:
    """Look at Slack, if it is set up, and at the people that halon.toml names there."""
    try:
        account = bot_app.slack_account(settings)
    except errors.BadSettings as error:
        told, _, mend = error.message.partition("; ")
        yield wrong("Slack", told, mend[:1].upper() + mend[1:])
        return
    if account is None:
        yield note("Slack", "not set up: the war room is the only chat")
        return
    named = _named(services, Platform.SLACK)
    yield from _findings(slack_check.look(account, named))
    yield from _nobody(named, Platform.SLACK, "U…")


def telegram(settings: BotSettings, services: Iterable[Service]) -> Iterator[Finding]:
    """Look at Telegram, if it is set up, and at the people that halon.toml names there."""
    line = telegram_accounts.reached(settings)
    if line is None:
        yield note("Telegram", "not set up")
        return
    named = _named(services, Platform.TELEGRAM)
    yield from _findings(telegram_check.look(line, settings.telegram_group, named))
    if settings.telegram_group is not None:
        try:
            telegram_accounts.of(settings)
        except errors.BadSettings as error:
            yield wrong("Telegram: settings", error.message, "Correct these variables.")
    yield from _nobody(named, Platform.TELEGRAM, "…")


def _named(services: Iterable[Service], platform: Platform) -> list[str]:
    """Return the ids of everybody whom a list names on a platform."""
    return [
        user
        for service in services
        for people in (service.responders, service.approvers, service.admins)
        for user in getattr(people, platform.value)
    ]


def _findings(looking: AsyncIterator[Seen]) -> Iterator[Finding]:
    async def ask() -> list[Seen]:
        return [seen async for seen in looking]

    for seen in asyncio.run(ask()):
        worse = State.NOTE if seen.what in OPTIONAL else State.WRONG
        yield Finding(seen.what, worse if seen.mend else State.FINE, seen.said, seen.mend)


def _nobody(named: list[str], platform: Platform, example: str) -> Iterator[Finding]:
    if not named:
        chat = platform.value.capitalize()
        people = f'`approvers = {{{platform} = ["{example}"]}}`'
        mend = f"Add {people} and responders to a service in halon.toml."
        yield wrong(f"{chat}: people", f"no list names anyone in {chat}: nobody may approve", mend)
