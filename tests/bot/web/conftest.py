"""A running war room for every test that asks for one; SQLite, as `halon up` has it by default."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from incidents.store import Store
from tests.bot.web import rooms
from tests.incidents.builders import Clock, World


@pytest.fixture
def world(thrown_away: Path, empty_database: Path) -> Iterator[World]:
    """Everything of the store, on the database's own clock."""
    shutil.copy(empty_database, thrown_away / "halon.db")
    store = Store(f"sqlite:///{thrown_away / 'halon.db'}")
    yield World(store, Clock(), rooms.ACCESS)
    store.close()


@pytest.fixture
def house(world: World) -> Iterator[rooms.House]:
    """A war room that runs."""
    with rooms.house(world) as running:
        yield running
