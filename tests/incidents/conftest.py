"""A store for every test: the same claims on SQLite and on PostgreSQL, with a clock of its own."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import psycopg
import pytest

from incidents.store import Store
from tests.incidents.builders import Clock, World

SQLITE, POSTGRESQL = "sqlite", pytest.param("postgresql", marks=pytest.mark.service)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to be copied."""
    path = tmp_path_factory.mktemp("template") / "halon.db"
    store = Store(f"sqlite:///{path}")
    store.migrate()
    store.close()
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> str:
    """The name of a migrated PostgreSQL database to be copied."""
    with _admin(postgres_url) as admin:
        admin.execute("CREATE DATABASE halon_template")
    store = Store(postgres_url.replace("@/postgres?", "@/halon_template?"))
    store.migrate()
    store.close()
    return "halon_template"


def _admin(url: str) -> psycopg.Connection:
    (host,) = parse_qs(urlsplit(url).query)["host"]
    return psycopg.connect(host=host, user="postgres", dbname="postgres", autocommit=True)


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def database(request: pytest.FixtureRequest, thrown_away: Path) -> Iterator[str]:
    """The address of a migrated database for this test alone."""
    if request.param == SQLITE:
        shutil.copy(request.getfixturevalue("sqlite_template"), thrown_away / "halon.db")
        yield f"sqlite:///{thrown_away / 'halon.db'}"
        return
    template, url = (
        request.getfixturevalue("postgres_template"),
        request.getfixturevalue("postgres_url"),
    )
    name = f"test_{uuid4().hex}"
    with _admin(url) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield url.replace("@/postgres?", f"@/{name}?")
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database that was never migrated."""
    if request.param == SQLITE:
        return f"sqlite:///{tmp_path / 'empty.db'}"
    url: str = request.getfixturevalue("postgres_database")
    return url


@pytest.fixture
def clock() -> Clock:
    """The time, which stands still until the test moves it."""
    return Clock()


@pytest.fixture
def store(database: str, clock: Clock) -> Iterator[Store]:
    """A migrated store that believes the test's clock."""
    store = Store(database, clock)
    yield store
    store.close()


@pytest.fixture
def world(store: Store, clock: Clock) -> World:
    """Everything of the package over one store."""
    return World(store, clock)
