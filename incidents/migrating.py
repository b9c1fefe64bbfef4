"""Changes a database's schema by Alembic's migrations, inside the store's own transaction.

Loaded by `incidents.store` when a schema is not this version's, so that no other start pays for
Alembic. It must never connect by itself: a migration is whole or leaves no trace.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x48414C4F4E  # "HALON": PostgreSQL's advisory lock while the schema changes


def upgrade(connection: Connection) -> None:
    """Bring the schema to the newest; who waited for another's upgrade finds it done."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
    command.upgrade(_config(connection), "head")


def downgrade(connection: Connection, revision: str) -> None:
    """Take the schema back to an older one."""
    command.downgrade(_config(connection), revision)


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
