"""One whole incident in one process, cut at every named point and taken up again.

Used by test_kills.py. The store, the poster, the stages, the traffic, git and the watchdog are the
real ones; only the engine, production and time are the test's own (tests/flows/outside.py). At each
point the disk is copied: that copy is what a SIGKILL would have left.
"""

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from bot import app as bot_app
from bot import recovery
from incidents import crash
from incidents.models import Act, Answer, EntryKind, Outcome, Rollout, Stage, Status
from incidents.policy import OPERATOR, Access
from incidents.settings import Settings
from incidents.store import Store
from tests.flows import outside
from tests.incidents.builders import KEY, START, Clock
from workers import office, stages
from workers.traffic import Traffic

SCALE = 6.0  # a lease of 15 s: no busy machine makes the real watchdog act by itself
LEASE = timedelta(seconds=2)
LINE = "/incident P0 checkout failing"
MOST_ROUNDS = 250
ROUND = timedelta(seconds=7)  # two fit into a lease
PLANS = 2  # told before and after its rehearsal
POSTS_PER_KIND = 2  # the first is a message of its own, the second may be an edit
TOML = """\
[[service]]
name = "checkout"
repository = "{remote}"
changes = {{record = "{host}/deploys.jsonl"}}
[service.deploy]
driver = "processes"
folder = "{host}"
"""


class Chapter(StrEnum):
    """Where the life of an incident is compared with the undisturbed one."""

    ASKED = "the start of the rollout is asked for"
    TEN = "10 % of the users are on the fix"
    FIFTY = "50 %"
    HUNDRED = "100 %"
    MITIGATED = "100 % and PASS"
    OVER = "resolved and reviewed"


SHARES = {Chapter.TEN: 10, Chapter.FIFTY: 50, Chapter.HUNDRED: 100}


@dataclass(frozen=True)
class Image:
    """The disk at one point of the undisturbed life."""

    point: str
    detail: str
    place: Path
    at: datetime
    chapter: Chapter

    @property
    def posting(self) -> bool:
        """Whether only the poster was killed here."""
        return self.point.startswith("post.")

    def __str__(self) -> str:
        return f"{self.point}/{self.detail} at {self.at:%H:%M:%S}"


@dataclass
class World:
    """Everything on disk, and the production that runs on it."""

    folder: Path
    code: outside.Code
    production: outside.Production
    clock: Clock
    _stamped: dict[Path, int] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        """Halon's data folder."""
        return self.folder / "data"

    @property
    def engine(self) -> outside.ScriptedEngine:
        """The engine that plays every role."""
        return outside.ScriptedEngine(self.code, self.folder / "engine.txt")

    def pass_(self, duration: timedelta) -> None:
        """Let time pass, for the users too."""
        before = self.clock.at
        after = self.clock.pass_(seconds=duration.total_seconds())
        self.production.serve(before, after)

    def stamp(self) -> None:
        """Give what the watchdog's files got from the machine's clock the test's time."""
        for path in self.data.glob("watchdog/*"):
            with suppress(FileNotFoundError):
                if self._stamped.get(path) != path.stat().st_mtime_ns:
                    os.utime(path, (self.clock.at.timestamp(),) * 2)
                    self._stamped[path] = path.stat().st_mtime_ns

    def copy(self, to: Path) -> None:
        """Copy the disk; by another process, since closing SQLite's files would drop its locks."""
        self.stamp()
        with self.production.still():
            _tar("--create", "--format=posix", to, self.folder)  # whole times, not full seconds

    def restore(self, image: Image) -> None:
        """Put the disk and the time back to where a life was cut."""
        self.end()
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        _tar("--extract", "--preserve-permissions", image.place, self.folder)
        self.clock.at = image.at
        self._stamped = {p: p.stat().st_mtime_ns for p in self.data.glob("watchdog/*")}
        self.production.start(image.at)

    def end(self) -> None:
        """End production and the watchdogs that were armed here."""
        self.production.stop()
        for lock in self.data.glob("watchdog/*.lock"):
            with suppress(ValueError, ProcessLookupError):
                os.kill(int(lock.read_text("ascii")), signal.SIGKILL)


def _tar(what: str, how: str, file: Path, folder: Path) -> None:
    subprocess.run(["tar", what, how, f"--file={file}", f"--directory={folder}", "."], check=True)


