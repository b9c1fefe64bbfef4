"""A bot in Slack for tests: the office's store, the real Bolt app, and Slack's side of it.

Used by the tests of this folder. What is typed goes in as Slack sends it, over the socket or as
signed HTTP; what comes back is what the double was told.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from bot import app
from bot.port import ThreadRef
from bot.slack.app import Account, Slack
from bot.slack.connection import Pace
from bot.web import app as web_app
from incidents.deliveries import Deliveries
from incidents.models import EntryKind, Incident, Json, Platform
from incidents.policy import Access
from incidents.settings import People, Service
from tests import slack_double
from tests.bot.office import KEY, Office
from tests.slack_double import APP_TOKEN, BOT_TOKEN, SECRET, SlackDouble

RITA, ADA, SAM, GUS, EXT = "URITA", "UADA", "USAM", "UGUS", "UEXT"
HOME = "C0HOME"
QUICK = Pace(
    ping=0.5, silent=2.0, closed=0.3, connect=5.0, look=0.05, first_wait=0.1, longest_wait=0.5
)
PATIENCE = 20.0  # a busy machine is no failure


@dataclass
class Desk:
    """A bot and the Slack that it talks to."""

    office: Office
    double: SlackDouble
    bot: app.Bot

    @property
    def slack(self) -> Slack:
        """The inbound half."""
        assert self.bot.slack is not None
        return self.bot.slack

    def incidents(self) -> list[Incident]:
        """Every incident that there is."""
        return list(self.office.bot.room.incidents.list(live_only=False))

    def kinds(self, incident: Incident) -> list[EntryKind]:
        """What the timeline tells, by kind."""
        return [one.kind for one in self.office.bot.room.timeline.entries(incident.number)]

    def open(self, channel: str = HOME, thread: str = "100.1") -> Incident:
        """Open an incident whose thread in Slack is already made."""
        incident = self.office.open(conversations=(f"slack:{channel}",))
        place = f"{channel}:{thread}" if thread else channel
        self.deliveries.opened(incident.number, f"slack:{channel}", place, thread or "100.0")
        return incident

    @property
    def deliveries(self) -> Deliveries:
        """The poster's rows."""
        return self.office.deliveries

    def ask(self, incident: Incident, message: str = "100.5", **more: Any) -> str:
        """Ask for an approval in a message of the thread, and return the approval's id."""
        approval = self.office.ask(incident, **more)
        self.post(incident, message)
        return approval

    def post(self, incident: Incident, message: str) -> None:
        """Do what the poster does: the newest entry is what a message shows."""
        name = next(
            one for one in self.deliveries.conversations(incident.number) if one[:6] == "slack:"
        )
        *before, last = (one.delivery.id for one in self.deliveries.pending(incident.number, name))
        self.deliveries.sent(before, "")
        self.deliveries.sent([last], message)

    def told(self) -> list[str]:
        """What people were told for themselves, by whichever road."""
        roads = ("response_url", "chat.postEphemeral", "chat.postMessage")
        found = [one for one in self.double.calls if one.method in roads]
        return [str(one.said.get("text")) for one in found]


def services() -> dict[str, Service]:
    """Two services whose people are in Slack."""
    people = {"responders": People(slack=(RITA,)), "approvers": People(slack=(ADA,))}
    named = (
        Service(name="checkout", repository="/srv/checkout", aliases=("shop",), **people),
        Service(name="search", repository="/srv/search"),
    )
    return {one.name: one for one in named}


def desk(office: Office, double: SlackDouble, *, http: bool = False, home: str | None = HOME,
         ) -> Desk:  # fmt: skip
    """Put a bot together that lives in the double's Slack."""
    double.users[GUS] = {"is_restricted": True}
    double.users[EXT] = {"team_id": "T2", "is_stranger": True}
    account = Account(
        BOT_TOKEN,
        double.base_url,
        app_token=None if http else APP_TOKEN,
        signing_secret=SECRET if http else None,
        channel=home,
    )
    access = Access(services(), chat_configured=True)
    made = app.compose(office.store, access, KEY, ("127.0.0.1",), account)
    assert made.slack is not None
    if made.slack.socket is not None:
        made.slack.socket.pace = QUICK
    return Desk(office, double, made)


@asynccontextmanager
async def running(one: Desk) -> AsyncIterator[asyncio.Task[None]]:
    """Run the inbound half; over HTTP it needs no more than to know itself."""
    stop = asyncio.Event()
    task = asyncio.create_task(one.slack.run(stop))
    try:
        await until(lambda: one.slack.trouble() is None or task.done())
        yield task
    finally:
        stop.set()
        await asyncio.wait_for(task, PATIENCE)


async def until(true: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait for a condition, and fail when it does not come."""
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end, "it did not come"
        await asyncio.sleep(0.02)


def http(one: Desk) -> httpx.AsyncClient:
    """Return a client of the whole web app, the war room's guard included, over ASGI."""
    served = web_app.create(one.bot.room)
    transport = httpx.ASGITransport(app=served, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://slack.example.com")


async def send(client: httpx.AsyncClient, payload: Json, **more: Any) -> httpx.Response:
    """Post a payload as Slack does; `secret` and `at` may be wrong."""
    body, kind = slack_double.posted(payload)
    headers = slack_double.signed(body, **more) | {"Content-Type": kind}
    return await client.post("/slack/events", content=body, headers=headers)


@contextmanager
def both(office: Office, **more: Any) -> Iterator[Desk]:
    """A desk with a double of its own."""
    with slack_double.running() as double:
        yield desk(office, double, **more)


def thread_of(channel: str, ts: str) -> ThreadRef:
    """Return a thread as the poster names it."""
    return ThreadRef(Platform.SLACK, f"{channel}:{ts}")


def play(one: Desk, *payloads: Json) -> None:
    """Send what people do, one after the other, and wait until all was acted on."""

    async def post() -> None:
        async with running(one), http(one) as client:
            for payload in payloads:
                answer = await send(client, payload)
                assert 200 == answer.status_code
            await one.slack.acts.idle()

    asyncio.run(post())
