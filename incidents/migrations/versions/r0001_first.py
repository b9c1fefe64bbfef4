"""The first schema, and a timeline that the database itself guards."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# In the order in which they can go.
_TABLES = (
    "rollout_event",
    "effect",
    "bucket",
    "vote",
    "step",
    "rollout",
    "delivery",
    "cost_entry",
    "timeline_entry",
    "stage_run",
    "redacted",
    "known_incident",
    "incident_service",
    "evidence",
    "conversation",
    "change",
    "approval",
    "action_item",
    "token",
    "timer",
    "lease",
    "incident",
    "inbox",
    "identity",
)
# Of an entry only the content may go, and only to nothing; no entry is ever removed.
_GUARDED = (
    "id",
    "incident",
    "sequence",
    "kind",
    "at",
    "actor",
    "subject",
    "content_hash",
    "previous",
    "hash",
)
_SQLITE_GUARDS = (
    """CREATE TRIGGER timeline_entry_keeps BEFORE UPDATE ON timeline_entry
    WHEN NEW.content IS NOT NULL OR {changed}
    BEGIN SELECT RAISE(ABORT, 'the timeline is append-only: only content can be purged'); END""",
    """CREATE TRIGGER timeline_entry_stays BEFORE DELETE ON timeline_entry
    BEGIN SELECT RAISE(ABORT, 'the timeline is append-only: entries are never removed'); END""",
    # INSERT OR REPLACE would remove a row without asking the trigger above.
    """CREATE TRIGGER timeline_entry_once BEFORE INSERT ON timeline_entry
    WHEN EXISTS (SELECT 1 FROM timeline_entry WHERE id = NEW.id
        OR (incident = NEW.incident AND sequence = NEW.sequence))
    BEGIN SELECT RAISE(ABORT, 'the timeline is append-only: this sequence is taken'); END""",
)
_POSTGRESQL_GUARDS = (
    """CREATE FUNCTION timeline_entry_guard() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'UPDATE' THEN
            IF NEW.content IS NULL AND NOT ({changed}) THEN RETURN NEW; END IF;
        END IF;
        RAISE EXCEPTION 'the timeline is append-only: only content can be purged';
    END $$""",
    """CREATE TRIGGER timeline_entry_keeps BEFORE UPDATE OR DELETE ON timeline_entry
    FOR EACH ROW EXECUTE FUNCTION timeline_entry_guard()""",
    """CREATE TRIGGER timeline_entry_stays BEFORE TRUNCATE ON timeline_entry
    FOR EACH STATEMENT EXECUTE FUNCTION timeline_entry_guard()""",
)


def upgrade() -> None:
    """Make every table, then the guards of the timeline."""
    op.create_table(
        "identity",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("voice", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account", name="pk_identity"),
    )
    op.create_table(
        "inbox",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("meaning", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_inbox"),
        sa.UniqueConstraint("meaning", name="uq_inbox_meaning"),
        sa.UniqueConstraint("platform", "event_id", name="uq_inbox_platform_event_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "incident",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("severity_typed", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reopened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("onset", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("mitigated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reporter", sa.Text(), nullable=False),
        sa.Column("commander", sa.Text(), nullable=True),
        sa.Column("private", sa.Boolean(), nullable=False),
        sa.Column("emergency", sa.Boolean(), nullable=False),
        sa.Column("drill", sa.Boolean(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("needs_human", sa.Text(), nullable=True),
        sa.Column("merged_into", sa.Integer(), nullable=True),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["merged_into"], ["incident.number"], name="fk_incident_merged_into"
        ),
        sa.PrimaryKeyConstraint("number", name="pk_incident"),
        sa.UniqueConstraint("key", name="uq_incident_key"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "lease",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_lease"),
    )
    op.create_table(
        "timer",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("fired_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_timer"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_timer_due_at", "timer", ["due_at"], unique=False)
    op.create_index(
        "uq_timer_unfired",
        "timer",
        ["kind", "ref"],
        unique=True,
        sqlite_where=sa.text("fired_at IS NULL"),
        postgresql_where=sa.text("fired_at IS NULL"),
    )
    op.create_table(
        "token",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("one_time", sa.Boolean(), nullable=False),
        sa.Column("session", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_token"),
        sa.UniqueConstraint("digest", name="uq_token_digest"),
    )
    op.create_table(
        "action_item",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("incident", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("due", sa.DateTime(timezone=True), nullable=False),
        sa.Column("check", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["incident"], ["incident.number"], name="fk_action_item_incident"),
        sa.PrimaryKeyConstraint("id", name="pk_action_item"),
        sa.UniqueConstraint("incident", "text", name="uq_action_item_incident_text"),
    )
    op.create_table(
        "approval",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("incident", sa.Integer(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("patch_digest", sa.Text(), nullable=False),
        sa.Column("artefact_digest", sa.Text(), nullable=True),
        sa.Column("plan_hash", sa.Text(), nullable=False),
        sa.Column("rollout", sa.Text(), nullable=True),
        sa.Column("author", sa.Text(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("gate", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("mac", sa.Text(), nullable=True),
        sa.Column("used_for", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["incident"], ["incident.number"], name="fk_approval_incident"),
        sa.PrimaryKeyConstraint("id", name="pk_approval"),
    )
    op.create_index("ix_approval_incident", "approval", ["incident"], unique=False)
    op.create_index(
        "ix_approval_state_expires_at", "approval", ["state", "expires_at"], unique=False
    )
    op.create_table(
        "change",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("incident", sa.Integer(), nullable=True),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["incident"], ["incident.number"], name="fk_change_incident"),
        sa.PrimaryKeyConstraint("id", name="pk_change"),
        sa.UniqueConstraint("key", name="uq_change_key"),
    )
    op.create_index("ix_change_service_at", "change", ["service", "at"], unique=False)
    op.create_table(
        "conversation",
        sa.Column("incident", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("thread", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["incident"], ["incident.number"], name="fk_conversation_incident"),
        sa.PrimaryKeyConstraint("incident", "name", name="pk_conversation"),
    )
    op.create_index("ix_conversation_thread", "conversation", ["thread"], unique=False)
    op.create_table(
        "evidence",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("incident", sa.Integer(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("locator", sa.Text(), nullable=False),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("excerpt", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["incident"], ["incident.number"], name="fk_evidence_incident"),
        sa.PrimaryKeyConstraint("seq", name="pk_evidence"),
        sa.UniqueConstraint("incident", "id", name="uq_evidence_incident_id"),
    )
    op.create_table(
        "incident_service",
        sa.Column("incident", sa.Integer(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["incident"], ["incident.number"], name="fk_incident_service_incident"
        ),
        sa.PrimaryKeyConstraint("incident", "service", name="pk_incident_service"),
    )
    op.create_table(
        "known_incident",
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("incident", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["incident"], ["incident.number"], name="fk_known_incident_incident"
        ),
        sa.PrimaryKeyConstraint("fingerprint", "incident", name="pk_known_incident"),
    )
    op.create_table(
        "redacted",
        sa.Column("incident", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["incident"], ["incident.number"], name="fk_redacted_incident"),
        sa.PrimaryKeyConstraint("incident", "kind", "digest", name="pk_redacted"),
    )
    op.create_table(
        "stage_run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("incident", sa.Integer(), nullable=False),
        sa.Column("service", sa.Text(), nullable=True),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("woken_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("waiting_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("waiting_seconds", sa.Float(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("cancel", sa.Boolean(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("engine", sa.Text(), nullable=True),
        sa.Column("report", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["incident"], ["incident.number"], name="fk_stage_run_incident"),
        sa.PrimaryKeyConstraint("id", name="pk_stage_run"),
        sa.UniqueConstraint(
            "incident", "stage", "attempt", name="uq_stage_run_incident_stage_attempt"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_stage_run_state", "stage_run", ["state"], unique=False)
    op.create_index(
        "uq_stage_run_live",
        "stage_run",
        ["incident", "stage"],
        unique=True,
        sqlite_where=sa.text("state NOT IN ('finished', 'failed', 'cancelled')"),
        postgresql_where=sa.text("state NOT IN ('finished', 'failed', 'cancelled')"),
    )
    op.create_table(
        "timeline_entry",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("incident", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("content", sa.Text(), nullable=True),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["incident"], ["incident.number"], name="fk_timeline_entry_incident"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_timeline_entry"),
        sa.UniqueConstraint("incident", "sequence", name="uq_timeline_entry_incident_sequence"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "cost_entry",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("incident", sa.Integer(), nullable=False),
        sa.Column("stage_run", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("engine", sa.Text(), nullable=False),
        sa.Column("tokens_in", sa.Integer(), nullable=False),
        sa.Column("tokens_out", sa.Integer(), nullable=False),
        sa.Column("dollars", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["incident"], ["incident.number"], name="fk_cost_entry_incident"),
        sa.ForeignKeyConstraint(["stage_run"], ["stage_run.id"], name="fk_cost_entry_stage_run"),
        sa.PrimaryKeyConstraint("id", name="pk_cost_entry"),
    )
    op.create_index("ix_cost_entry_stage_run", "cost_entry", ["stage_run"], unique=False)
    op.create_table(
        "delivery",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("incident", sa.Integer(), nullable=False),
        sa.Column("entry", sa.Integer(), nullable=False),
        sa.Column("conversation", sa.Text(), nullable=False),
        sa.Column("order", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["entry"], ["timeline_entry.id"], name="fk_delivery_entry"),
        sa.ForeignKeyConstraint(["incident"], ["incident.number"], name="fk_delivery_incident"),
        sa.PrimaryKeyConstraint("id", name="pk_delivery"),
        sa.UniqueConstraint("entry", "conversation", name="uq_delivery_entry_conversation"),
        sa.UniqueConstraint(
            "incident", "conversation", "order", name="uq_delivery_incident_conversation_order"
        ),
    )
    op.create_index(
        "ix_delivery_conversation_external_id",
        "delivery",
        ["conversation", "external_id"],
        unique=False,
    )
    op.create_index("ix_delivery_state", "delivery", ["state"], unique=False)
    op.create_table(
        "rollout",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("incident", sa.Integer(), nullable=False),
        sa.Column("stage_run", sa.Integer(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("stable_revision", sa.Text(), nullable=False),
        sa.Column("last_good_revision", sa.Text(), nullable=True),
        sa.Column("patch_digest", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("plan_hash", sa.Text(), nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("phase_started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column("safe_version", sa.Text(), nullable=False),
        sa.Column("latched", sa.Boolean(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("passed_phases", sa.Text(), nullable=False),
        sa.Column("extended", sa.Boolean(), nullable=False),
        sa.Column("request", sa.Text(), nullable=True),
        sa.Column("request_by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["incident"], ["incident.number"], name="fk_rollout_incident"),
        sa.ForeignKeyConstraint(["stage_run"], ["stage_run.id"], name="fk_rollout_stage_run"),
        sa.PrimaryKeyConstraint("id", name="pk_rollout"),
    )
    op.create_index(
        "uq_rollout_open",
        "rollout",
        ["service"],
        unique=True,
        sqlite_where=sa.text("state NOT IN ('done', 'taken back', 'cancelled', 'failed')"),
        postgresql_where=sa.text("state NOT IN ('done', 'taken back', 'cancelled', 'failed')"),
    )
    op.create_table(
        "step",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("stage_run", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("input_hash", sa.Text(), nullable=False),
        sa.Column("output", sa.Text(), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["stage_run"], ["stage_run.id"], name="fk_step_stage_run"),
        sa.PrimaryKeyConstraint("id", name="pk_step"),
        sa.UniqueConstraint(
            "stage_run", "name", "input_hash", name="uq_step_stage_run_name_input_hash"
        ),
    )
    op.create_table(
        "vote",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("approval", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event_key", sa.Text(), nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["approval"], ["approval.id"], name="fk_vote_approval"),
        sa.PrimaryKeyConstraint("id", name="pk_vote"),
        sa.UniqueConstraint("event_key", name="uq_vote_event_key"),
    )
    op.create_table(
        "bucket",
        sa.Column("rollout", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=True),
        sa.Column("errors", sa.Integer(), nullable=True),
        sa.Column("latencies_ms", sa.Text(), nullable=True),
        sa.Column("histogram", sa.Text(), nullable=True),
        sa.Column("fingerprints", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["rollout"], ["rollout.id"], name="fk_bucket_rollout"),
        sa.PrimaryKeyConstraint("rollout", "version", "start", name="pk_bucket"),
    )
    op.create_table(
        "effect",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("stage_run", sa.Integer(), nullable=True),
        sa.Column("rollout", sa.Text(), nullable=True),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.Column("external_ref", sa.Text(), nullable=True),
        sa.Column("intended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["rollout"], ["rollout.id"], name="fk_effect_rollout"),
        sa.ForeignKeyConstraint(["stage_run"], ["stage_run.id"], name="fk_effect_stage_run"),
        sa.PrimaryKeyConstraint("id", name="pk_effect"),
        sa.UniqueConstraint("key", name="uq_effect_key"),
    )
    op.create_table(
        "rollout_event",
        sa.Column("rollout", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["rollout"], ["rollout.id"], name="fk_rollout_event_rollout"),
        sa.PrimaryKeyConstraint("rollout", "sequence", name="pk_rollout_event"),
    )
    _guard()


def _guard() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    differs = "NEW.{0} IS NOT OLD.{0}" if sqlite else 'NEW."{0}" IS DISTINCT FROM OLD."{0}"'
    changed = " OR ".join(differs.format(column) for column in _GUARDED)
    for guard in _SQLITE_GUARDS if sqlite else _POSTGRESQL_GUARDS:
        op.execute(sa.text(guard.format(changed=changed)))


def downgrade() -> None:
    """Drop everything, the guards first."""
    if op.get_bind().dialect.name == "sqlite":
        for guard in ("keeps", "stays", "once"):
            op.execute(sa.text(f"DROP TRIGGER timeline_entry_{guard}"))
    else:
        op.execute(sa.text("DROP FUNCTION timeline_entry_guard CASCADE"))
    for table in _TABLES:
        op.drop_table(table)
