"""An event of a chat is on the disk before anyone acknowledges it, and counts once."""

import asyncio

from bot import journal, recovery
from bot.journal import Journal
from incidents.inbox import Inbox, InboxItem
from incidents.models import Platform
from tests.bot.office import Office


def take(office: Office, *keys: tuple[str, str]) -> list[InboxItem | None]:
    """Take events of these ids and meanings, all at once."""
    kept = Journal(Inbox(office.store))

    async def all_of_them() -> list[InboxItem | None]:
        events = [journal.event(Platform.SLACK, *key, {"text": "x"}) for key in keys]
        return await asyncio.gather(*(kept.take(one) for one in events))

    return asyncio.run(all_of_them())


def test_one_act_sent_eleven_times_under_ids_of_their_own_is_taken_once(office: Office) -> None:
    taken = take(office, *((f"Ev{n}", "U1 said C1 17.1") for n in range(11)))

    assert 1 == sum(one is not None for one in taken)


def test_one_id_is_taken_once_whatever_it_means(office: Office) -> None:
    taken = take(office, *(("Ev1", f"U1 said C1 17.{n}") for n in range(3)))

    assert 1 == sum(one is not None for one in taken)


def test_what_was_taken_and_not_acted_on_is_left_for_its_platform(office: Office) -> None:
    first, second = take(office, ("Ev1", "a"), ("Ev2", "b"))
    kept = Journal(Inbox(office.store))
    assert first is not None

    asyncio.run(kept.done(first))
    recovery.recover(office.bot.commands, Inbox(office.store))  # events are none of its business

    assert [second] == kept.left(Platform.SLACK)
    assert [] == kept.left(Platform.TELEGRAM)
