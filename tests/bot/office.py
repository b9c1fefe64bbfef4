"""A bot over a store of its own, with a clock that the test moves and a chat that remembers.

Used by the tests of this folder. `FakeChat` keeps what a platform would keep, may refuse, and may
die at any call; nothing here replaces a part of Halon.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from bot import app
from bot.app import Bot
from bot.outbox import Pace
from bot.port import Message, Opened, PostRef, ThreadRef
from bot.poster import Poster
from incidents import entries, reports
from incidents.approvals import Approvals, Question
from incidents.deliveries import Deliveries
from incidents.models import (
    MACHINE,
    Act,
    Bucket,
    Incident,
    Person,
    Platform,
    Result,
    Rollout,
    RolloutState,
    SafeVersion,
    Severity,
    Stage,
    Verdict,
    Version,
)
from incidents.policy import Access
from incidents.posts import Posts
from incidents.service import Opening
from incidents.settings import People, Service
from incidents.stages import Ending
from incidents.store import Store

KEY = bytes(range(32))
START = datetime(2026, 3, 4, 14, 30, tzinfo=UTC)
OPERATOR = Person(Platform.WEB, "operator")
RESPONDER = Person(Platform.WEB, "rita")
APPROVER = Person(Platform.WEB, "ada")
STRANGER = Person(Platform.WEB, "sam")
GUEST = Person(Platform.WEB, "gus", guest=True)
CULPRIT, HEAD, FIX = "3f2a91c" + "0" * 33, "b" * 40, "c" * 40
DIFF = (
    "diff --git a/shop/checkout.py b/shop/checkout.py\n--- a/shop/checkout.py\n"
    "+++ b/shop/checkout.py\n@@ -1,3 +1,3 @@\n def pay(user):\n"
    "-    return user.card.id\n+    return user.card.id if user.card else None\n"
)


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    at: datetime = START

    def __call__(self) -> datetime:
        return self.at

    def move(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Stored:
    """One message as the fake platform keeps it."""

    thread: ThreadRef
    key: str
    message: Message
    edits: int = 0
    pinned: bool = False


@dataclass
class FakeChat:
    """A platform in memory; `before` and `after` are called with each call's name and may raise."""

    platform: Platform = Platform.WEB
    posts: list[Stored] = field(default_factory=list)
    before: Callable[[str], None] = lambda name: None
    after: Callable[[str], None] = lambda name: None
    limits: Callable[[str], str] = lambda place: place
    left_out: tuple[str, ...] = ()
    ended: list[str] = field(default_factory=list)

    def shares(self, place: str) -> str:
        return self.limits(place)

    async def open_thread(self, incident: Incident, where: str, card: Message) -> Opened:
        self.before("open_thread")
        thread = ThreadRef(self.platform, incident.id)
        top = await self.find(thread, "card")
        if top is None:
            self.posts.append(Stored(thread, "card", card))
            top = PostRef(thread, str(len(self.posts) - 1))
        self.posts[int(top.id)].pinned = True
        self.after("open_thread")
        return Opened(thread, top, self.left_out)

    async def post(self, thread: ThreadRef, message: Message, key: str) -> PostRef:
        self.before("post")
        self.posts.append(Stored(thread, key, message))
        self.after("post")
        return PostRef(thread, str(len(self.posts) - 1))

    async def edit(self, post: PostRef, message: Message) -> None:
        self.before("edit")
        stored = self.posts[int(post.id)]
        if stored.message != message:
            stored.message, stored.edits = message, stored.edits + 1
        self.after("edit")

    async def find(self, thread: ThreadRef, key: str) -> PostRef | None:
        self.before("find")
        for place, stored in enumerate(self.posts):
            if (stored.thread, stored.key) == (thread, key):
                return PostRef(thread, str(place))
        return None

    async def end_thread(self, opened: Opened) -> None:
        self.before("end_thread")
        self.ended.append(opened.thread.place)

    async def resume_thread(self, opened: Opened) -> None:
        self.before("resume_thread")
        self.ended.remove(opened.thread.place)

    def thread(self, incident: Incident) -> list[Message]:
        """The thread below its card."""
        mine = [one for one in self.posts if one.thread.place == incident.id]
        return [one.message for one in mine if not one.pinned]

    def card(self, incident: Incident) -> Message:
        """The one pinned message."""
        (pinned,) = (one for one in self.posts if one.pinned and one.thread.place == incident.id)
        return pinned.message


