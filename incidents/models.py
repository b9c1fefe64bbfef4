"""The frozen values of an incident's life: what the store returns and every package speaks in.

Read by all packages. Holds no rules, no I/O and no clock: what follows what is
`incidents.lifecycle`, who may do what is `incidents.policy`, and only `incidents.service`
changes anything.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

Json = dict[str, Any]


class Severity(StrEnum):
    """Impact; sets the time target of every stage."""

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"
    P3 = "P3"


class Status(StrEnum):
    """Where the incident stands for its users; mitigated means that they are no longer hurt."""

    OPEN = "open"
    MITIGATED = "mitigated"
    RESOLVED = "resolved"
    CLOSED = "closed"
    CANCELLED = "cancelled"
    REOPENED = "reopened"
    MERGED = "merged"


class Stage(StrEnum):
    """One piece of work of the chain."""

    TRIAGE = "triage"
    CONTAIN = "contain"
    DIAGNOSE = "diagnose"
    PATCH = "patch"
    TEST = "test"
    DEPLOY = "deploy"
    REVIEW = "review"
    ESCALATE = "escalate"
    HOTFIX = "hotfix"  # besides the chain: it contains at once and stops


class Outcome(StrEnum):
    """How a stage run ended; what follows is `lifecycle.NEXT`."""

    DONE = "done"
    NO_INCIDENT = "no incident"
    RECENT_CHANGE = "recent change"  # a P0, and a deploy lies just before its onset
    CONFIRMED = "confirmed"
    LIKELY = "likely"
    INCONCLUSIVE = "inconclusive"
    NO_CODE_CAUSE = "no code cause"
    PATCHED = "a patch"
    NONE_SAFE = "none safe"
    APPROVE = "approve"
    REJECT = "reject"
    VERIFIED = "verified"
    REFUSED = "refused"
    EXPIRED = "expired"
    FULL = "100 %"
    TAKEN_BACK = "taken back"
    HELD = "held"
    NOTHING = "nothing"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RunState(StrEnum):
    """State of one attempt at a stage."""

    READY = "ready"
    LEASED = "leased"
    WAITING = "waiting"  # for an approval, a bake or a validation: no worker is held
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Verdict(StrEnum):
    """What a diagnosis may claim."""

    CONFIRMED = "CONFIRMED"
    LIKELY = "LIKELY"
    INCONCLUSIVE = "INCONCLUSIVE"
    NO_CODE_CAUSE = "NO_CODE_CAUSE"


class Result(StrEnum):
    """What a gate says."""

    PASS = "PASS"  # noqa: S105  # not a password
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


class Version(StrEnum):
    """Which of the two running versions a figure belongs to."""

    CANARY = "canary"
    STABLE = "stable"


class Platform(StrEnum):
    """Where a person speaks from."""

    WEB = "web"
    SLACK = "slack"
    TELEGRAM = "telegram"
    SHELL = "shell"
    MACHINE = "machine"


class ServiceRole(StrEnum):
    """What a service is to an incident."""

    SUSPECTED = "suspected"
    VICTIM = "victim"
    CAUSE = "cause"
    CLEARED = "cleared"


class RunMode(StrEnum):
    """How much Halon may do to a service by itself."""

    READ_ONLY = "read_only"
    REVIEW = "review"
    AUTO = "auto"


class ChangeKind(StrEnum):
    """Kinds of recorded changes of a service."""

    DEPLOY = "deploy"
    CONFIG = "config"
    FLAG = "flag"
    MIGRATION = "migration"
    INFRA = "infra"


class EvidenceKind(StrEnum):
    """Where a recorded fact came from."""

    LOG = "log"
    FRAME = "frame"
    COMMIT = "commit"
    DIFF = "diff"
    TEST_RUN = "test_run"
    METRIC = "metric"
    CONFIG = "config"
    COMMAND = "command"
    PROBE = "probe"


class EntryKind(StrEnum):
    """Kinds of timeline entries; each has one template under templates/chat."""

    OPENED = "opened"
    SUGGESTED = "suggested"  # triage's severity and figures
    STAGE_STARTED = "stage_started"
    PROGRESS = "progress"  # edits the message of its stage
    REPORT = "report"  # content: {"report": kind, ...}; the whole is an attachment
    DECISION = "decision"  # what the table said comes next
    QUESTION = "question"  # an approval is asked; content names it
    SECONDED = "seconded"  # a yes that counts and is not enough yet
    APPROVED = "approved"
    WITHDRAWN = "withdrawn"
    REFUSED = "refused"  # a vote or command that was not accepted, with the reason
    PHASE = "phase"  # a rollout phase; edited while it bakes
    TAKEN_BACK = "taken_back"
    HELD = "held"
    STATUS = "status"
    SEVERITY = "severity"
    OWNER = "owner"
    SERVICE = "service"  # which service it is about, and what part another one plays
    NOTE = "note"
    HOTFIX = "hotfix"  # what was asked of the hotfix protocol, with the words
    CHANGE = "change"
    NEEDS_HUMAN = "needs_human"
    MITIGATION = "mitigation"  # a named mitigation was run, and how it ended
    OVERDUE = "overdue"
    DELIVERED = "delivered"  # the fix is on the release branch
    PUBLISHED = "published"  # a human published the review
    TROUBLE = "trouble"  # something of ours went wrong: what, and what to do


class Act(StrEnum):
    """What a person can do to an incident; `policy.WHO_MAY` says who."""

    OPEN = "open"
    ACK = "ack"
    NOTE = "note"
    STATUS = "status"
    CHANGED = "changed"
    OWN = "own"
    SEVERITY = "severity"
    HOTFIX = "hotfix"
    ROLE_RUN = "role run"
    ESCALATE = "escalate"
    MITIGATED = "mitigated"
    RESOLVE = "resolve"
    CANCEL = "cancel"
    HOLD = "hold"
    TAKE_BACK = "take back"
    START = "start"
    EXPAND = "expand"
    SHIP = "ship"
    REDEPLOY = "redeploy"
    PUBLISH = "publish"
    CLOSE = "close"
    MERGE = "merge"
    PRIVATE = "private"
    RUN_MODE = "run mode"
    MITIGATE = "mitigate"  # a named mitigation, or its undoing
    BREAK_GLASS = "break glass"  # a lone yes of a responder, with a reason


class Answer(StrEnum):
    """A vote on an approval."""

    YES = "yes"
    NO = "no"


class Duty(StrEnum):
    """What one person does for an incident; the value is the column that names that person."""

    COMMANDER = "commander"  # decides
    OPERATIONS = "operations"  # works on it
    COMMUNICATIONS = "communications"  # tells those outside


class ApprovalState(StrEnum):
    """Life of one approval."""

    ASKED = "asked"
    GRANTED = "granted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    USED = "used"


class RolloutState(StrEnum):
    """State of one rollout; terminal ones are DONE, TAKEN_BACK, CANCELLED and FAILED."""

    PLANNED = "planned"
    PREPARING = "preparing"
    ARMED = "armed"
    BAKING = "baking"
    AWAITING = "awaiting approval"
    PROMOTING = "promoting"
    VALIDATING = "validating"
    HELD = "held"
    TAKING_BACK = "taking back"
    TAKEN_BACK = "taken back"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"  # a take-back that did not work: pages people


class SafeVersion(StrEnum):
    """Where "take back" goes."""

    LAST_GOOD = "last good"
    STABLE = "stable"


@dataclass(frozen=True, order=True)
class Person:
    """Who acts: platform and the platform's own user id, never a display name."""

    platform: Platform
    user: str
    guest: bool = False
    bot: bool = False

    def __str__(self) -> str:
        return f"{self.platform}:{self.user}"


