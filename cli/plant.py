"""Halon's own processes on one machine: Redis, bot, controller and workers under one supervisor.

Built by `halon up` and `halon demo`. Each child gets the variables of its own settings class and no
others, so the process that runs agents holds no approval key and no chat token.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from bot.settings import BotSettings
from cli import folder as folders
from cli import redis as redis_servers
from cli import supervisor
from cli.finding import shown
from cli.supervisor import Child, Supervisor
from incidents import errors
from incidents.people import Tokens
from incidents.policy import OPERATOR
from incidents.settings import Settings, load_services
from incidents.stages import Stages
from incidents.store import Store
from incidents.timers import CONTROLLER, Leases
from workers import jobs, office
from workers.settings import ControllerSettings, WorkerSettings

READY_SECONDS = 30.0
PROGRAMS = "programs of this machine"
THEIR_SECONDS = 5.0  # a Redis that others run is there or is not
POLL_SECONDS = 0.02
CRASH_VARIABLES = ("HALON_CRASH_AT", "HALON_CRASH_MARK")
# -P: without it the folder where `halon up` was typed comes first on the path, and a folder named
# `cli`, `bot` or `agents` in it, as anyone's repository may have, would run in our place.
HALON = (sys.executable, "-P", "-m", "cli")


@dataclass(frozen=True)
class Entrance:
    """Where the war room is, and the secrets of its operator."""

    url: str
    one_time: str  # for a person's browser, once
    bearer: str  # for programs of this machine

    @property
    def address(self) -> str:
        """The address to open in a browser, once."""
        return f"{self.url}/?token={self.one_time}"


class Plant:
    """Starts Halon in a data folder, in order, and keeps it running."""

    def __init__(self, settings: Settings, overrides: dict[str, str]) -> None:
        self.settings = settings
        self.folder = settings.folder.absolute()
        self._overrides = overrides
        self._store = Store(settings.database)
        self._stages = Stages(self._store)
        self._leases = Leases(self._store)
        self.supervisor = Supervisor(self._died)

    def start(self) -> Entrance:
        """Start everything and return the entrance; raises `errors.HalonError` with a sentence."""
        (self.folder / "web.json").unlink(missing_ok=True)
        address = self._redis()
        self._store.migrate()
        key = folders.approval_key(self.folder)
        shared = {
            "HALON_FOLDER": str(self.folder),
            "HALON_FILE": str(self.settings.file.absolute()),
            "DATABASE_URL": self.settings.database,
            "REDIS_URL": address,
            **self._overrides,
        }
        secret = {"HALON_APPROVAL_KEY": key}
        self._halon("bot", BotSettings, shared | secret, "bot")
        named = self._deploy_variables()
        self._halon("controller", ControllerSettings, shared | secret, "controller", also=named)
        for queue in jobs.QUEUES:
            self._halon(f"worker-{queue}", WorkerSettings, shared, "worker", "--queue", queue)
        return self._entrance()

    def watch(self, over: Callable[[], bool]) -> None:
        """Keep the children alive until `over` says so."""
        while not over():
            self.supervisor.look()
            time.sleep(POLL_SECONDS * 5)

    def stop(self) -> None:
        """End the children, Redis last: a worker that cannot say goodbye waits in vain."""
        self.supervisor.stop(but=("redis",))
        self.supervisor.stop()
        self._store.close()

    def _redis(self) -> str:
        if self.settings.redis_url is not None:
            _wait_for_redis(self.settings.redis_url, lambda: True, THEIR_SECONDS)
            return self.settings.redis_url
        server = redis_servers.find()
        argv = tuple(redis_servers.command(server, self.folder))
        child = Child("redis", argv, self._log("redis"), supervisor.environment((), {}))
        address = redis_servers.url(self.folder)
        self.supervisor.start(child)
        try:
            _wait_for_redis(address, lambda: self.supervisor.alive("redis"), READY_SECONDS)
        except errors.PermanentFailure:
            # What it cannot read is only wake-ups, and the database knows them all.
            self.supervisor.stop(("redis",))
            aside = redis_servers.set_aside(self.folder)
            self._say(f"Redis did not start; its files are now in {aside}")
            argv = tuple(redis_servers.command(server, self.folder))
            self.supervisor.start(replace(child, argv=argv))
            _wait_for_redis(address, lambda: self.supervisor.alive("redis"), READY_SECONDS)
        return address

    def _deploy_variables(self) -> tuple[str, ...]:
        """Return the variables that deploy hooks are to get: only the controller holds them."""
        found: set[str] = set()
        for service in load_services(self.settings.file):
            named = ((service.deploy and service.deploy.model_extra) or {}).get("environment", ())
            found.update(name for name in named if isinstance(name, str))
        return tuple(sorted(found))

    def _halon(
        self,
        name: str,
        kind: type[Settings],
        extra: dict[str, str],
        *arguments: str,
        also: tuple[str, ...] = (),
    ) -> None:
        known = {*kind.variables(), *CRASH_VARIABLES, *also}
        chosen = {key: value for key, value in extra.items() if key in known}
        env = supervisor.environment(tuple(known), chosen)
        self.supervisor.start(Child(name, (*HALON, *arguments), self._log(name), env))

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def _died(self, child: Child, pid: int, code: int) -> None:
        """Give back what the dead had claimed: its runs start again, another controller leads."""
        try:
            if child.name == "controller":
                # Its successor would wait for this lease while the watchdog waits for nobody.
                self._leases.release(CONTROLLER, office.owner_of(pid))
            if not child.name.startswith("worker"):
                return
            for run in self._stages.release_leases_of(office.owner_of(pid)):
                self._say(f"{child.name} died ({code}); stage run {run.id} starts again")
        except errors.HalonError as error:  # the leases run out by themselves, a little later
            self._say(f"{child.name} died ({code}); its leases stay for now: {error.message}")

    def _say(self, text: str) -> None:
        # A full disk may cost a line here, never the supervisor.
        with (
            contextlib.suppress(OSError),
            self._log("supervisor").open("a", encoding="utf-8") as log,
        ):
            log.write(text + "\n")

    def _entrance(self) -> Entrance:
        tokens = Tokens(self._store)
        url = self._url()
        # Where any port would do, a bot that starts again must be where its pages look for it.
        self.supervisor.revise("bot", {"HALON_WEB_PORT": str(urlsplit(url).port)})
        tokens.revoke(PROGRAMS)  # of an earlier start; a person's session stays
        return Entrance(
            url=url,
            one_time=tokens.add("operator", OPERATOR, one_time=True),
            bearer=tokens.add(PROGRAMS, OPERATOR),
        )

    def _url(self) -> str:
        """Return where the bot listens, as it wrote it down itself."""
        path = self.folder / "web.json"
        deadline = time.monotonic() + READY_SECONDS
        deaths = 0
        while time.monotonic() < deadline:
            if path.exists():
                return str(json.loads(path.read_text("utf-8"))["url"])
            deaths += not self.supervisor.alive("bot")
            if deaths:
                break
            time.sleep(POLL_SECONDS)
        said = _last_line(self._log("bot")).strip().removeprefix("halon: ")
        raise errors.PermanentFailure(f"The bot did not start: {said}")


def _wait_for_redis(address: str, alive: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            jobs.ping(address)
            return
        except errors.TemporaryFailure as error:
            if time.monotonic() > deadline or not alive():
                raise errors.PermanentFailure(
                    f"{error.message} It is looked for at {shown(address)}; "
                    "`halon doctor` says more."
                ) from error
        time.sleep(POLL_SECONDS)


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else f"nothing was said; see {str(log)!r}"
