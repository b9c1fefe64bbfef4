"""Puts the one road of commands together over a store, for whoever speaks: a platform or a shell.

Called by the bot's composition and by `halon say`. It knows no platform, so that a shell need not
load any.
"""

from collections.abc import Callable

from bot.commands import Commands
from bot.once import Once
from incidents.approvals import Approvals
from incidents.inbox import Inbox
from incidents.knowledge import ActionItems
from incidents.offers import Offers
from incidents.policy import Access
from incidents.rollouts import Rollouts
from incidents.service import Incidents
from incidents.stages import Stages
from incidents.store import Store
from incidents.timeline import Timeline


def commands(
    store: Store,
    access: Access,
    key: bytes,
    current: Callable[[], Access],
    told_in: tuple[str, ...] = (),
) -> Commands:
    """Return what carries lines and votes out; `current` gives who may do what, as of now.

    `told_in` are the conversations in which every incident is told.
    """
    return Commands(
        Incidents(store),
        Stages(store),
        Timeline(store),
        Approvals(store, access, key),
        Rollouts(store),
        current,
        store.now,
        Once(Inbox(store)),
        ActionItems(store),
        Offers(store, access),
        told_in,
    )
