"""The demo's production: the checkout service under `halon host`, its provider, its users.

Used by `halon demo` only. Everything is real and under one supervisor; what is asked of it from
outside (who answers, how often it fails, what was lost) is the demo's own proof.
"""

import itertools
import json
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cli import supervisor
from cli.supervisor import Child, Supervisor
from demo import customers, history, service, traffic
from demo.history import History, Scenario
from incidents import errors
from rollout.deployers.processes import Processes

RATE = 90.0  # requests per second: enough for honest verdicts at 10 % within shortened bakes
BASELINE_REQUESTS = 400
FAILURES = 60
WAIT_SECONDS = 60.0
POLL_SECONDS = 0.05
ASKED = 60  # requests with which the outcome is checked from outside
REPLICAS = 1
FIRST_FENCE = "0"  # deploys of the team come before any command of Halon's

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Answers:
    """What the service answered when it was asked from outside."""

    asked: int
    failed: int
    revisions: dict[str, int]

    @property
    def error_rate(self) -> float:
        """The share of answers with status 5xx or none."""
        return self.failed / self.asked


class Production:
    """One demo's production in a folder of its own."""

    def __init__(self, folder: Path, scenario: Scenario, children: Supervisor) -> None:
        self.folder = folder
        self.scenario = scenario
        self._children = children
        self.history: History = history.build(
            folder / "checkout.git", scenario, datetime.now(UTC), bare=True
        )
        self.report = folder / "users.jsonl"
        self.payment = ""
        self.address = ""
        self.broken_at: datetime | None = None
        self.place = service.Place(self.history.repository, folder, folder / "host", "")

    def start(self) -> None:
        """Start provider, host and users with the last good version, and wait for a baseline."""
        self.payment = self._start_payment()
        self.place = service.Place(
            self.history.repository, self.folder, self.folder / "host", self.payment
        )
        (self.folder / "halon.toml").write_text(service.settings_text(self.place), "utf-8")
        self._start_host()
        self._run("users", "-m", "demo.traffic", "--target", self.address, "--report",
                  str(self.report), "--rate", str(RATE))  # fmt: skip
        self._until(lambda: self.users().total.requests >= BASELINE_REQUESTS, "the users' requests")

    def break_it(self) -> None:
        """Let the scenario happen: the team's deploys one after another, or the provider's end."""
        deployer = Processes(self.place.host)
        tags = [deploy.revision for deploy in self.history.deploys]
        for revision in tags[tags.index(self.history.last_good) + 1 :]:
            deployer.take_back(revision, FIRST_FENCE)  # which is: serve this one as stable
        if self.scenario is Scenario.NO_CODE_CAUSE:
            self._children.stop(("payment",))
        self.broken_at = datetime.now(UTC)
        self._until(
            lambda: self.users(self.broken_at).total.counts[traffic.Outcome.ERROR] >= FAILURES,
            "the failure to show",
        )

    def users(
        self, since: datetime | None = None, until: datetime | None = None
    ) -> traffic.Summary:
        """Return what the users saw in a stretch of time."""
        return traffic.read_report(self.report, since, until)

    def ask(self) -> Answers:
        """Ask the service itself, as customers of every kind."""
        counted: Counter[str] = Counter()
        failed = 0
        for wanted in itertools.islice(customers.stream(ASKED), ASKED):
            revision, status = _exchange(self.address, wanted)
            counted[revision] += 1
            failed += status >= 500 or status == 0
        return Answers(ASKED, failed, dict(counted))

    def _start_payment(self) -> str:
        log = self._run("payment", "-m", "demo.payment", "--port", "0", "--ledger",
                        str(self.folder / "ledger.jsonl"))  # fmt: skip
        return self._said(log, "payment")

    def _start_host(self) -> None:
        self.place.host.mkdir()
        (self.place.host / "host.json").write_text(
            json.dumps(
                {
                    "repository": str(self.history.repository),
                    "argv": service.replica_argv(self.place),
                    "revision": self.history.last_good,
                    "replicas": REPLICAS,
                }
            ),
            "utf-8",
        )
        self._run("host", "-m", "rollout.host", str(self.place.host))
        state = self.place.host / "is.json"
        self._until(
            lambda: state.exists() and json.loads(state.read_text("utf-8"))["settled"],
            "the service to answer",
        )
        self.address = json.loads(state.read_text("utf-8"))["address"]

    def _run(self, name: str, *arguments: str) -> Path:
        log = self.folder / "logs" / f"{name}.log"
        env = supervisor.environment((), {})
        self._children.start(Child(name, (sys.executable, *arguments), log, env, restart=False))
        return log

    def _said(self, log: Path, name: str) -> str:
        """Return the address that a process prints as the last word of its first line."""
        self._until(lambda: log.exists() and "\n" in log.read_text("utf-8"), name)
        return log.read_text("utf-8").splitlines()[0].split()[-1]

    def _until(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not done():
            self._children.look()
            if time.monotonic() > deadline:
                raise errors.PermanentFailure(
                    f"The demo waited {WAIT_SECONDS:.0f} s for {what}; "
                    f"see the logs in {str(self.folder / 'logs')!r}."
                )
            time.sleep(POLL_SECONDS)


def _exchange(address: str, wanted: customers.Ask) -> tuple[str, int]:
    """Return the revision that answered and the status; 0 for no answer."""
    request = urllib.request.Request(  # noqa: S310  # our own loopback address
        f"{address}{wanted.path}", wanted.body or None, method=wanted.method
    )
    try:
        with _direct.open(request, timeout=5) as answer:
            return answer.headers.get("X-Revision", ""), answer.status
    except urllib.error.HTTPError as error:
        return error.headers.get("X-Revision", ""), error.code
    except OSError:
        return "", 0
