"""What left for a model: every request, its texts stored once per incident."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "sent_text",
        sa.Column("incident", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["incident"], ["incident.number"], name="fk_sent_text_incident"),
        sa.PrimaryKeyConstraint("incident", "digest", name="pk_sent_text"),
    )
    op.create_table(
        "sent_request",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("incident", sa.Integer(), nullable=False),
        sa.Column("stage_run", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("parts", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["incident"], ["incident.number"], name="fk_sent_request_incident"),
        sa.ForeignKeyConstraint(["stage_run"], ["stage_run.id"], name="fk_sent_request_stage_run"),
        sa.PrimaryKeyConstraint("id", name="pk_sent_request"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_sent_request_incident", "sent_request", ["incident"])


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("sent_request")
    op.drop_table("sent_text")
