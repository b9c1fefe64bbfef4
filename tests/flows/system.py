"""The whole real system under a test: production, Halon's processes, and a hand that kills.

Used by the kill tests of .ci/run and of `make soak`. It starts what `halon demo` starts, follows an
incident through the war room, and kills by pid at named moments, or lets a process kill itself at
a named point (HALON_CRASH_AT). What it tells of the end was asked from outside.
"""

import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli import demo_outcome
from cli import folder as folders
from cli.plant import Plant
from cli.production import Production
from cli.room import WarRoom
from demo.history import Scenario
from incidents import errors
from incidents.models import Act
from incidents.settings import Settings
from incidents.store import Store
from incidents.timeline import Timeline
from tests.flows import proc
from tests.repositories import Repository

SCALE = 90.0
LINE = "/incident P0 checkout failing"
LONGEST_SECONDS = 300.0
LOOK_SECONDS = 0.02
BETWEEN_ANSWERS = 0.2  # a chat's server is asked what it shows

STAGES = ("triage", "diagnose", "patch", "test", "deploy", "review")
STEPS = ("bug-diagnostician", "patch-developer", "hotfix-tester", "incident-analyzer")
MOVES = ("prepare", "arm", "shift", "ask", "mitigated", "promote", "finish")
SAID = ("opened", "stage_started", "suggested", "report", "decision", "question", "approved",
        "phase", "status", "delivered", "note")  # fmt: skip
# Every point that the life of a fix passes; test_kills.py holds this list against the life itself.
POINTS = (
    *("act.received", "act.done", "plan.branched", "plan.stored", "plan.asked", "run.finishing"),
    *("fix.merged", "review.filed"),
    *(f"run.{when}/{stage}" for when in ("claimed", "finished") for stage in STAGES),
    *(f"step.{when}/{step}" for when in ("before", "worked", "recorded") for step in STEPS),
    *(f"rollout.{when}/{do}" for when in ("written", "acted", "followed") for do in MOVES),
    *(f"post.{when}/{kind}" for when in ("sending", "made", "recorded") for kind in SAID),
)
Moment = Callable[[dict[str, Any], list[dict[str, Any]]], bool]


@dataclass
class Kill:
    """Whom to kill, when, and when it was done."""

    name: str
    moment: Moment
    victims: Callable[["System"], list[int]]
    done: bool = False


