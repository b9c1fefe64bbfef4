"""A war room that runs: a real store, the real commands, and uvicorn on a free port of loopback.

Used by tests of bot/web, by tests/flows/test_war_room.py and by the screenshots. Messages are
posted through the war room's own port, as the poster does.
"""

import asyncio
import re
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import httpx

from bot.commands import Commands
from bot.once import Once
from bot.port import Button, File, Message, PostRef, ThreadRef, Tone
from bot.web import app, server
from bot.web.port import WebPort
from bot.web.room import Room
from incidents import entries, reports
from incidents.models import (
    Approval,
    Incident,
    Outcome,
    Person,
    Platform,
    Rollout,
    Stage,
)
from incidents.offers import Offers
from incidents.policy import OPERATOR, Access
from incidents.posts import Posts
from incidents.settings import People, Service
from incidents.stages import Ending
from tests.incidents.builders import World

T = TypeVar("T")
STRANGER = Person(Platform.WEB, "stranger")  # signed in, and on no list
CHECKOUT = Service(
    name="checkout",
    repository="/srv/git/checkout",
    aliases=("shop",),
    approvers=People(web=("ann",)),
)
NOT_LIVE = re.compile(r"Not live since \d\d:\d\d UTC")
ACCESS = Access({"checkout": CHECKOUT}, chat_configured=False)


def room_of(world: World, **values: object) -> Room:
    """Return a room over a world, with the real commands behind it; `values` replace fields."""
    commands = Commands(
        incidents=world.incidents,
        stages=world.stages,
        timeline=world.timeline,
        approvals=world.approvals,
        rollouts=world.rollouts,
        access=lambda: world.access,
        now=world.store.now,
        once=Once(world.inbox),
        action_items=world.action_items,
        offers=Offers(world.store, world.access),
    )
    made = Room(
        incidents=world.incidents,
        timeline=world.timeline,
        stages=world.stages,
        approvals=world.approvals,
        rollouts=world.rollouts,
        costs=world.costs,
        action_items=world.action_items,
        posts=Posts(world.store),
        tokens=world.tokens,
        speaker=commands,
        access=lambda: world.access,
        now=world.store.now,
    )
    return replace(made, **values)  # type: ignore[arg-type]


@dataclass
class House:
    """A running war room and what a test does with it."""

    world: World
    room: Room
    address: str

    @property
    def port(self) -> WebPort:
        """The platform as the poster sees it."""
        return WebPort(self.room.posts)

    def token(self, person: Person = OPERATOR, *, one_time: bool = False) -> str:
        """Return a token of a person."""
        return self.world.tokens.add(person.user, person, one_time=one_time)

    def client(self, person: Person | None = OPERATOR) -> httpx.Client:
        """Return a program's client with a person's token; None: without any."""
        headers = {} if person is None else {"Authorization": f"Bearer {self.token(person)}"}
        return httpx.Client(base_url=self.address, headers=headers, timeout=20)

    def open(self, **values: object) -> Incident:
        """Open an incident of checkout."""
        return self.world.open(**values)  # type: ignore[arg-type]

    def post(self, incident: Incident, message: Message, key: str) -> PostRef:
        """Post into a thread as the poster does."""
        thread = ThreadRef(Platform.WEB, incident.id)
        return waited(self.port.post(thread, message, key))

    def ask(self, incident: Incident) -> tuple[Rollout, Approval]:
        """Ask for an approval, with its message in the thread."""
        rollout = self.world.rollout(incident)
        approval = self.world.approvals.ask(self.world.question(rollout))
        self.post(incident, question(approval), f"question-{approval.id}")
        return rollout, approval


def waited(work: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns; in a thread, since playwright has a loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def question(approval: Approval) -> Message:
    """Return the message that asks for an approval."""
    return Message(
        headline="Start the rollout at 10 %?",
        lines=("Yes starts it; no leaves the old version alone; silence is a no.",),
        buttons=(
            Button("Start at 10 %", "approve", approval.id, Tone.PASSING),
            Button("Do not start", "refuse", approval.id, Tone.FAILING),
        ),
        reactions=("✅", "❌"),
        tone=Tone.WAITING,
        approval=approval.id,
    )


@contextmanager
def running(room: Room, port: int = 0) -> Iterator[tuple[str, server.Server]]:
    """Serve a room on a free port until the block ends; gives its address and the server."""
    bound = server.bind("127.0.0.1", port)
    serving = server.Server(app.create(room))
    thread = threading.Thread(target=lambda: asyncio.run(serving.serve([bound])))
    thread.start()
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}", serving
    finally:
        serving.should_exit = True
        thread.join(timeout=20)
        bound.close()
        assert not thread.is_alive(), "the server did not stop"


@contextmanager
def house(world: World) -> Iterator[House]:
    """Run a war room over a world."""
    room = room_of(world)
    with running(room) as (address, _):
        yield House(world, room, address)


def file(name: str, media: str, content: bytes) -> File:
    """Return a file as a message carries it."""
    return File(name, media, name, content)


def edit(house: House, ref: PostRef, message: Message) -> None:
    """Edit a message as the poster does."""
    waited(house.port.edit(ref, message))


def reviewed(house: House, summary: str = "It failed.") -> Incident:
    """Return a resolved incident whose review is drafted."""
    world = house.world
    incident = house.open()
    world.end(incident, Stage.TRIAGE, Outcome.NO_INCIDENT)
    world.incidents.mitigated(incident.number, OPERATOR, "the provider came back")
    world.incidents.resolve(incident.number, OPERATOR)
    run = world.stage(incident, Stage.REVIEW)
    review = reports.Review(engine="builtin", title=incident.title, summary=summary)
    content = review.model_dump(mode="json")
    told = (entries.report(Stage.REVIEW, content),)
    ending = Ending(Outcome.DONE, report=content, entries=told)
    world.stages.finish(run.id, run.fence, ending)
    return world.incidents.get(incident.number)
