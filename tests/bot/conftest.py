"""Fixtures of the bot's tests."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from incidents.store import Store
from tests.bot.office import Clock, Office


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its schema, made once and copied for each test."""
    made = tmp_path_factory.mktemp("database") / "halon.db"
    store = Store(f"sqlite:///{made}")
    store.migrate()
    store.close()
    return made


@pytest.fixture
def office(thrown_away: Path, empty_database: Path) -> Iterator[Office]:
    """A bot over an empty store, where a chat is configured and lists say who may do what."""
    shutil.copy(empty_database, thrown_away / "halon.db")
    made = Office(thrown_away, Clock())
    yield made
    made.store.close()