@dataclass
class System:
    """A running system and one incident in it."""

    folder: Path
    production: Production
    plant: Plant
    bearer: str
    room: WarRoom
    killed: list[str] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)

    def live(self, scenario: Scenario, kills: list[Kill]) -> dict[str, Any]:
        """Break the service, open the incident, kill on the way; return the last state."""
        self.production.break_it()
        deadline = time.monotonic() + LONGEST_SECONDS
        while time.monotonic() < deadline:
            self.plant.supervisor.look()
            try:
                self._turn(kills)
            except errors.TemporaryFailure:
                self._find_room()
            if self.state and demo_outcome.is_over(scenario, self.state):
                return self.state
            time.sleep(LOOK_SECONDS)
        raise AssertionError(f"the incident is stuck: {demo_outcome.where(self.state)}")

    def live_in_chat(self, say: Callable[[], object], answer: Callable[[], None]) -> None:
        """Break the service and let people of a chat open the incident and answer, to its end."""
        self.production.break_it()
        say()
        deadline = time.monotonic() + LONGEST_SECONDS
        while time.monotonic() < deadline:
            self.plant.supervisor.look()
            with suppress(errors.TemporaryFailure):
                found = self.room.incident("INC-1")
                self.state = found if "status" in found else self.state
            if self.state and demo_outcome.is_over(Scenario.GUEST_CRASH, self.state):
                return
            answer()
            time.sleep(BETWEEN_ANSWERS)
        raise AssertionError(f"the incident is stuck: {demo_outcome.where(self.state)}")

    def pid(self, name: str) -> list[int]:
        """Return a process of ours and its children."""
        parent = self.plant.supervisor.pid(name)
        return [parent, *proc.children(parent)]

    def _turn(self, kills: list[Kill]) -> None:
        incidents = self.room.incident("INC-1")
        # Said once, and again only if a bot that died had not even received it.
        if "status" not in incidents:
            self.room.say(LINE)
            return
        self.state = incidents
        timeline = self.room.timeline("INC-1")
        for kill in kills:
            if kill.done or not kill.moment(self.state, timeline):
                continue
            if victims := kill.victims(self):  # none yet: a kill that hits nobody is no kill
                kill.done = True
                for pid in victims:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                self.killed.append(kill.name)
                return
        for asked in self.state.get("approvals", []):
            # An older release would end the harm as well, and the road to the fix with it.
            self.room.vote(asked["id"], "no" if asked["act"] == Act.REDEPLOY else "yes")

    def _find_room(self) -> None:
        """Ask where the war room is now: with port 0 a new bot listens elsewhere."""
        with suppress(FileNotFoundError):
            url = json.loads((self.plant.folder / "web.json").read_text("utf-8"))["url"]
            if url != self.room.url:
                self.room.close()
                self.room = WarRoom(url, self.bearer)

    # --- what is left in the end

    def settle(self, seconds: float = 30) -> None:
        """Wait until every thread shows all that was said."""
        deadline = time.monotonic() + seconds
        while self.rows("SELECT 1 FROM delivery WHERE state <> 'sent'"):
            self.plant.supervisor.look()
            assert time.monotonic() < deadline, "the thread does not catch up"
            time.sleep(LOOK_SECONDS)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the database from outside."""
        where = f"file:{self.plant.folder / 'halon.db'}?mode=ro"
        with closing(sqlite3.connect(where, uri=True)) as database:
            return database.execute(query).fetchall()

    def broken_at(self) -> int | None:
        """Return where the timeline's chain breaks."""
        store = Store(self.plant.settings.database)
        try:
            return Timeline(store).verify(1)
        finally:
            store.close()

    def deploys(self) -> list[tuple[str, str]]:
        """Return (version, revision) of every deploy that the host made since the team's last."""
        path = self.production.place.host / "deploys.jsonl"
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        newest = self.production.history.newest
        last = max(at for at, one in enumerate(lines) if one["revision"] == newest)
        return [(one["version"], one["revision"]) for one in lines[last + 1 :]]

    def fixes(self) -> list[str]:
        """Return the commits that the incident's branch has beyond the team's newest."""
        git = Repository(self.production.history.repository).git
        beyond = f"^{self.production.history.newest}"
        return git("rev-list", "halon/INC-1", beyond).splitlines()

    def faults(self) -> list[str]:
        """Return every promise that was broken, as sentences; empty is how it must be."""
        doubled = self.rows(
            "SELECT r.stage, s.name, count(*) FROM step s JOIN stage_run r ON r.id = s.stage_run "
            "GROUP BY s.stage_run, s.name HAVING count(*) > 1"
        )
        begun = self.rows(
            "SELECT subject, count(*) FROM timeline_entry WHERE kind = 'stage_started' "
            "GROUP BY subject HAVING count(*) > 1"
        )
        messages = self.rows(
            "SELECT (SELECT count(*) FROM web_post) - 1 - (SELECT count(DISTINCT external_id) "
            "FROM delivery WHERE external_id <> '')"
        )[0][0]
        opened = self.rows("SELECT number FROM incident")
        undone = self.rows("SELECT id FROM inbox WHERE done_at IS NULL")
        said = {
            f"steps were recorded twice: {doubled}": doubled,
            f"stages began twice in the thread: {begun}": begun,
            f"{messages} messages of the thread belong to no entry": messages,
            f"incidents were opened twice: {opened}": len(opened) > 1,
            f"acts were not carried out: {undone}": undone,
            f"the timeline breaks at {self.broken_at()}": self.broken_at(),
            f"requests were lost: {self.production.users().lost}": self.production.users().lost,
        }
        return [sentence for sentence, wrong in said.items() if wrong]


@contextmanager
def running(
    folder: Path,
    scenario: Scenario,
    at: str | None = None,
    more: dict[str, str] | None = None,
    people: str = "",
) -> Iterator[System]:
    """Start everything in a folder and end it; `at` names the point at which someone dies once.

    `more` are variables of Halon's processes, `people` lines of the service in halon.toml.
    """
    data = folders.prepare(folder / "halon")
    settings = Settings(folder=data, file=folder / "halon.toml").model_copy(
        update={"database_url": None, "redis_url": None}
    )
    overrides = {"HALON_TIME_SCALE": f"{SCALE:g}", "HALON_WEB_PORT": "0"}
    overrides |= more or {}
    if at is not None:
        overrides |= {"HALON_CRASH_AT": at, "HALON_CRASH_MARK": str(folder / "crashed")}
    plant = Plant(settings, overrides)
    try:
        production = Production(folder, scenario, plant.supervisor)
        production.start()
        written = settings.file.read_text("utf-8")
        settings.file.write_text(
            written.replace("[[service]]", f"[[service]]\n{people}", 1), "utf-8"
        )
        entrance = plant.start()
        room = WarRoom(entrance.url, entrance.bearer)
        made = System(folder, production, plant, entrance.bearer, room)
        try:
            yield made
        finally:
            made.room.close()
    finally:
        plant.stop()
