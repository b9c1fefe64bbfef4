"""Operations and communications beside the commander: who works on it, and who tells of it."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COLUMNS = ("operations", "communications")


def upgrade() -> None:
    """Add the columns; nobody has a duty yet."""
    for name in COLUMNS:
        op.add_column("incident", sa.Column(name, sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop the columns."""
    for name in COLUMNS:
        op.drop_column("incident", name)