MACHINE = Person(Platform.MACHINE, "halon")


@dataclass(frozen=True)
class Incident:
    """One incident as stored; `number` gives its id, INC-<number>."""

    number: int
    title: str
    severity: Severity
    status: Status
    service: str | None
    opened_at: datetime
    reporter: Person
    onset: datetime | None = None
    mitigated_at: datetime | None = None
    resolved_at: datetime | None = None
    acknowledged_at: datetime | None = None
    commander: Person | None = None
    operations: Person | None = None
    communications: Person | None = None
    severity_typed: bool = True
    private: bool = False
    emergency: bool = False
    drill: bool = False
    source: str = "command"
    needs_human: str | None = None  # the sentence that says what a human must do now

    @property
    def id(self) -> str:
        """The name that people type, such as INC-42."""
        return f"INC-{self.number}"


@dataclass(frozen=True)
class StageRun:
    """One attempt at one stage."""

    id: int
    incident: int
    service: str | None
    stage: Stage
    attempt: int
    state: RunState
    fence: int
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    waiting_seconds: float = 0.0
    lease_until: datetime | None = None
    owner: str | None = None
    cancel: bool = False  # asked to stop; checked at each step
    waiting_since: datetime | None = None
    deadline: datetime | None = None
    woken_at: datetime | None = None
    outcome: Outcome | None = None
    error: str | None = None
    engine: str | None = None
    cost: Decimal = Decimal(0)
    report: Json | None = None


