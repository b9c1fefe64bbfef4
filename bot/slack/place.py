"""The names of places in Slack: one spelling for both directions, so that a reaction finds home.

Read by everything in bot/slack. A thread's external id is a channel of its own, or a channel and
the message at its head; a message's external id is its timestamp alone.
"""

from dataclasses import dataclass

from bot.port import ThreadRef
from incidents.models import Platform

ACTION = "halon:"  # opens the action_id of every button of ours


@dataclass(frozen=True)
class Place:
    """A channel, or a thread in one."""

    channel: str
    thread: str | None = None  # the timestamp of the message at its head

    def __str__(self) -> str:
        return self.channel if self.thread is None else f"{self.channel}:{self.thread}"

    @property
    def ref(self) -> ThreadRef:
        """The same as the poster knows it."""
        return ThreadRef(Platform.SLACK, str(self))


def read(text: str) -> Place:
    """Return the place that `ThreadRef.place` or `Due.thread` names."""
    channel, _, thread = text.partition(":")
    return Place(channel, thread or None)


def conversation(channel: str) -> str:
    """Return the name of the conversation whose threads begin in a channel, "slack:C024BE91L"."""
    return f"{Platform.SLACK}:{channel}"


def channel_of(conversation: str) -> str:
    """Return the channel of a conversation's name."""
    return conversation.partition(":")[2]


def action_id(command: str) -> str:
    """Return the action_id of the button that carries a command; its `value` is the reference."""
    return f"{ACTION}{command}"
