"""The controller's seal on a rollout: what it did not write itself moves nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; a rollout that is under way right now asks for people."""
    op.add_column("rollout", sa.Column("seal", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("rollout", "seal")
