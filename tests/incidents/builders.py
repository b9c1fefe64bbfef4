"""What the tests of incidents build with: people, a clock, and the whole package over one store."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from incidents.approvals import Approvals, Question
from incidents.deliveries import Deliveries
from incidents.inbox import Inbox
from incidents.knowledge import ActionItems, Costs, KnownIncidents, Ledger
from incidents.models import (
    Act,
    Incident,
    Outcome,
    Person,
    Platform,
    Rollout,
    RolloutState,
    SafeVersion,
    Severity,
    Stage,
    StageRun,
)
from incidents.people import Identities, Tokens
from incidents.policy import Access
from incidents.rollouts import Rollouts
from incidents.service import Incidents, Opening
from incidents.settings import People, Service
from incidents.stages import Claimed, Ending, Finished, Stages
from incidents.store import Store
from incidents.timeline import Timeline
from incidents.timers import Leases, Timers

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
LEASE = timedelta(seconds=15)
KEY = b"k" * 32

REPORTER = Person(Platform.SLACK, "U0")
RESPONDER = Person(Platform.SLACK, "U1")
APPROVER = Person(Platform.SLACK, "U2")
SECOND_APPROVER = Person(Platform.SLACK, "U3")
ADMIN = Person(Platform.SLACK, "U4")

CHECKOUT = Service(
    name="checkout",
    repository="/srv/git/checkout",
    responders=People(slack=("U1",)),
    approvers=People(slack=("U2", "U3")),
    admins=People(slack=("U4",)),
)
ACCESS = Access({"checkout": CHECKOUT}, chat_configured=True)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        return self.at

    def pass_(self, **duration: float) -> datetime:
        """Move on and return the new time."""
        self.at += timedelta(**duration)
        return self.at


def access(service: Service = CHECKOUT, **values: object) -> Access:
    """Access to one service; `values` replace fields."""
    return Access(**({"services": {service.name: service}, "chat_configured": True} | values))  # type: ignore[arg-type]


def opening(key: str = "k1", **values: object) -> Opening:
    """What opens an incident of checkout; `values` replace fields."""
    made = {"title": "checkout failing", "reporter": REPORTER, "key": key, "service": "checkout"}
    return Opening(**(made | values))  # type: ignore[arg-type]


@dataclass
class World:
    """Everything of the package over one store, and the few moves that most tests begin with."""

    store: Store
    clock: Clock
    access: Access = ACCESS
    incidents: Incidents = field(init=False)

    def __post_init__(self) -> None:
        self.incidents = Incidents(self.store)
        self.stages = Stages(self.store)
        self.timeline = Timeline(self.store)
        self.approvals = Approvals(self.store, self.access, KEY)
        self.rollouts = Rollouts(self.store)
        self.deliveries = Deliveries(self.store)
        self.inbox = Inbox(self.store)
        self.timers, self.leases = Timers(self.store), Leases(self.store)
        self.identities, self.tokens = Identities(self.store), Tokens(self.store)
        self.costs, self.ledger = Costs(self.store), Ledger(self.store)
        self.action_items, self.known = ActionItems(self.store), KnownIncidents(self.store)

    def open(self, key: str = "k1", **values: object) -> Incident:
        """Open an incident."""
        return self.incidents.open(opening(key, **values))

    def claim(self, run: StageRun | int, owner: str = "w1") -> Claimed:
        """Claim a run that is free."""
        number = run if isinstance(run, int) else run.id
        claimed = self.stages.claim(number, owner, LEASE)
        assert claimed is not None
        return claimed

    def stage(self, incident: Incident, stage: Stage) -> StageRun:
        """Queue a stage and claim it."""
        return self.claim(self.stages.queue_stage(incident.number, stage)).run

    def end(self, incident: Incident, stage: Stage, outcome: Outcome) -> Finished:
        """Let the live run of a stage end so."""
        run = self.stage(incident, stage)
        return self.stages.finish(run.id, run.fence, Ending(outcome))

    def kinds(self, incident: Incident) -> list[str]:
        """The kinds of the timeline's entries."""
        return [entry.kind.value for entry in self.timeline.entries(incident.number)]

    def rollout(self, incident: Incident, name: str = "r1") -> Rollout:
        """A planned rollout of a claimed deploy run."""
        run = self.stage(incident, Stage.DEPLOY)
        return self.rollouts.create(planned(incident, run, name), run.fence)

    def question(self, rollout: Rollout, **values: object) -> Question:
        """What is asked about a rollout; `values` replace fields."""
        made = {
            "incident": rollout.incident,
            "service": rollout.service,
            "act": Act.START,
            "scope": "10",
            "patch_digest": rollout.patch_digest,
            "plan_hash": rollout.plan_hash,
            "key": f"{rollout.id}-10",
            "rollout": rollout.id,
        }
        return Question(**(made | values))  # type: ignore[arg-type]


def planned(incident: Incident, run: StageRun, name: str = "r1") -> Rollout:
    """A rollout as the deploy stage plans it."""
    return Rollout(
        id=name,
        incident=incident.number,
        stage_run=run.id,
        service=incident.service or "checkout",
        state=RolloutState.PLANNED,
        revision="b" * 40,
        stable_revision="a" * 40,
        last_good_revision=None,
        patch_digest="d" * 64,
        plan={"phases": [10, 50, 100]},
        plan_hash="",
        phase=0,
        phase_started_at=None,
        deadline=None,
        safe_version=SafeVersion.STABLE,
        latched=False,
        fence=0,
        created_at=START,
    )


P0 = Severity.P0
