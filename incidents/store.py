"""The database behind incidents: one engine, short transactions, the database's own clock.

Entry points build one `Store` and hand it to the classes of this package; nothing of SQLAlchemy
leaves it. SQLite (WAL, FULL, BEGIN IMMEDIATE) and PostgreSQL run the same code. Safe to use from
threads and after a fork.
"""

import importlib
import os
import re
import sqlite3
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    Executable,
    Row,
    Table,
    create_engine,
    event,
    exc,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, CursorResult, Engine, make_url

from incidents import errors, filesystem
from incidents.columns import Utc

Clock = Callable[[], datetime]

BUSY_SECONDS = 30  # how long a writer of SQLite waits for the one before it
MIGRATIONS = Path(__file__).parent / "migrations"
VERSIONS = re.compile(r"r(\d{4})_\w+\.py")


class Tx:
    """One open transaction of this package, with one reading of the database's clock."""

    def __init__(
        self, connection: Connection, clock: Clock | None, private: tuple[re.Pattern[str], ...] = ()
    ) -> None:
        self.connection = connection
        self.private = private  # what the services' own settings call personal data
        self.held: set[int] = set()  # the incidents whose lock this transaction has
        self._clock = clock

    @cached_property
    def now(self) -> datetime:
        """The database's time; read after the write lock, so it never runs back between writers."""
        if self._clock is not None:
            return self._clock()
        if self.connection.dialect.name == "sqlite":
            return datetime.now(UTC)  # SQLite runs in this process, so this is its clock too
        at: datetime = self.connection.scalars(select(func.clock_timestamp(type_=Utc))).one()
        return at

    def run(
        self,
        statement: Executable,
        values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> CursorResult[Any]:
        """Execute one statement; one that is kept and given `values` is compiled only once."""
        result = self.connection.execute(statement, values)
        assert isinstance(result, CursorResult)  # noqa: S101 - Core statements give nothing else
        return result

    def change(self, statement: Executable, values: Mapping[str, Any] | None = None) -> int:
        """Execute one statement and return how many rows it changed."""
        return self.run(statement, values).rowcount

    def insert_new(self, table: Table, values: Mapping[str, Any]) -> Row[Any] | None:
        """Insert a row and return it whole; None when a unique key is already there."""
        return self.run(_new_row(self.connection.dialect.name, table), values).first()


@cache
def _new_row(dialect: str, table: Table) -> Executable:
    build = sqlite if dialect == "sqlite" else postgresql
    statement: Executable = build.insert(table).on_conflict_do_nothing().returning(*table.c)
    return statement


class Store:
    """One database; `clock` replaces the database's clock in tests."""

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        self.clock = clock
        # Set once by the entry point: patterns of personal data that only this team knows.
        self.private: tuple[re.Pattern[str], ...] = ()
        self._engine = _engine(make_url(url))
        self._writing = self._engine.execution_options(halon_writes=True)  # on the same connections
        _survive_forks(self._engine)

    @contextmanager
    def write(self) -> Iterator[Tx]:
        """Open a transaction that changes something; it commits at the end or leaves no trace."""
        with _translated(), self._writing.begin() as connection:
            yield Tx(connection, self.clock, self.private)

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """Open a transaction that only looks."""
        with _translated(), self._engine.begin() as connection:
            yield Tx(connection, self.clock, self.private)

    def migrate(self) -> None:
        """Bring the schema to this version's; raises `errors.PermanentFailure` for a newer one."""
        if self.schema()[0] == versions()[-1]:
            return
        with self.write() as tx:
            _migrating().upgrade(tx.connection)

    def schema(self) -> tuple[str | None, str]:
        """Return the database's schema, None for an empty one, and the newest; changes nothing.

        Raises `errors.PermanentFailure` for a schema that only a newer Halon knows.
        """
        with self.read() as tx:
            current = _current(tx)
        if current not in (None, *versions()):
            raise errors.PermanentFailure(
                f"The database has schema {current!r}, which this Halon does not know: "
                "it was used by a newer version. Start that version, or restore the database "
                "from before the upgrade."
            )
        return current, versions()[-1]

    def downgrade(self, revision: str) -> None:
        """Take the schema back for an older Halon; what only the newer one knew is lost."""
        with self.write() as tx:
            _migrating().downgrade(tx.connection, revision)

    def now(self) -> datetime:
        """Return the database's time, aware UTC."""
        with self.read() as tx:
            return tx.now

    def close(self) -> None:
        """Close every connection of this process."""
        self._engine.dispose()


@cache
def versions() -> tuple[str, ...]:
    """Return the schemas that this Halon knows, oldest first: the numbers of its migrations."""
    names = (VERSIONS.fullmatch(path.name) for path in (MIGRATIONS / "versions").iterdir())
    return tuple(sorted(name[1] for name in names if name))


def _current(tx: Tx) -> str | None:
    if not inspect(tx.connection).has_table("alembic_version"):
        return None
    return tx.run(text("SELECT version_num FROM alembic_version")).scalar()


def _migrating() -> Any:
    """Load what changes schemas: a fifth of the start of every process, and nearly never needed."""
    return importlib.import_module("incidents.migrating")


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        return _sqlite(url)
    if url.get_backend_name() != "postgresql":
        raise errors.BadSettings(
            f"DATABASE_URL names {url.get_backend_name()!r}; Halon runs on sqlite or postgresql."
        )
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    try:
        return create_engine(url, pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise errors.BadSettings(
            "DATABASE_URL names PostgreSQL, but its driver is not installed: "
            "install Halon with its extra 'postgres'."
        ) from error


def _sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise errors.BadSettings("An SQLite database in memory cannot be shared; name a file.")
    folder = Path(url.database).parent
    if (kind := filesystem.network(folder)) is not None:
        raise errors.BadSettings(
            f"{folder} lies on a network file system ({kind}), where SQLite loses what it wrote: "
            "put HALON_FOLDER on a local disk, or, for several hosts, set DATABASE_URL to a "
            "PostgreSQL."
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        for pragma in (
            f"busy_timeout={BUSY_SECONDS * 1000}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A deferred transaction that turns into a writer fails at once when another one wrote.
        writes = connection.get_execution_options().get("halon_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


_left_behind: list[object] = []


def _survive_forks(engine: Engine) -> None:
    """Give a forked child connections of its own.

    The parent's are kept, unused: closing them in the child would end a PostgreSQL session or run
    SQLite's last-connection checkpoint behind the parent's back.
    """
    alive = weakref.ref(engine)

    def in_child() -> None:
        if (inherited := alive()) is not None:
            _left_behind.append(inherited.pool)
            inherited.dispose(close=False)

    os.register_at_fork(after_in_child=in_child)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (exc.OperationalError, exc.ProgrammingError) as error:
        said = str(error.orig)
        if "is full" in said or "No space left" in said:
            raise errors.PermanentFailure(
                f"The database cannot write, its disk is full ({said}); free some space. "
                "Nothing already recorded is lost."
            ) from error
        if "no such table" in said or ("relation" in said and "does not exist" in said):
            raise errors.PermanentFailure(
                f"The database has no schema yet ({said}); start Halon with `halon up`."
            ) from error
        if isinstance(error, exc.ProgrammingError):
            raise
        raise errors.TemporaryFailure(f"The database does not answer: {said}") from error