@dataclass(frozen=True)
class TimelineEntry:
    """One timed fact. `hash` covers the content's hash and `previous`, so content may be purged."""

    id: int
    incident: int
    sequence: int
    kind: EntryKind
    at: datetime
    actor: Person
    content: Json
    subject: str | None  # entries of one kind and subject edit one message in the thread
    content_hash: str
    previous: str
    hash: str


@dataclass(frozen=True)
class Evidence:
    """A recorded fact: kind, where it was found, hash of the whole, and an excerpt."""

    id: str
    kind: EvidenceKind
    source: str
    locator: str
    observed_at: datetime
    sha256: str
    excerpt: str


@dataclass(frozen=True)
class Change:
    """A recorded change of a service; `at` is when it reached production."""

    service: str
    kind: ChangeKind
    at: datetime
    source: str
    before: str | None = None
    after: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Approval:
    """What is asked of people, and everything that the answer is bound to."""

    id: str
    incident: int
    service: str
    act: Act
    scope: str  # a phase such as "10", or "through 100" while every gate passes
    patch_digest: str
    plan_hash: str
    rollout: str | None
    state: ApprovalState
    asked_at: datetime
    expires_at: datetime
    artefact_digest: str | None = None
    decided_by: Person | None = None
    decided_at: datetime | None = None
    mac: str | None = None
    verdict: Verdict | None = None
    gate: Result | None = None
    author: Person | None = None  # who wrote the patch; four eyes refuses this voice
    used_for: str | None = None  # the one step that spent it
    agreed: tuple[Person, ...] = ()  # of a quorum: who has said yes so far, `decided_by` the last
    quorum: int | None = None  # how many have to say yes, once one has; None: one is enough


@dataclass(frozen=True)
class Bucket:
    """Counts of one interval and version. None: nothing was measured; it is never zero."""

    version: Version
    start: datetime
    seconds: float
    requests: int | None
    errors: int | None
    latencies_ms: tuple[float, ...] | None = None
    histogram: tuple[tuple[float, int], ...] | None = None  # (upper bound in ms, cumulative count)
    fingerprints: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Rollout:
    """One rollout; the controller alone moves it, one tick at a time."""

    id: str
    incident: int
    stage_run: int
    service: str
    state: RolloutState
    revision: str
    stable_revision: str
    last_good_revision: str | None
    patch_digest: str
    plan: Json
    plan_hash: str
    phase: int  # percent commanded now: 0, 10, 50 or 100
    phase_started_at: datetime | None
    deadline: datetime | None
    safe_version: SafeVersion
    latched: bool
    fence: int
    created_at: datetime
    result: Result | None = None
    reason: str = ""
    passed_phases: tuple[int, ...] = ()
    extended: bool = False
    request: Act | None = None  # HOLD or TAKE_BACK, asked by a person; the controller obeys
    request_by: Person | None = None
    seal: str | None = None  # the controller's, over all that only it may write


@dataclass(frozen=True)
class Timer:
    """Something that falls due; fired once by the controller."""

    id: int
    due_at: datetime
    kind: str
    ref: str


@dataclass(frozen=True)
class Delivery:
    """One timeline entry on its way into one conversation."""

    id: int
    incident: int
    entry: int
    conversation: str  # "<platform>:<place>", such as web:INC-1
    order: int
    state: str  # pending, sending, sent, failed
    external_id: str | None
    attempts: int


@dataclass(frozen=True)
class ActionItem:
    """A follow-up: specific, owned, due, and where possible with a check that proves it done."""

    id: int
    incident: int
    text: str
    owner: str
    due: datetime
    check: str | None
    done_at: datetime | None


@dataclass(frozen=True)
class RoleCost:
    """What one role of an incident cost on one engine."""

    role: str
    engine: str
    questions: int
    tokens_in: int
    tokens_out: int
    cache_read: int
    dollars: Decimal


@dataclass(frozen=True)
class KnownIncident:
    """A past incident that a fingerprint may match."""

    fingerprint: str
    incident: int
    title: str
    cause: str
    remedy: str


@dataclass(frozen=True)
class StageClock:
    """Working and waiting time of one stage against its target."""

    stage: Stage
    target: timedelta | None
    working: timedelta
    waiting: timedelta
    running: bool = False
    parts: tuple[str, ...] = field(default=())
