"""How Alembic reaches the database: through the transaction that `Store.migrate` has opened.

Run by Alembic only. Never connects by itself, so a migration is whole or leaves no trace.
"""

from alembic import context

from incidents import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.METADATA,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
