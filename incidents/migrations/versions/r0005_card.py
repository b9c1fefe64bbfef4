"""Where a conversation's card is: a platform is not asked for it at every start."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; cards of older threads are found again by their keys."""
    op.add_column("conversation", sa.Column("card", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("conversation", "card")
