"""Fixtures for every test: an environment that is no one's, and services that are the tests' own.

Nothing here patches Halon: a fixture makes a real folder, a real repository or a real server.
"""

import gc
import itertools
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import psycopg
import pytest

from tests import postgres, repositories, services

OURS = ("HALON_", "SLACK_", "TELEGRAM_", "ANTHROPIC_", "XDG_", "GIT_", "PG")
ADDRESSES = ("REDIS_URL", "DATABASE_URL")
NO_CONFIGURATION = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several workers share the tests, begin with the files that take longest.

    Else one of them is left alone with such a file at the end, and the others have nothing to do.
    """
    if config.getoption("numprocesses", None) or "PYTEST_XDIST_WORKER" in os.environ:
        slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
        items.sort(key=lambda item: -slow[item.path])


def pytest_collection_finish() -> None:
    """Spare the garbage collector what every module has made: it stays until the end anyway."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Names of folders that are not there yet; pytest would list all others to find one."""
    folder = tmp_path_factory.mktemp("homes")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def clean_environment(homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test an empty HOME and none of the variables that steer Halon, git or a database."""
    for name in list(os.environ):
        if name.startswith(OURS) or name in ADDRESSES:
            monkeypatch.delenv(name)
    home = next(homes)
    home.mkdir(mode=0o700)
    monkeypatch.setenv("HOME", str(home))
    for name, value in NO_CONFIGURATION.items():
        monkeypatch.setenv(name, value)
    return home


@pytest.fixture
def thrown_away(tmp_path: Path) -> Iterator[Path]:
    """A folder for a database of this test alone: in memory, where the machine has room."""
    where = services.memory() or tmp_path
    with tempfile.TemporaryDirectory(prefix="halon-", dir=where) as folder:
        yield Path(folder)


@pytest.fixture
def git_repo(tmp_path: Path) -> repositories.Repository:
    """An empty git repository with branch `main`; its commits have fixed authors and dates."""
    return repositories.new(tmp_path / "repository")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The address of an empty database in a PostgreSQL of the tests' own, shared by the session."""
    with postgres.cluster() as url:
        yield url


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[str]:
    """The address of an empty PostgreSQL database for this test alone."""
    name = f"test_{uuid4().hex}"
    (host,) = parse_qs(urlsplit(postgres_url).query)["host"]
    with psycopg.connect(host=host, user="postgres", dbname="postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        yield postgres_url.replace("@/postgres?", f"@/{name}?")
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The program of an installed Chromium, for playwright's `executable_path`."""
    found = services.program("chromium", "chromium-browser", "google-chrome")
    return services.need(found, "Chromium")
