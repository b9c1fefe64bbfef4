"""Every table of Halon; the migrations make them, a test holds both against each other.

Read by the modules of this package only. Columns that say when something was changed do not exist:
metrics come from state transitions, never from an `updated_at`.
"""

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from incidents.columns import CanonicalJson, Fixed, Money, Utc, Who, Words
from incidents.models import (
    Act,
    Answer,
    ApprovalState,
    ChangeKind,
    EntryKind,
    EvidenceKind,
    Outcome,
    Platform,
    Result,
    RolloutState,
    RunState,
    SafeVersion,
    ServiceRole,
    Severity,
    Stage,
    Status,
    Verdict,
    Version,
)

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
ENDED_RUNS = (RunState.FINISHED, RunState.FAILED, RunState.CANCELLED)
ENDED_ROLLOUTS = (
    RolloutState.DONE,
    RolloutState.TAKEN_BACK,
    RolloutState.CANCELLED,
    RolloutState.FAILED,
)


def _id() -> Column[int]:
    return Column("id", Integer, primary_key=True)


def _incident(*, optional: bool = False) -> Column[int]:
    return Column("incident", ForeignKey("incident.number"), nullable=optional)


def _run(*, optional: bool = False) -> Column[int]:
    return Column("stage_run", ForeignKey("stage_run.id"), nullable=optional)


def _not_in(column: str, states: tuple[str, ...]) -> str:
    listed = ", ".join(f"'{state}'" for state in states)
    return f"{column} NOT IN ({listed})"


incident = Table(
    "incident",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("key", Words, nullable=False, unique=True),
    Column("title", Words, nullable=False),
    Column("severity", Fixed(Severity), nullable=False),
    Column("severity_typed", Boolean, nullable=False),
    Column("status", Fixed(Status), nullable=False),
    Column("service", Words),
    Column("opened_at", Utc, nullable=False),
    Column("reopened_at", Utc),
    Column("onset", Utc),
    Column("acknowledged_at", Utc),
    Column("mitigated_at", Utc),
    Column("resolved_at", Utc),
    Column("reporter", Who, nullable=False),
    Column("commander", Who),
    Column("operations", Who),
    Column("communications", Who),
    Column("private", Boolean, nullable=False),
    Column("emergency", Boolean, nullable=False),
    Column("drill", Boolean, nullable=False),
    Column("source", Words, nullable=False),
    Column("needs_human", Words),
    Column("merged_into", ForeignKey("incident.number")),
    # Keys the digests of redacted values: without it nobody can try all phone numbers.
    Column("salt", Text, nullable=False),
    sqlite_autoincrement=True,
)

incident_service = Table(
    "incident_service",
    METADATA,
    Column("incident", ForeignKey("incident.number"), primary_key=True),
    Column("service", Words, primary_key=True),
    Column("role", Fixed(ServiceRole), nullable=False),
)