def world(folder: Path) -> World:
    """Make a production that is broken since two minutes, and an empty Halon beside it."""
    folder.mkdir()
    host = folder / "host"
    code = outside.code(folder.with_name("code"), folder / "code.git")
    clock = Clock()
    production = outside.Production(host, frozenset({code.culprit, code.newest}))
    production.deploy(code.good, outside.ago(START, minutes=60))
    production.deploy(code.culprit, outside.ago(START, seconds=150))
    production.deploy(code.newest, outside.ago(START, seconds=140))
    production.serve(outside.ago(START, seconds=130), START)
    toml = TOML.format(remote=code.remote, host=host)
    (folder / "halon.toml").write_text(toml, encoding="utf-8")
    (folder / "data").mkdir()
    production.start(START)
    return World(folder, code, production, clock)


class Life:
    """One life of Halon's processes on a world, from where the disk says that it is."""

    def __init__(self, world: World) -> None:
        self.world = world
        settings = Settings(folder=world.data, file=world.folder / "halon.toml").model_copy(
            update={"time_scale": SCALE, "database_url": None, "redis_url": None}
        )
        self.store = Store(settings.database, world.clock)
        self.store.migrate()
        self.desk = office.over(self.store, settings, "this test", key=KEY)
        access = Access(self.desk.services, chat_configured=False)
        self.bot = bot_app.compose(self.store, access, KEY, ())
        self.traffic = Traffic(self.desk)

    def until(self, chapter: Chapter, told: Callable[[Chapter], None] = lambda _: None) -> None:
        """Go on until a chapter has ended; `told` hears of each that ends on the way."""
        recovery.recover(self.bot.commands, self.bot.inbox)
        ended: set[Chapter] = set()
        for _ in range(MOST_ROUNDS):
            self._round()
            for one in Chapter:
                if one not in ended and self._has_come_to(one):
                    ended.add(one)
                    told(one)
            if chapter in ended:
                return
            self.world.pass_(ROUND)
        raise AssertionError(f"the incident is stuck before: {chapter}; {self.facts()}")

    def posted(self) -> list[str]:
        """Let the poster alone go on until it has nothing left; return the thread's messages."""
        asyncio.run(self._post())
        return self._posts()

    def close(self) -> None:
        """Let go of what is open; nothing is written by this."""
        self.traffic.close()
        self.store.close()

    def _round(self) -> None:
        """Let everybody do once what there is to do: a person, the worker, the controller, chat."""
        self._person()
        self._work()
        fence = self.desk.leases.lead("controller", "this test", timedelta(seconds=10))
        assert fence is not None
        for rollout in self._rolling():
            self.traffic.tick(rollout.id, fence)
            self.world.stamp()
        asyncio.run(self._post())

    def _person(self) -> None:
        """Open the incident and say yes to what is asked, the same act always under one key."""
        commands = self.bot.commands
        if not self.desk.incidents.list(live_only=False):
            commands.say(LINE, OPERATOR, None, "open")
            return
        for asked in self.desk.approvals.pending(1):
            if self._shown(asked.id) and self._waiting():
                # An older release would end the harm too, and with it the road to the fix.
                answer = Answer.NO if asked.act is Act.REDEPLOY else Answer.YES
                commands.vote(asked.id, OPERATOR, answer, f"answer-{asked.id}")

    def _waiting(self) -> bool:
        """Tell whether the worker has given the deploy run back: people are slower than that."""
        runs = (self.desk.stages.get(one.stage_run) for one in self._rolling())
        return all(run.waiting_since is not None for run in runs)

    def _shown(self, approval: str) -> bool:
        subject = f"approval-{approval}"
        name = "web:INC-1"
        names = self.bot.poster.deliveries.conversations(1) or [name]
        return any(
            self.bot.poster.deliveries.message_of(1, one, EntryKind.QUESTION, subject)
            for one in names
        )

    def _work(self) -> None:
        for waiting in self.desk.stages.ready():
            if self.desk.stages.woken(waiting.run.id):
                claimed = self.desk.stages.claim(waiting.run.id, "worker", LEASE)
                if claimed is not None:
                    stages.work(self.desk, claimed, self.world.engine)

    async def _post(self) -> None:
        while await self.bot.poster.turn():
            pass

    def _rolling(self) -> list[Rollout]:
        """Return what the controller has to do with, as `workers.controller` chooses it."""
        return [*self.desk.rollouts.open_rollouts(), *self.desk.rollouts.unreported()]

    def _has_come_to(self, chapter: Chapter) -> bool:
        found = self.desk.incidents.list(live_only=False)
        if not found:
            return False
        if chapter is Chapter.ASKED:
            asked = self.desk.approvals.pending(1)
            return any(self._shown(one.id) for one in asked) and self._waiting()
        if chapter in SHARES:
            reached = self._rows("SELECT coalesce(max(phase), 0) FROM rollout")[0][0]
            return bool(reached >= SHARES[chapter])
        if chapter is Chapter.MITIGATED:
            return found[0].status is Status.MITIGATED
        runs = self.desk.incidents.runs(1)
        return found[0].status is Status.RESOLVED and any(
            run.stage is Stage.REVIEW and run.outcome is Outcome.DONE for run in runs
        )

    # --- what is compared

    def facts(self) -> dict[str, Any]:
        """Return what must be the same whoever was killed: ours, the thread's, and the world's."""
        (incident,) = self.desk.incidents.list(live_only=False)
        runs = self.desk.incidents.runs(1)
        return {
            "status": incident.status.value,
            "needs": incident.needs_human,
            "runs": [(r.stage.value, r.attempt, r.state.value, str(r.outcome)) for r in runs],
            "steps": self._rows("SELECT stage_run, name, count(*) FROM step GROUP BY 1, 2"),
            "approvals": self._rows("SELECT act, scope, state FROM approval ORDER BY asked_at"),
            "timeline": self._timeline(),
            "chain broken at": self.desk.timeline.verify(1),
            "unsent": self._rows("SELECT id, state FROM delivery WHERE state <> 'sent'"),
            "posts": self._posts(),
            "left in the inbox": len(self.bot.inbox.undone()),
            "action items": [one.text for one in self.desk.action_items.list(1)],
            "who served": self.world.production.journal,
            "commits of the fix": len(self.world.code.fixes()),
            "commits on the release branch": len(self.world.code.released()),
        }

    def _timeline(self) -> list[str]:
        """Return the kinds of what was said; how a phase goes depends on when one looks."""
        kinds, plans = [], 0
        for entry in self.desk.timeline.entries(1):
            plans += (entry.subject or "").startswith("plan-")
            # A rehearsal that was cut is walked again, and the plan's message tells of it again.
            again = plans > PLANS and (entry.subject or "").startswith("plan-")
            if entry.kind is not EntryKind.PHASE and not again:
                kinds.append(entry.kind.value)
        return kinds

    def _posts(self) -> list[str]:
        """Return the kinds of the thread's messages in their order, the card and any doubles last.

        A message posted twice has one delivery, so it shows only in the number of messages.
        """
        kinds = self._rows(
            "SELECT t.kind FROM delivery d JOIN timeline_entry t ON t.id = d.entry "
            "WHERE d.external_id <> '' GROUP BY d.external_id ORDER BY min(d.\"order\")"
        )
        more = self._rows("SELECT count(*) FROM web_post")[0][0] - len(kinds)
        return [*(kind for (kind,) in kinds), *("card" for _ in range(more))]

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.world.data / "halon.db")) as database:
            return database.execute(query).fetchall()


@contextmanager
def recorded(world: World, images: Path) -> Iterator[tuple[list[Image], dict[Chapter, Any]]]:
    """Live once undisturbed; give the disk at every point passed, and the facts of each chapter."""
    found: list[Image] = []
    facts: dict[Chapter, Any] = {}
    images.mkdir()

    seen: Counter[tuple[str, str]] = Counter()

    def cut(point: str, detail: str) -> None:
        seen[point, detail] += 1
        if point.startswith("post.") and seen[point, detail] > POSTS_PER_KIND:
            return
        chapter = next(one for one in Chapter if one not in facts)
        place = images / f"{len(found)}.tar"
        world.copy(place)
        found.append(Image(point, detail, place, world.clock.at, chapter))

    life = Life(world)
    crash.watch(cut)
    try:
        life.until(Chapter.OVER, lambda one: facts.setdefault(one, life.facts()))
    finally:
        crash.disarm()
        life.close()
    yield found, facts
    shutil.rmtree(images)