class Office:
    """A store, a bot over it, and what the other processes would do."""

    def __init__(self, folder: Path, clock: Clock, chat_configured: bool = True) -> None:
        self.clock, self.folder = clock, folder
        self.store = Store(f"sqlite:///{folder / 'halon.db'}", clock)
        self.store.migrate()
        self.services = {one.name: one for one in services()}
        self.access = Access(self.services, chat_configured)
        self.bot: Bot = app.compose(self.store, self.access, KEY, ("127.0.0.1",))
        self.chat = FakeChat()
        self.deliveries = Deliveries(self.store)
        self.posts = Posts(self.store)
        self.asking = Approvals(self.store)

    def poster(
        self, chat: FakeChat | None = None, pace: Pace | None = None, follows: str = ""
    ) -> Poster:
        return Poster(
            chat or self.chat,
            self.deliveries,
            self.bot.poster.gathering,
            pace or Pace(),
            lambda: self.clock().timestamp(),
            follows,
        )

    def post_all(self, poster: Poster | None = None) -> None:
        """Turn until nothing is due."""
        one = poster or self.poster()

        async def turns() -> None:
            while await one.turn():
                pass

        asyncio.run(turns())

    def open(self, title: str = "checkout failing", key: str = "k1", **more: object) -> Incident:
        opening = Opening(title, RESPONDER, key, Severity.P0, "checkout")
        return self.bot.room.incidents.open(replace(opening, **more))  # type: ignore[arg-type]

    def run_stage(self, incident: Incident, ending: Ending) -> None:
        """Do what a worker does with the stage that is ready."""
        room = self.bot.room
        run = next(one for one in room.incidents.runs(incident.number) if not one.finished_at)
        claimed = room.stages.claim(run.id, "worker:1", timedelta(seconds=15))
        assert claimed is not None
        started = entries.stage_started(claimed.run, "builtin", timedelta(minutes=15))
        room.timeline.append(incident.number, started, MACHINE)
        room.stages.finish(run.id, claimed.run.fence, ending)

    def claim(self, incident: Incident, stage: Stage) -> int:
        """Take the run of a stage and return its id; queued if it is not there."""
        room = self.bot.room
        run = room.stages.queue_stage(incident.number, stage)
        assert room.stages.claim(run.id, "worker:1", timedelta(seconds=15)) is not None
        started = entries.stage_started(run, "builtin", timedelta(minutes=15))
        room.timeline.append(incident.number, started, MACHINE)
        return run.id

    def rollout(self, incident: Incident, percent: int = 10, **more: Any) -> Rollout:
        """Make a rollout of an incident with ten minutes of traffic."""
        room = self.bot.room
        run_id = self.claim(incident, Stage.DEPLOY)
        made = room.rollouts.create(
            replace(
                Rollout(
                    id=f"R{run_id}",
                    incident=incident.number,
                    stage_run=run_id,
                    service="checkout",
                    state=RolloutState.BAKING,
                    revision=FIX,
                    stable_revision=HEAD,
                    last_good_revision="a" * 40,
                    patch_digest="d" * 64,
                    plan=plan().model_dump(mode="json"),
                    plan_hash="",
                    phase=percent,
                    phase_started_at=self.clock(),
                    deadline=self.clock() + timedelta(minutes=10),
                    safe_version=SafeVersion.LAST_GOOD,
                    latched=False,
                    fence=0,
                    created_at=self.clock(),
                ),
                **more,
            ),
            room.stages.get(run_id).fence,
        )
        room.rollouts.add_buckets(made.id, buckets(self.clock()))
        return made

    def thin(self, incident: Incident | None = None) -> tuple[Incident, Rollout, str]:
        """Plan a rollout with an offer and ask for it; return the approval's id too."""
        incident = incident or self.open()
        bake = plan().phases[0].model_copy(update={"bake_seconds": 1260.0})
        offer = reports.Offer(
            name="longer", text="10 % for 21 minutes", phases=(bake, *plan().phases[1:])
        )
        made = plan().model_copy(update={"offers": (offer,)})
        rollout = self.rollout(
            incident, state=RolloutState.PLANNED, phase=0, plan=made.model_dump(mode="json")
        )
        asked = self.ask(incident, rollout, act=Act.START, scope="10", gate=None)
        return incident, rollout, asked

    def takes(self, *, two: bool) -> None:
        """Ask for two approvers of checkout, or for one; ada and ben are its approvers."""
        more = {"quorum": {Severity.P0: 2} if two else {}, "approvers": People(web=("ada", "ben"))}
        self.services["checkout"] = self.services["checkout"].model_copy(update=more)

    def ask(self, incident: Incident, rollout: Rollout | None = None, **more: object) -> str:
        """Ask what the controller asks, and return the approval's id."""
        question = Question(
            incident=incident.number,
            service="checkout",
            act=Act.EXPAND if rollout else Act.START,
            scope="50" if rollout else "10",
            patch_digest="d" * 64,
            plan_hash=rollout.plan_hash if rollout else "p" * 64,
            key=f"{incident.id}-{rollout.id if rollout else 'start'}",
            rollout=rollout.id if rollout else None,
            verdict=Verdict.CONFIRMED,
            gate=Result.PASS if rollout else None,
        )
        return self.asking.ask(replace(question, **more)).id  # type: ignore[arg-type]


def services() -> tuple[Service, ...]:
    """Two services with people of their own."""
    people = {
        "responders": People(web=("rita",)),
        "approvers": People(web=("ada",)),
    }
    return (
        Service(name="checkout", repository="/srv/checkout", aliases=("shop",), **people),
        Service(name="search", repository="/srv/search"),
    )


