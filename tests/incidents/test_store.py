"""The database does what the rest leans on: schema, times, money, forks, one clock."""

import os
import sqlite3
import threading
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, inspect, select, text
from sqlalchemy.exc import StatementError

from incidents import errors, schema
from incidents.knowledge import Spent
from incidents.models import Stage
from incidents.service import Incidents
from incidents.store import MIGRATIONS, Store, versions
from tests.incidents.builders import START, World, opening


def test_the_migrations_make_exactly_the_schema_of_the_code(store: Store) -> None:
    with store.read() as tx:
        context = MigrationContext.configure(tx.connection, opts={"compare_type": True})

        assert [] == compare_metadata(context, schema.METADATA)


def test_the_files_of_the_migrations_are_named_as_alembic_chains_them() -> None:
    """The store knows the newest schema by these names, without loading Alembic."""
    chained = ScriptDirectory(str(MIGRATIONS)).walk_revisions()

    assert [one.revision for one in chained] == list(reversed(versions()))


def test_the_schema_goes_down_to_nothing_and_up_again(empty_database: str) -> None:
    store = Store(empty_database)
    for revision in ("head", "base", "head"):
        store.migrate() if revision == "head" else store.downgrade(revision)
        with store.read() as tx:
            tables = set(inspect(tx.connection).get_table_names()) - {"alembic_version"}
        expected = set() if revision == "base" else set(schema.METADATA.tables)

        assert expected == tables
    store.close()


def test_migrating_again_changes_nothing(world: World) -> None:
    world.open()
    world.store.migrate()

    assert 1 == len(world.incidents.list())


def test_a_schema_of_a_newer_version_is_refused(store: Store) -> None:
    with store.write() as tx:
        tx.run(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(errors.PermanentFailure, match="newer version"):
        store.migrate()


def test_many_processes_may_migrate_at_once(empty_database: str) -> None:
    stores = [Store(empty_database) for _ in range(4)]
    threads = [threading.Thread(target=store.migrate) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with stores[0].read() as tx:
        assert "incident" in inspect(tx.connection).get_table_names()
    for store in stores:
        store.close()


def test_times_come_back_aware_and_in_utc(world: World) -> None:
    onset = datetime(2026, 1, 5, 11, 30, 0, 123456, tzinfo=timezone(timedelta(hours=3)))
    incident = world.open(onset=onset)

    assert onset == incident.onset
    assert incident.onset is not None
    assert timedelta(0) == incident.onset.utcoffset()


def test_a_naive_time_is_refused(world: World) -> None:
    with pytest.raises(StatementError, match="needs its zone"):
        world.open(onset=datetime(2026, 1, 5, 11, 30))  # noqa: DTZ001 - the naive time is the point


def test_money_is_exact(world: World) -> None:
    run = world.stage(world.open(), Stage.TRIAGE)
    for _ in range(10):
        world.costs.add(run.id, Spent("triage", "claude", 1, 1, Decimal("0.100001")))

    assert Decimal("1.000010") == world.costs.total(run.incident)
    assert Decimal("1.000010") == world.stages.get(run.id).cost


def test_money_finer_than_a_millionth_is_refused_rather_than_rounded(world: World) -> None:
    run = world.stage(world.open(), Stage.TRIAGE)

    with pytest.raises(StatementError, match="finer than a millionth"):
        world.costs.add(run.id, Spent("triage", "claude", 1, 1, Decimal("0.0000001")))


def test_text_that_a_database_cannot_hold_is_kept_readable(world: World) -> None:
    assert "a\ufffdb" == world.open(title="a\x00b").title
    assert "\ufffd" in world.open("k2", title="lone \ud800 surrogate").title


def test_no_table_says_when_a_row_was_touched() -> None:
    columns = {column.name for table in schema.METADATA.tables.values() for column in table.c}

    assert set() == columns & {"updated_at", "modified_at", "changed_at"}


def test_a_failed_transaction_leaves_no_trace(store: Store) -> None:
    def broken() -> None:
        with store.write() as tx:
            tx.insert_new(schema.timer, {"due_at": START, "kind": "k", "ref": "r"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()

    with store.read() as tx:
        assert [] == tx.run(select(schema.timer)).all()


def test_the_clock_is_the_databases_own(database: str) -> None:
    store = Store(database)
    before, now, after = datetime.now(UTC), store.now(), datetime.now(UTC)
    store.close()

    assert timedelta(0) == now.utcoffset()
    assert before - timedelta(milliseconds=1) <= now <= after  # SQLite counts milliseconds


def test_a_forked_child_gets_connections_of_its_own(world: World) -> None:
    world.open("before")
    child = os.fork()
    if child == 0:
        try:
            inherited = world.store._engine.pool.checkedin()  # type: ignore[attr-defined]
            world.open("child")
            os._exit(0 if inherited == 0 else 2)
        finally:
            os._exit(1)
    world.open("parent")
    _, status = os.waitpid(child, 0)
    world.open("after")

    assert 0 == os.waitstatus_to_exitcode(status)
    assert 4 == len(world.incidents.list())


def test_threads_write_through_one_store(world: World) -> None:
    keys = [f"k{number}" for number in range(16)]
    threads = [threading.Thread(target=world.open, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(range(1, 17)) == {incident.number for incident in world.incidents.list()}


def test_sqlite_is_durable_and_shared(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'new' / 'halon.db'}")
    with store.read() as tx:
        said = [
            tx.run(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    store.close()

    assert ["wal", 2, 1, 30_000] == said
    assert 0o700 == (tmp_path / "new").stat().st_mode & 0o777


def test_a_writer_of_sqlite_holds_the_lock_from_its_first_word(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'halon.db'}")
    store.migrate()
    other = sqlite3.connect(tmp_path / "halon.db", timeout=0, isolation_level=None)

    with store.write(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    with store.read():
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    other.close()
    store.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite://", "name a file"),
        ("sqlite:///:memory:", "name a file"),
        ("mysql://localhost/halon", "sqlite or postgresql"),
    ],
)
def test_an_address_that_cannot_work_is_refused_with_its_mend(url: str, says: str) -> None:
    with pytest.raises(errors.BadSettings, match=says):
        Store(url)


def test_a_database_without_schema_says_so(empty_database: str) -> None:
    store = Store(empty_database)
    with pytest.raises(errors.PermanentFailure, match="no schema"):
        Incidents(store).open(opening())
    store.close()


def test_a_full_disk_is_named_and_what_was_recorded_stays(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'halon.db'}")
    store.migrate()
    with store.write() as tx:
        tx.run(insert(schema.timer).values(due_at=START, kind="kept", ref="1"))
        pages = tx.run(text("PRAGMA page_count")).scalar_one()

    def fill() -> None:
        with store.write() as tx:
            tx.run(text(f"PRAGMA max_page_count = {pages}"))
            for number in range(1000):
                tx.run(insert(schema.timer).values(due_at=START, kind="x" * 1000, ref=str(number)))

    with pytest.raises(errors.PermanentFailure, match="disk is full"):
        fill()
    with store.read() as tx:
        assert ["kept"] == list(tx.run(select(schema.timer.c.kind)).scalars())
    store.close()
