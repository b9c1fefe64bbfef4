"""Who has said yes to a question so far, and how many have to."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; one yes was enough for all that was asked before."""
    op.add_column("approval", sa.Column("agreed", sa.Text(), nullable=True))
    op.add_column("approval", sa.Column("quorum", sa.Integer(), nullable=True))


def downgrade() -> None:
    """Drop the columns."""
    for name in ("agreed", "quorum"):
        op.drop_column("approval", name)