def buckets(start: datetime) -> list[Bucket]:
    """A bad old version beside a good new one."""
    made = []
    for step in range(24):
        at = start + timedelta(seconds=5 * step)
        made.append(Bucket(Version.STABLE, at, 5.0, 100, 45))
        made.append(Bucket(Version.CANARY, at, 5.0, 12, 0))
    return made


def diagnosis(verdict: Verdict = Verdict.CONFIRMED) -> reports.Diagnosis:
    """A diagnosis as the builtin engine writes it."""
    named = verdict in (Verdict.CONFIRMED, Verdict.LIKELY)
    proofs = (
        reports.Proof(
            label="broken revision",
            tree="1" * 40,
            runs=3,
            failures=3,
            command="pytest -q",
            where="bubblewrap",
            seconds=1.2,
        ),
        reports.Proof(
            label=f"broken revision without {CULPRIT[:12]}",
            tree="2" * 40,
            runs=3,
            failures=0,
            command="pytest -q",
            where="bubblewrap",
            seconds=1.1,
        ),
    )
    return reports.Diagnosis(
        engine="builtin",
        verdict=verdict,
        summary="Guests cannot pay.",
        revision=HEAD,
        proofs=proofs if named else (),
        root_cause=reports.RootCause(
            statement="The change brought AttributeError."
            if named
            else "The dependency payment does not answer.",
            commit=CULPRIT if named else None,
            subject="saved cards" if named else None,
            path="shop/checkout.py" if named else None,
            line=12 if named else None,
            dependency=None if named else "payment",
        ),
        culprit=CULPRIT if named else None,
        exception="AttributeError" if named else None,
        impact=reports.Impact(requests=2650, failed=1204, error_rate=0.454, baseline_rate=0.002),
        gaps=("no metrics of the payment provider",),
        seconds=3.2,
        cost=Decimal(0),
    )


def patch(diff: str = DIFF) -> reports.Patch:
    """A patch as the builtin engine writes it."""
    return reports.Patch(
        engine="builtin",
        remedy=reports.RemedyKind.REVERT,
        title="Take back saved cards",
        diff=diff,
        digest="d" * 64,
        base=HEAD,
        tree="3" * 40,
        why_minimal="It takes back one commit and nothing else.",
        regression_test=reports.RegressionTest(
            path="tests/test_guest.py", command="pytest -q", before="fails", after="passes"
        ),
        risk="low: the code ran in production before",
        rollback="git revert",
    )


def results(approve: bool = True) -> reports.TestReport:
    """A test report with one category that could not be run."""
    found = [
        reports.CategoryResult(
            category=category,
            passed=None if category is reports.Category.PERFORMANCE else approve,
            summary="before: fails in 3 of 3 runs; after: passes in 3 of 3",
        )
        for category in reports.Category
    ]
    return reports.TestReport(
        engine="builtin",
        approve=approve,
        summary="It may go to production.",
        patch_digest="d" * 64,
        categories=tuple(found),
        failures=() if approve else ("test_guest fails",),
    )


def plan(rehearsal: str = "") -> reports.DeploymentPlan:
    """A plan of three phases."""
    return reports.DeploymentPlan(
        engine="builtin",
        service="checkout",
        driver="processes",
        revision=FIX,
        stable_revision=HEAD,
        last_good_revision="a" * 40,
        safe_version="last good",
        safe_why="stable carries the incident",
        patch_digest="d" * 64,
        phases=tuple(
            reports.PhasePlan(
                percent=percent, bake_seconds=600, minimum_seconds=120, criteria=("errors ≤ 5 %",)
            )
            for percent in (10, 50, 100)
        ),
        watched=("error rate",),
        rehearsal=rehearsal,
        traffic="A verdict takes about 4 minutes at 600 requests a minute.",
    )


def review() -> reports.Review:
    """A drafted review with one action item."""
    return reports.Review(
        engine="builtin",
        title="Guests could not pay",
        summary="A change assumed that every user has a saved card.",
        action_items=(
            reports.ActionItemDraft(text="Test checkout as a guest", owner="@payments", due_days=7),
        ),
    )


def contained() -> reports.Hotfix:
    """A hotfix that held: its patch is a file, since no tree was named."""
    guard = reports.Patch(
        engine="builtin",
        remedy=reports.RemedyKind.GUARD,
        title="containment: user is None in shop/pay.py:3",
        diff=DIFF,
        digest="d" * 64,
        base=HEAD,
        tree="e" * 40,
        paths=("shop/pay.py",),
        risk="medium: it goes on with nothing",
    )
    return reports.Hotfix(
        engine="builtin",
        contained=True,
        summary="Contained by a guard: user is None in shop/pay.py:3.",
        before="fails in 2 of 2 runs",
        after="passes in 2 of 2 runs",
        suite="no worse than before",
        patch=guard,
    )
