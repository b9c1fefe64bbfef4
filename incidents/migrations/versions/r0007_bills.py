"""What each question to a model cost: cached tokens, and a reference that books it once."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; bills from before have no reference and stay as they are."""
    for name in ("cache_read", "cache_write"):
        column = sa.Column(name, sa.Integer(), nullable=False, server_default="0")
        op.add_column("cost_entry", column)
    op.add_column("cost_entry", sa.Column("reference", sa.Text(), nullable=True))
    op.create_index(
        "uq_cost_entry_reference", "cost_entry", ["stage_run", "reference"], unique=True
    )
    op.create_index("ix_cost_entry_at", "cost_entry", ["at"])


def downgrade() -> None:
    """Drop the columns."""
    op.drop_index("ix_cost_entry_at", "cost_entry")
    op.drop_index("uq_cost_entry_reference", "cost_entry")
    for name in ("reference", "cache_write", "cache_read"):
        op.drop_column("cost_entry", name)
