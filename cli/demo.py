"""`halon demo`: breaks a real service and takes the incident through its whole life.

Everything is real: git history, processes, traffic, Redis, RQ, database, sandbox. It opens the
incident and approves through the war room like a person, and judges the outcome from outside.
"""

import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cli import demo_outcome, keyboard
from cli import folder as folders
from cli.plant import Entrance, Plant
from cli.production import Production
from cli.room import WarRoom
from demo.history import Scenario
from incidents import errors
from incidents.models import Act
from incidents.settings import Settings

SCALE = 60.0
LINE = "/incident P0 checkout failing"
LONGEST_SECONDS = 240.0
POLL_SECONDS = 0.1
WRONG_END = 1

Which = Annotated[Scenario, typer.Option(help="What happens to the service.")]
Yes = Annotated[bool, typer.Option("--yes", help="Approve by itself, with the operator's token.")]
Keep = Annotated[bool, typer.Option("--keep", help="Leave everything running until Ctrl-C.")]
Scale = Annotated[float, typer.Option(min=1, max=600, help="How much shorter bakes are.")]
Contain = Annotated[
    bool, typer.Option("--contain", help="Take the offer to return to the last good version first.")
]
Port = Annotated[int, typer.Option(help="Where the war room listens; 0: any free port.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Start here")(demo)


def demo(
    scenario: Which = Scenario.GUEST_CRASH,
    yes: Yes = False,
    keep: Keep = False,
    scale: Scale = SCALE,
    port: Port = 0,
    contain: Contain = False,
) -> None:
    """Break a real service and watch it being diagnosed, mended, rolled out and reviewed."""
    by_itself = yes or not sys.stdin.isatty()
    console = Console(highlight=False, soft_wrap=True)
    with keyboard.listening(not by_itself) as keys:
        show = Show(console, scenario, by_itself, keys, contain)
        played = play(show, scale=scale, port=port, keep=keep)
    if not played.right:
        raise typer.Exit(WRONG_END)


@dataclass(frozen=True)
class Played:
    """How one demo ended, for those who measure it: seconds count from the typed line."""

    right: bool
    confirmed: float | None
    timeline: list[dict[str, Any]]


def play(show: "Show", *, scale: float = SCALE, port: int = 0, keep: bool = False) -> Played:
    """Play a scenario to its end and tell it to `show`; everything started is gone afterwards."""
    with (
        _folder() as folder,
        _everything(folder, show.scenario, scale, port, show) as (production, plant, entrance),
    ):
        life = Life(production, plant, entrance, show)
        right = life.live()
        if keep:
            show.say(f"Everything stays up. War room: {entrance.address}  Ctrl-C ends it.")
            with contextlib.suppress(KeyboardInterrupt):
                plant.watch(lambda: False)
        return Played(right, life.confirmed, life.timeline)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="halon-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Show:
    """What the terminal is told: one line per thing that happens."""

    console: Console
    scenario: Scenario
    by_itself: bool
    keys: keyboard.Keys
    contain: bool = False
    begun: float = field(default_factory=time.monotonic)

    def say(self, text: str, style: str = "") -> None:
        """Print a line with the seconds since the demo began."""
        spent = time.monotonic() - self.begun
        self.console.print(f"[dim]{spent:6.1f} s[/]  ", end="")
        self.console.print(text, style=style or None, markup=False)


@contextlib.contextmanager
def _everything(
    folder: Path, scenario: Scenario, scale: float, port: int, show: Show
) -> Iterator[tuple[Production, Plant, Entrance]]:
    """Start the production and Halon, and end both, whatever happens."""
    data = folders.prepare(folder / "halon")
    settings = Settings(folder=data, file=folder / "halon.toml").model_copy(
        update={"database_url": None, "redis_url": None}
    )
    overrides = {"HALON_TIME_SCALE": f"{scale:g}", "HALON_WEB_PORT": str(port)}
    plant = Plant(settings, overrides)
    try:
        show.say(f"Scenario {scenario.value}: starting a checkout service and its users …")
        production = Production(folder, scenario, plant.supervisor)
        production.start()
        show.say("The service is healthy. Starting Halon …")
        entrance = plant.start()
        show.say(f"War room: {entrance.address}", "bold")
        yield production, plant, entrance
    finally:
        show.say("Ending everything that was started …")
        plant.stop()


@dataclass
class Life:
    """One incident from the typed line to its end, told as it happens."""

    production: Production
    plant: Plant
    entrance: Entrance
    show: Show
    incident: str = ""
    seen: int = 0
    opened: float = 0.0
    confirmed: float | None = None
    timeline: list[dict[str, Any]] = field(default_factory=list)

    def live(self) -> bool:
        """Break the service, open the incident, follow it to its end; True if it ended right."""
        self.production.break_it()
        before = self.production.users(self.production.broken_at)
        self.show.say(demo_outcome.broken_sentence(self.show.scenario, before))
        room = WarRoom(self.entrance.url, self.entrance.bearer)
        try:
            self._open(room)
            state = self._follow(room)
            self.timeline = room.timeline(self.incident)
            outcome = demo_outcome.judge(self.production, state, self.timeline, self.show.contain)
        finally:
            room.close()
        table = demo_outcome.table(state, outcome, self.confirmed, self.entrance.address)
        self.show.console.print(table)
        for line in outcome.lines:
            self.show.console.print(line, markup=False)
        return outcome.right

    def _open(self, room: WarRoom) -> None:
        self.opened = time.monotonic()
        said = room.say(LINE)
        if not said.get("incident"):
            raise errors.PermanentFailure(f"The incident was not opened: {said}")
        self.incident = said["incident"]
        self.show.say(f"{LINE}  →  {said['reply']}", "bold")

    def _follow(self, room: WarRoom) -> dict[str, Any]:
        """Tell what happens and approve what is asked, until the scenario has come to its end."""
        deadline = time.monotonic() + LONGEST_SECONDS
        answered: set[str] = set()
        told: str | None = None
        while True:
            self.plant.supervisor.look()
            try:
                self._tell(room)
                state = room.incident(self.incident)
            except errors.TemporaryFailure:
                state = {}
            if state and demo_outcome.is_over(self.show.scenario, state):
                self._tell(room)
                return state
            told = self._approve(room, state, answered, told)
            if time.monotonic() > deadline and self.show.by_itself:
                raise errors.PermanentFailure(
                    f"The incident did not come to its end within {LONGEST_SECONDS:.0f} s: "
                    f"{demo_outcome.where(state)}. Logs: {self.plant.folder / 'logs'}"
                )
            time.sleep(POLL_SECONDS)

    def _tell(self, room: WarRoom) -> None:
        for entry in room.timeline(self.incident):
            if entry["sequence"] <= self.seen:
                continue
            self.seen = entry["sequence"]
            line = demo_outcome.sentence(entry)
            if line is not None:
                self.show.say(line)
            if self.confirmed is None and demo_outcome.is_diagnosis(entry):
                self.confirmed = time.monotonic() - self.opened

    def _approve(
        self, room: WarRoom, state: dict[str, Any], answered: set[str], told: str | None
    ) -> str | None:
        """Answer an open question with the operator's token, or wait for a key or a click."""
        asked = [one for one in state.get("approvals", []) if one["id"] not in answered]
        if not asked:
            return told
        question = asked[-1]
        offer = question["act"] == Act.REDEPLOY
        if offer and not self.show.contain:
            answered.add(question["id"])
            self.show.say(
                "The offer to return to the last good version stays unanswered here: the fix is to "
                "be seen. `--contain` takes it; the war room takes your answer."
            )
            return told
        if self.show.by_itself or offer:
            answer = "yes"
        else:
            if told != question["id"]:
                self.show.say("Approve in the war room, or press y (yes) or n (no).", "bold yellow")
            pressed = self.show.keys.pressed()
            if pressed not in ("y", "n"):
                return str(question["id"])
            answer = "yes" if pressed == "y" else "no"
        answered.add(question["id"])
        said = room.vote(question["id"], answer)
        self.show.say(f"You answered {answer}: {said.get('reply', '')}")
        return str(question["id"])
