"""What `halon doctor` looks at in the chats that are set up.

Called by cli/doctor.py only; the questions to a chat are its platform's own.
"""

import asyncio
from collections.abc import Iterable, Iterator

from bot import app as bot_app
from bot.settings import BotSettings
from bot.slack import check
from bot.telegram import account as telegram_accounts
from bot.telegram import check as telegram_check
from cli.finding import Finding, State, note, wrong
from incidents import errors
from incidents.settings import Service


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
    named = [
        user
        for service in services
        for people in (service.responders, service.approvers, service.admins)
        for user in people.slack
    ]

    async def ask() -> list[check.Seen]:
        return [seen async for seen in check.look(account, named)]

    for seen in asyncio.run(ask()):
        state = State.WRONG if seen.mend else State.FINE
        if seen.what == "Slack: channel":  # none is a choice
            state = State.NOTE
        yield Finding(seen.what, state, seen.said, seen.mend)
    if not named:
        mend = 'Add `approvers = {slack = ["U…"]}` and responders to a service in halon.toml.'
        yield wrong("Slack: people", "no list names anyone in Slack: nobody may approve", mend)


def telegram(settings: BotSettings, services: Iterable[Service]) -> Iterator[Finding]:
    """Look at Telegram, if it is set up, and at the people that halon.toml names there."""
    line = telegram_accounts.reached(settings)
    if line is None:
        yield note("Telegram", "not set up")
        return
    named = [
        user
        for service in services
        for people in (service.responders, service.approvers, service.admins)
        for user in people.telegram
    ]

    async def ask() -> list[telegram_check.Seen]:
        looking = telegram_check.look(line, settings.telegram_group, named)
        return [seen async for seen in looking]

    for seen in asyncio.run(ask()):
        rights = seen.what == "Telegram: rights"  # it works without them, a little less well
        state = State.FINE if not seen.mend else State.NOTE if rights else State.WRONG
        yield Finding(seen.what, state, seen.said, seen.mend)
    if settings.telegram_group is not None:
        try:
            telegram_accounts.of(settings)
        except errors.BadSettings as error:
            yield wrong("Telegram: settings", error.message, "Correct these variables.")
    if not named:
        mend = 'Add `approvers = {telegram = ["…"]}` and responders to a service in halon.toml.'
        yield wrong("Telegram: people", "no list names anyone there: nobody may approve", mend)
