"""A real Redis server for the session, a database per test, and the office over it."""

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from cli import redis as redis_servers
from incidents.store import Store
from tests.workers import desks
from tests.workers.desks import Place


@dataclass
class Server:
    """A redis-server of the tests' own."""

    url: str
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server that Halon itself would choose, started as Halon starts it."""
    folder = tmp_path_factory.mktemp("r")
    argv = redis_servers.command(redis_servers.find(), folder)
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    address = redis_servers.url(folder)
    end = time.monotonic() + 10
    while True:
        try:
            with Redis.from_url(address) as client:
                client.ping()
            break
        except RedisError:
            assert time.monotonic() < end, "redis did not start"
            time.sleep(0.01)
    yield Server(address, process)
    process.terminate()
    process.wait(10)


@pytest.fixture
def connection(redis_server: Server) -> Iterator[Redis]:
    """A client of an empty Redis."""
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
        yield client


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database to be copied."""
    path = tmp_path_factory.mktemp("template") / "halon.db"
    store = Store(f"sqlite:///{path}")
    store.migrate()
    store.close()
    return path


@pytest.fixture
def place(tmp_path: Path, template: Path) -> Place:
    """A data folder with a database and a halon.toml that names one service."""
    return desks.new(tmp_path, template)
