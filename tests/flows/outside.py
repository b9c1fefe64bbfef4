"""The world outside of Halon, small and working: a production that obeys, a repository, an engine.

Used by the kill tests, which ask here what really happened. The production speaks the files of
`halon host` (want.json, is.json, access.log, deploys.jsonl), so Halon's own deployer, rehearsal,
monitor and watchdog work with it; it serves requests on the test's clock.
"""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from agents.case import Case
from agents.engine import Budget, Role
from incidents import errors, reports
from incidents.models import Verdict
from rollout import host, want
from tests import repositories
from tests.repositories import Repository

LOOK_SECONDS = 0.002
REFRESH_SECONDS = 0.5
REQUESTS_PER_SECOND = 12
FAILING_OF_20 = 9

GOOD_CODE = "def greeting(user):\n    return 'hello ' + (user or 'guest')\n"
BAD_CODE = "def greeting(user):\n    return 'hello ' + user\n"


@dataclass
class Production:
    """What serves the users; everything that they could notice is in `journal`."""

    folder: Path
    broken: frozenset[str]
    stable: str = ""
    canary: str | None = None
    weight: int = 0
    _obeying: dict[str, Any] = field(default_factory=dict)
    _digest: str = ""
    _served: int = 0
    _at: datetime | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def journal(self) -> list[list[Any]]:
        """Who served the users: [stable, canary's share in percent], one entry per change."""
        path = self.folder / "journal.jsonl"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    def deploy(self, revision: str, at: datetime) -> None:
        """Let the team deploy a revision."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._at = at
        self._obey({"fence": 0, "stable": revision, "canary": None, "standby": None, "weight": 0})

    def serve(self, since: datetime, until: datetime) -> None:
        """Answer the requests of a stretch of time, as the route stands now."""
        with self._lock, (self.folder / "access.log").open("a", encoding="utf-8") as log:
            count = round((until - since).total_seconds() * REQUESTS_PER_SECOND)
            for number in range(count):
                at = since + (until - since) * ((number + 1) / (count + 1))
                log.write(json.dumps(self._answer(at)) + "\n")
            self._at = until

    def _answer(self, at: datetime) -> dict[str, Any]:
        self._served += 1
        canary = self.canary is not None and self._served * self.weight % 100 < self.weight
        revision = self.canary if canary else self.stable
        crash = revision in self.broken and self._served % 20 < FAILING_OF_20
        return {
            "ts": at.isoformat(timespec="microseconds"),
            "version": "canary" if canary else "stable",
            "revision": revision,
            "status": 500 if crash else 200,
            "ms": 20 + self._served % 7,
        }

    # --- obeying

    def start(self, at: datetime) -> None:
        """Obey want.json until stopped; goes on from is.json, as a real host does."""
        self._at = at
        content = json.loads((self.folder / "is.json").read_text("utf-8"))
        self._obeying, self._digest = content["obeying"], content["digest"]
        self.stable, self.canary = self._obeying["stable"], self._obeying["canary"]
        self.weight = self._obeying["weight"]
        self._over.clear()
        self._thread = threading.Thread(target=self._loop, name="production")
        self._thread.start()

    def stop(self) -> None:
        """End obeying."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    @contextmanager
    def still(self) -> Iterator[None]:
        """Write nothing while the block lasts, so that the folder can be copied."""
        with self._lock:
            yield

    def _loop(self) -> None:
        refresh = 0.0
        while not self._over.wait(LOOK_SECONDS):
            with self._lock:
                raw = self._wanted()
                if raw is not None:
                    self._take(raw)
                if time.monotonic() >= refresh:
                    refresh = time.monotonic() + REFRESH_SECONDS
                    self._report()

    def _wanted(self) -> bytes | None:
        try:
            raw = (self.folder / "want.json").read_bytes()
        except FileNotFoundError:
            return None
        return None if hashlib.sha256(raw).hexdigest() == self._digest else raw

    def _take(self, raw: bytes) -> None:
        try:
            wanted = want.parse_want(raw.decode("utf-8"))
        except errors.PermanentFailure:
            return
        if wanted.fence < self._obeying["fence"]:
            return
        self._digest = hashlib.sha256(raw).hexdigest()
        self._obey(wanted.model_dump())

    def _obey(self, wanted: dict[str, Any]) -> None:
        before = (self.stable, self.canary if self.weight else None, self.weight)
        first = wanted["weight"] and not (self.weight and self.canary == wanted["canary"])
        self._obeying = wanted
        stable_before, self.stable = self.stable, wanted["stable"]
        self.canary, self.weight = wanted["canary"], wanted["weight"]
        if stable_before != self.stable:
            self._deployed("stable", self.stable, stable_before or None)
        if first:
            self._deployed("canary", str(self.canary), self.stable)
        if before != (self.stable, self.canary if self.weight else None, self.weight):
            with (self.folder / "journal.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps([self.stable, self.weight]) + "\n")
        self._report()

    def _deployed(self, version: str, revision: str, before: str | None) -> None:
        entry = {
            "at": self._now(),
            "version": version,
            "revision": revision,
            "before": before,
            "fence": self._obeying["fence"],
        }
        with (self.folder / "deploys.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def _report(self) -> None:
        def shown(revision: str | None) -> dict[str, Any] | None:
            return None if revision is None else {"revision": revision, "healthy": 1}

        content = {
            "at": self._now(),
            "running": True,
            "fence": self._obeying["fence"],
            "weight": self.weight,
            "stable": shown(self.stable),
            "canary": shown(self.canary),
            "standby": shown(self._obeying["standby"]),
            "settled": True,
            "error": None,
            "obeying": self._obeying,
            "digest": self._digest,
        }
        host.write_whole(self.folder / "is.json", content)

    def _now(self) -> str:
        assert self._at is not None
        return self._at.isoformat()


@dataclass(frozen=True)
class Code:
    """The service's repository, with a culprit and the patch that takes it back."""

    remote: Path  # bare, as a team's server has it
    good: str
    culprit: str
    newest: str
    patch: reports.Patch

    def fixes(self) -> list[str]:
        """Return the commits that the fix's branch has beyond the newest commit of the team."""
        branches = self._git("for-each-ref", "--format=%(refname:short)", "refs/heads/halon")
        return self._git("rev-list", *branches, f"^{self.newest}") if branches else []

    def released(self) -> list[str]:
        """Return the commits that the release branch has beyond the team's newest."""
        return self._git("rev-list", "main", f"^{self.newest}")

    def _git(self, *arguments: str) -> list[str]:
        return Repository(self.remote).git(*arguments).splitlines()


def code(folder: Path, remote: Path) -> Code:
    """Make the repository: a good commit, the culprit, an innocent one; and the revert's patch."""
    made = repositories.new(folder)
    good = made.commit("Greet people", {"shop.py": GOOD_CODE, "README": "shop\n"})
    culprit = made.commit("Greet more simply", {"shop.py": BAD_CODE})
    newest = made.commit("Say what it is", {"README": "the shop\n"})
    (made.path / "shop.py").write_text(GOOD_CODE, "utf-8")
    diff = made.git("diff") + "\n"
    made.git("add", "--all")
    tree = made.git("write-tree")
    made.git("reset", "--quiet", "--hard")
    made.git("clone", "--quiet", "--bare", str(made.path), str(remote))
    patch = reports.Patch(
        engine="scripted",
        remedy=reports.RemedyKind.REVERT,
        title="Revert: Greet more simply",
        diff=diff,
        digest=hashlib.sha256(diff.encode()).hexdigest(),
        base=newest,
        tree=tree,
        paths=("shop.py",),
        culprit=culprit,
    )
    return Code(remote, good, culprit, newest, patch)


@dataclass(frozen=True)
class ScriptedEngine:
    """An engine that answers at once, and writes down that it was asked."""

    code: Code
    journal: Path
    name: str = "scripted"

    def asked(self) -> list[str]:
        """Return the roles that were played, in order."""
        return self.journal.read_text("utf-8").split() if self.journal.exists() else []

    def plays(self, role: Role) -> bool:
        """Tell whether it plays a role."""
        return role not in (Role.PRODUCTION_FIXER, Role.DEPLOYMENT_COORDINATOR)

    def run(self, role: Role, case: Case, budget: Budget) -> reports.Report:
        """Return the report of the role."""
        with self.journal.open("a", encoding="utf-8") as file:
            file.write(f"{role.value}\n")
        if role is Role.BUG_DIAGNOSTICIAN:
            return self._diagnosis(case)
        if role is Role.PATCH_DEVELOPER:
            return self.code.patch
        if role is Role.HOTFIX_TESTER:
            return self._tests()
        assert role is Role.INCIDENT_ANALYZER
        todo = reports.ActionItemDraft(text="Test as a guest", owner="the team", due_days=7)
        return reports.Review(
            engine=self.name, title=case.title, summary="It failed.", action_items=(todo,)
        )

    def _diagnosis(self, case: Case) -> reports.Diagnosis:
        return reports.Diagnosis(
            engine=self.name,
            verdict=Verdict.CONFIRMED,
            summary="Guests have no name.",
            revision=case.revision,
            good_revision=self.code.good,
            culprit=self.code.culprit,
            root_cause=reports.RootCause(statement="None + str", commit=self.code.culprit),
            fingerprint="greeting",
        )

    def _tests(self) -> reports.TestReport:
        found = tuple(reports.CategoryResult(category=one, passed=True) for one in reports.Category)
        return reports.TestReport(
            engine=self.name,
            approve=True,
            summary="It may go.",
            patch_digest=self.code.patch.digest,
            categories=found,
        )


def ago(at: datetime, **duration: float) -> datetime:
    """Return an earlier time."""
    return at - timedelta(**duration)