timeline_entry = Table(
    "timeline_entry",
    METADATA,
    _id(),
    _incident(),
    Column("sequence", Integer, nullable=False),
    Column("kind", Fixed(EntryKind), nullable=False),
    Column("at", Utc, nullable=False),
    Column("actor", Who, nullable=False),
    Column("subject", Words),
    Column("content", CanonicalJson),  # NULL: purged
    Column("content_hash", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
    UniqueConstraint("incident", "sequence"),
    sqlite_autoincrement=True,
)

redacted = Table(
    "redacted",
    METADATA,
    Column("incident", ForeignKey("incident.number"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("number", Integer, nullable=False),
)

stage_run = Table(
    "stage_run",
    METADATA,
    _id(),
    _incident(),
    Column("service", Words),
    Column("stage", Fixed(Stage), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("state", Fixed(RunState), nullable=False),
    Column("fence", Integer, nullable=False),
    Column("owner", Words),
    Column("lease_until", Utc),
    Column("deadline", Utc),
    Column("not_before", Utc),
    Column("woken_at", Utc),
    Column("created_at", Utc, nullable=False),
    Column("started_at", Utc),
    Column("finished_at", Utc),
    Column("waiting_since", Utc),
    Column("waiting_seconds", Float, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("cancel", Boolean, nullable=False),
    Column("outcome", Fixed(Outcome)),
    Column("error", Words),
    Column("engine", Words),
    Column("report", CanonicalJson),
    UniqueConstraint("incident", "stage", "attempt"),
    # A stage runs once at a time; the database says so too, not only `queue_stage`.
    Index(
        "uq_stage_run_live",
        "incident",
        "stage",
        unique=True,
        sqlite_where=text(_not_in("state", ENDED_RUNS)),
        postgresql_where=text(_not_in("state", ENDED_RUNS)),
    ),
    Index(None, "state"),
    sqlite_autoincrement=True,
)

step = Table(
    "step",
    METADATA,
    _id(),
    _run(),
    Column("name", Words, nullable=False),
    Column("input_hash", Text, nullable=False),
    Column("output", CanonicalJson),
    Column("fence", Integer, nullable=False),
    Column("finished_at", Utc, nullable=False),
    UniqueConstraint("stage_run", "name", "input_hash"),
)

effect = Table(
    "effect",
    METADATA,
    _id(),
    Column("key", Words, nullable=False, unique=True),
    _run(optional=True),
    Column("rollout", ForeignKey("rollout.id")),
    Column("done", Boolean, nullable=False),
    Column("external_ref", Words),
    Column("intended_at", Utc, nullable=False),
    Column("done_at", Utc),
)

timer = Table(
    "timer",
    METADATA,
    _id(),
    Column("due_at", Utc, nullable=False),
    Column("kind", Words, nullable=False),
    Column("ref", Words, nullable=False),
    Column("fired_at", Utc),
    Index(
        "uq_timer_unfired",
        "kind",
        "ref",
        unique=True,
        sqlite_where=text("fired_at IS NULL"),
        postgresql_where=text("fired_at IS NULL"),
    ),
    Index(None, "due_at"),
    sqlite_autoincrement=True,
)

lease = Table(
    "lease",
    METADATA,
    Column("name", Words, primary_key=True),
    Column("owner", Words, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("until", Utc, nullable=False),
)

evidence = Table(
    "evidence",
    METADATA,
    Column("seq", Integer, primary_key=True),
    _incident(),
    Column("id", Words, nullable=False),
    Column("kind", Fixed(EvidenceKind), nullable=False),
    Column("source", Words, nullable=False),
    Column("locator", Words, nullable=False),
    Column("observed_at", Utc, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("excerpt", Words, nullable=False),
    UniqueConstraint("incident", "id"),
)

change = Table(
    "change",
    METADATA,
    _id(),
    _incident(optional=True),
    Column("key", Text, nullable=False, unique=True),
    Column("service", Words, nullable=False),
    Column("kind", Fixed(ChangeKind), nullable=False),
    Column("at", Utc, nullable=False),
    Column("source", Words, nullable=False),
    Column("before", Words),
    Column("after", Words),
    Column("note", Words, nullable=False),
    Index(None, "service", "at"),
)

approval = Table(
    "approval",
    METADATA,
    Column("id", Text, primary_key=True),
    _incident(),
    Column("service", Words, nullable=False),
    Column("act", Fixed(Act), nullable=False),
    Column("scope", Words, nullable=False),
    Column("patch_digest", Words, nullable=False),
    Column("artefact_digest", Words),
    Column("plan_hash", Words, nullable=False),
    Column("rollout", Words),
    Column("author", Who),
    Column("verdict", Fixed(Verdict)),
    Column("gate", Fixed(Result)),
    Column("state", Fixed(ApprovalState), nullable=False),
    Column("asked_at", Utc, nullable=False),
    Column("expires_at", Utc, nullable=False),
    Column("decided_by", Who),
    Column("decided_at", Utc),
    Column("mac", Text),
    Column("used_for", Words),
    Column("agreed", CanonicalJson),  # of a quorum: who has said yes so far
    Column("quorum", Integer),  # NULL: one yes is enough
    Index(None, "state", "expires_at"),
    Index(None, "incident"),
)

vote = Table(
    "vote",
    METADATA,
    _id(),
    Column("approval", ForeignKey("approval.id"), nullable=False),
    Column("person", Who, nullable=False),
    Column("answer", Fixed(Answer)),  # NULL: a yes taken back
    Column("at", Utc, nullable=False),
    Column("event_key", Words, nullable=False, unique=True),
    Column("accepted", Boolean, nullable=False),
    Column("reason", Words, nullable=False),
)

rollout = Table(
    "rollout",
    METADATA,
    Column("id", Text, primary_key=True),
    _incident(),
    _run(),
    Column("service", Words, nullable=False),
    Column("state", Fixed(RolloutState), nullable=False),
    Column("revision", Words, nullable=False),
    Column("stable_revision", Words, nullable=False),
    Column("last_good_revision", Words),
    Column("patch_digest", Words, nullable=False),
    Column("plan", CanonicalJson, nullable=False),
    Column("plan_hash", Words, nullable=False),
    Column("phase", Integer, nullable=False),
    Column("phase_started_at", Utc),
    Column("deadline", Utc),
    Column("safe_version", Fixed(SafeVersion), nullable=False),
    Column("latched", Boolean, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("result", Fixed(Result)),
    Column("reason", Words, nullable=False),
    Column("passed_phases", CanonicalJson, nullable=False),
    Column("extended", Boolean, nullable=False),
    Column("request", Fixed(Act)),
    Column("request_by", Who),
    Column("seal", Words),
    # One rollout per service at a time.
    Index(
        "uq_rollout_open",
        "service",
        unique=True,
        sqlite_where=text(_not_in("state", ENDED_ROLLOUTS)),
        postgresql_where=text(_not_in("state", ENDED_ROLLOUTS)),
    ),
)

rollout_event = Table(
    "rollout_event",
    METADATA,
    Column("rollout", ForeignKey("rollout.id"), primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("at", Utc, nullable=False),
    Column("kind", Words, nullable=False),
    Column("content", CanonicalJson, nullable=False),
)


def _counts() -> list[Column[Any]]:
    return [
        Column("rollout", ForeignKey("rollout.id"), primary_key=True),
        Column("version", Fixed(Version), primary_key=True),
        Column("start", Utc, primary_key=True),
        Column("seconds", Float, nullable=False),
        Column("requests", Integer),
        Column("errors", Integer),
        Column("latencies_ms", CanonicalJson),
        Column("histogram", CanonicalJson),
        Column("fingerprints", CanonicalJson, nullable=False),
    ]


bucket = Table("bucket", METADATA, *_counts())
# What Halon itself asked of both versions; never added to what users asked.
replayed_bucket = Table("replayed_bucket", METADATA, *_counts())

inbox = Table(
    "inbox",
    METADATA,
    _id(),
    Column("platform", Fixed(Platform), nullable=False),
    Column("event_id", Words, nullable=False),
    Column("meaning", Words, nullable=False, unique=True),
    Column("body", CanonicalJson, nullable=False),
    Column("received_at", Utc, nullable=False),
    Column("done_at", Utc),
    UniqueConstraint("platform", "event_id"),
    sqlite_autoincrement=True,
)

conversation = Table(
    "conversation",
    METADATA,
    Column("incident", ForeignKey("incident.number"), primary_key=True),
    Column("name", Words, primary_key=True),
    Column("thread", Words),
    Column("card", Words),  # the message on top of the thread
    Index(None, "thread"),
)

delivery = Table(
    "delivery",
    METADATA,
    _id(),
    _incident(),
    Column("entry", ForeignKey("timeline_entry.id"), nullable=False),
    Column("conversation", Words, nullable=False),
    Column("order", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("external_id", Words),
    Column("attempts", Integer, nullable=False),
    Column("not_before", Utc),
    Column("error", Words),
    UniqueConstraint("entry", "conversation"),
    UniqueConstraint("incident", "conversation", "order"),
    Index(None, "state"),
    Index(None, "conversation", "external_id"),
)

action_item = Table(
    "action_item",
    METADATA,
    _id(),
    _incident(),
    Column("text", Words, nullable=False),
    Column("owner", Words, nullable=False),
    Column("due", Utc, nullable=False),
    Column("check", Words),
    Column("created_at", Utc, nullable=False),
    Column("done_at", Utc),
    UniqueConstraint("incident", "text"),
)

cost_entry = Table(
    "cost_entry",
    METADATA,
    _id(),
    _incident(),
    _run(),
    Column("at", Utc, nullable=False),
    Column("role", Words, nullable=False),
    Column("engine", Words, nullable=False),
    Column("tokens_in", Integer, nullable=False),
    Column("tokens_out", Integer, nullable=False),
    Column("dollars", Money, nullable=False),
    Column("cache_read", Integer, nullable=False, server_default="0"),
    Column("cache_write", Integer, nullable=False, server_default="0"),
    Column("reference", Text),  # of one question to a model: it is booked once
    Index(None, "stage_run"),
    Index("uq_cost_entry_reference", "stage_run", "reference", unique=True),
    Index(None, "at"),
)

known_incident = Table(
    "known_incident",
    METADATA,
    Column("fingerprint", Words, primary_key=True),
    Column("incident", ForeignKey("incident.number"), primary_key=True),
    Column("title", Words, nullable=False),
    Column("cause", Words, nullable=False),
    Column("remedy", Words, nullable=False),
)

identity = Table(
    "identity",
    METADATA,
    Column("account", Who, primary_key=True),
    Column("voice", Who, nullable=False),
    Column("by", Who, nullable=False),
    Column("at", Utc, nullable=False),
)

token = Table(
    "token",
    METADATA,
    _id(),
    Column("name", Words, nullable=False),
    Column("person", Who, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    Column("one_time", Boolean, nullable=False),
    Column("session", Boolean, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("expires_at", Utc),
    Column("ended_at", Utc),
)

web_post = Table(
    "web_post",
    METADATA,
    _id(),
    _incident(),
    Column("key", Words, nullable=False),
    Column("version", Integer, nullable=False),  # grows with every post and edit of an incident
    Column("message", CanonicalJson, nullable=False),
    Column("files", CanonicalJson, nullable=False),
    Column("pinned", Boolean, nullable=False),
    Column("posted_at", Utc, nullable=False),
    Column("edited_at", Utc),
    UniqueConstraint("incident", "key"),
    UniqueConstraint("incident", "version"),
    sqlite_autoincrement=True,
)

sent_text = Table(
    "sent_text",
    METADATA,
    Column("incident", ForeignKey("incident.number"), primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("content", CanonicalJson),  # NULL: purged
)

sent_request = Table(
    "sent_request",
    METADATA,
    _id(),
    _incident(),
    _run(),
    Column("at", Utc, nullable=False),
    Column("parts", CanonicalJson, nullable=False),  # (where, digest) in the order of the request
    Index(None, "incident"),
    sqlite_autoincrement=True,
)
