"""The outbound half of Slack over the office's store, speaking to the workspace of the tests."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from bot import app, render
from bot.outbox import Pace
from bot.poster import Poster
from bot.slack import blocks, place
from bot.slack.calls import Calls
from bot.slack.port import SlackPort
from incidents import entries
from incidents.deliveries import Deliveries
from incidents.models import MACHINE, Answer, Incident, Outcome, Person, Platform, Stage
from incidents.policy import Access
from incidents.settings import People, Service
from incidents.stages import Ending
from tests.bot.office import KEY, Office, buckets, diagnosis, patch, plan, results, review
from tests.slack_workspace import TOKEN, Workspace

QUICK = Pace(
    look=timedelta(milliseconds=1),
    every=timedelta(milliseconds=4),
    burst=3,
    edits=timedelta(milliseconds=12),
    first_wait=timedelta(milliseconds=20),
    longest_wait=timedelta(milliseconds=200),
)
PATIENCE = 90.0  # for a busy machine; what is waited for comes in a second
HANGS_SECONDS = 0.4


@dataclass
class Outbound:
    """A bot that tells its incidents in the workspace."""

    office: Office
    workspace: Workspace
    channel: str
    bot: app.Bot = field(init=False)
    ada: Person = field(init=False)

    def __post_init__(self) -> None:
        users = self.workspace.users()
        self.ada = Person(Platform.SLACK, users["ada"])
        self.rita = Person(Platform.SLACK, users["rita"])
        people = {
            "responders": People(slack=(users["rita"],)),
            "approvers": People(slack=(users["ada"],)),
        }
        services = {
            "checkout": Service(name="checkout", repository="/srv/checkout", **people),
        }
        access = Access(services, chat_configured=True)
        self.bot = app.compose(self.office.store, access, KEY, ("127.0.0.1",))
        self.deliveries = Deliveries(self.office.store)

    def port(self) -> SlackPort:
        """A port as a new process makes it."""
        client = AsyncWebClient(
            TOKEN, base_url=self.workspace.base_url, timeout=HANGS_SECONDS, retry_handlers=[]  # type: ignore[arg-type] # aiohttp takes parts of a second
        )  # fmt: skip
        return SlackPort(
            Calls(client, timedelta(milliseconds=20)),
            lambda incident: (self.rita.user, self.ada.user),
            "https://halon.example.com",
        )

    def poster(self) -> Poster:
        """A poster as a new process makes it."""
        gathering = self.bot.poster.gathering
        follows = place.conversation(self.channel)
        return Poster(self.port(), self.deliveries, gathering, QUICK, follows=follows)

    def tell(self, poster: Poster | None = None) -> Poster:
        """Post until everything is shown and stays as it is."""
        one = poster or self.poster()

        async def post() -> None:
            end = time.monotonic() + PATIENCE
            quiet = 0
            while quiet < 3:
                assert time.monotonic() < end, "it was not told"
                quiet = 0 if await one.turn() or self.deliveries.waiting("slack:") else quiet + 1
                await asyncio.sleep(0.005)

        asyncio.run(post())
        return one

    def home(self, incident: Incident) -> place.Place:
        """Where an incident is told."""
        found = [one for one in self.deliveries.live("slack:") if one.incident == incident.number]
        return place.read(found[0].thread or "")

    def shown(self, where: place.Place) -> list[dict[str, Any]]:
        """The messages of a thread in their order, the card, files and Slack's own left out."""
        return [
            one
            for one in self.workspace.thread(where.channel, where.thread)
            if str(key_of(one)).startswith("delivery-")
        ]

    def expected(self, incident: Incident) -> list[tuple[str, list[dict[str, Any]]]]:
        """What the timeline says, message by message: each as its newest entry has it."""
        messages: dict[object, Any] = {}
        gathering = self.bot.poster.gathering
        for entry in gathering.timeline.entries(incident.number):
            if not render.is_quiet(entry):
                messages[render.target(entry) or entry.id] = entry
        first = (render.message(one, gathering.context(one)) for one in messages.values())
        names = {self.ada.user: "ada", self.rita.user: "rita"}
        drawn = [
            blocks.draw(one, names, calls=[who.removeprefix("slack:") for who in one.calls])
            for one in first
        ]
        return [(one.text, list(one.blocks)) for one in drawn]


def key_of(message: dict[str, Any]) -> str | None:
    """Return the key that a message carries."""
    found = message.get("metadata", {}).get("event_payload", {}).get("key")
    return None if found is None else str(found)


def whole_life(out: Outbound, incident: Incident, tell: Callable[[], object]) -> None:
    """Let an incident happen, from triage to its review; `tell` is called after every step."""
    office, number = out.office, incident.number
    room = out.bot.room

    def report(stage: Stage, made: Any) -> None:
        content = made.model_dump(mode="json")
        room.timeline.append(number, entries.report(stage, content), MACHINE)

    def stage(which: Stage, outcome: Outcome, made: Any = None) -> None:
        run_id = office.claim(incident, which)
        run = room.stages.get(run_id)
        for text in ("reading 3 logs", "comparing 2 revisions", "replaying the failure"):
            room.timeline.append(number, entries.progress(run, text), MACHINE)
            tell()
        if made is not None:
            report(which, made)
        room.stages.finish(run_id, run.fence, Ending(outcome))
        tell()

    tell()
    stage(Stage.TRIAGE, Outcome.DONE)
    room.incidents.note(number, out.rita, "logs say <!channel> & <@U1> `x` *y*")
    stage(Stage.DIAGNOSE, Outcome.CONFIRMED, diagnosis())
    stage(Stage.PATCH, Outcome.PATCHED, patch())
    stage(Stage.TEST, Outcome.APPROVE, results())
    rollout = office.rollout(incident)
    for rehearsal in ("", "went back in 2 s"):
        made = plan(rehearsal).model_dump(mode="json")
        room.timeline.append(number, entries.plan(rollout.id, made), MACHINE)
        tell()
    asked = office.ask(incident)
    tell()
    room.approvals.decide(asked, out.ada, Answer.YES, None, f"yes-{number}")
    tell()
    for left, state in ((300, "baking"), (200, "baking"), (0, "awaiting approval")):
        draft = entries.phase(
            rollout,
            buckets(office.clock()),
            left=timedelta(seconds=left),
            gate={"result": "PASS"},
            following="nothing new",
        )
        content = draft.content | {"state": state}
        room.timeline.append(number, type(draft)(draft.kind, content, draft.subject), MACHINE)
        tell()
    grow = office.ask(incident, rollout, key=f"grow-{number}")
    tell()
    room.approvals.decide(grow, out.ada, Answer.NO, None, f"no-{number}")
    back = entries.taken_back(rollout, "a" * 40, "a person said no", broken=False)
    room.timeline.append(number, back, MACHINE)
    tell()
    room.incidents.needs_human(number, "Decide what to do about the card service")
    room.incidents.mitigated(number, out.rita, "cache warmed")
    report(Stage.REVIEW, review())
    tell()
