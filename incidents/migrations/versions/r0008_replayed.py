"""Counts of replayed requests, apart from those of users."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "replayed_bucket",
        sa.Column("rollout", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=True),
        sa.Column("errors", sa.Integer(), nullable=True),
        sa.Column("latencies_ms", sa.Text(), nullable=True),
        sa.Column("histogram", sa.Text(), nullable=True),
        sa.Column("fingerprints", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["rollout"], ["rollout.id"], name="fk_replayed_bucket_rollout"),
        sa.PrimaryKeyConstraint("rollout", "version", "start", name="pk_replayed_bucket"),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("replayed_bucket")
