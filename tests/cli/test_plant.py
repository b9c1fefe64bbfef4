"""Halon's own processes under one supervisor, as `halon up` really starts them."""

import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue

from cli import redis as redis_servers
from tests.cli.plants import HALON, NAMES, Up, alive, environment, halon, running, until

SECRETS = {
    "ANTHROPIC_API_KEY": "key-of-the-model",
    "SLACK_SIGNING_SECRET": "secret-of-slack",
    "HALON_GIT_TOKEN": "token-of-the-repository",
    "AWS_SECRET_ACCESS_KEY": "key-of-someone-else",
}


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One Halon for the tests that leave it as it was."""
    place = tmp_path_factory.mktemp("up")
    # What a repository in which `halon up` is typed may well hold.
    (place / "cli").mkdir()
    (place / "cli" / "__init__.py").write_text("raise SystemExit('not our cli')\n")
    with running(place, **SECRETS) as started:
        yield started


def test_every_process_runs_with_a_redis_of_our_own(up: Up) -> None:
    assert {*NAMES, "redis"} == set(up.pids())


def test_a_process_gets_the_secrets_of_its_own_settings_and_no_other(up: Up) -> None:
    holds = {
        name: {key for key in (*SECRETS, "HALON_APPROVAL_KEY") if key in environment(pid)}
        for name, pid in up.pids().items()
    }

    assert {
        "redis": set(),
        "bot": {"HALON_APPROVAL_KEY", "SLACK_SIGNING_SECRET"},
        "controller": {"HALON_APPROVAL_KEY", "HALON_GIT_TOKEN"},
        "worker-urgent": {"ANTHROPIC_API_KEY", "HALON_GIT_TOKEN"},
        "worker-normal": {"ANTHROPIC_API_KEY", "HALON_GIT_TOKEN"},
    } == holds


def test_no_secret_stands_on_a_command_line_or_in_a_log(up: Up) -> None:
    key = (up.folder / "approval.key").read_text().strip()
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes().decode() for pid in up.pids().values()]
    logs = [log.read_text() for log in (up.folder / "logs").iterdir()]

    assert [] == [
        text for text in [*lines, *logs] for secret in (key, *SECRETS.values()) if secret in text
    ]


def test_redis_listens_on_a_private_socket_and_no_port(up: Up) -> None:
    where = redis_servers.socket_path(up.folder)
    with Redis(unix_socket_path=str(where)) as client:
        told = client.config_get("port")

    assert {"port": "0"} == {key: str(value) for key, value in told.items()}
    assert 0o600 == where.stat().st_mode & 0o777
    assert 0o700 == up.folder.stat().st_mode & 0o777


def test_a_second_halon_on_the_same_folder_says_so_in_one_sentence(up: Up) -> None:
    assert up.process is not None
    done = halon("up", env=up.env, cwd=up.place)

    assert (3, "") == (done.returncode, done.stdout)
    assert [
        f"halon: Halon already runs on {str(up.folder)!r} (process {up.process.pid}). Stop that "
        "one, or name another data folder with HALON_FOLDER."
    ] == done.stderr.splitlines()
    assert {*NAMES, "redis"} == set(up.pids())


def test_a_port_in_use_is_one_sentence_and_nothing_is_left_running(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        up = Up(tmp_path, {"HALON_WEB_PORT": str(port)})
        up.write_services()
        done = halon("up", env=up.env, cwd=tmp_path)

    assert 3 == done.returncode
    assert 1 == len(done.stderr.splitlines()), done.stderr
    assert f"Port {port} on 127.0.0.1 is in use" in done.stderr
    assert not redis_servers.socket_path(up.folder).exists()


def test_a_redis_that_does_not_answer_is_one_sentence_without_its_password(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and never listening: refused at once
        port = nobody.getsockname()[1]
        up = Up(tmp_path, {"REDIS_URL": f"redis://:hunter2@127.0.0.1:{port}/0"})
        up.write_services()
        done = halon("up", env=up.env, cwd=tmp_path)

    assert 3 == done.returncode
    assert 1 == len(done.stderr.splitlines()), done.stderr
    assert f"redis://127.0.0.1:{port}/0" in done.stderr
    assert "hunter2" not in done.stderr


def test_a_missing_settings_file_is_one_sentence(tmp_path: Path) -> None:
    done = halon("up", env=Up(tmp_path).env, cwd=tmp_path)

    assert 3 == done.returncode
    assert 1 == len(done.stderr.splitlines()), done.stderr
    assert "halon.example.toml" in done.stderr


@pytest.mark.slow
def test_redis_killed_is_started_again_with_the_jobs_it_held(tmp_path: Path) -> None:
    with running(tmp_path) as up:
        before = up.pid("redis")
        address = redis_servers.url(up.folder)
        with Redis.from_url(address) as client:
            for number in range(50):
                Queue("not-ours", connection=client, serializer="json").enqueue(
                    "nobody.takes", number
                )
        os.kill(before, signal.SIGKILL)
        up.pid("redis", other_than=before)

        def waiting() -> int:
            try:
                with Redis.from_url(address) as client:
                    return Queue("not-ours", connection=client, serializer="json").count
            except RedisError:
                return 0  # on its way up

        assert 50 == until(waiting)
        assert {"bot", "controller"} <= set(up.pids())


@pytest.mark.slow
def test_every_process_that_is_killed_is_started_again_and_all_die_with_a_killed_supervisor(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as up:
        for name in NAMES:
            before = up.pid(name)
            os.kill(before, signal.SIGKILL)
            assert before != up.pid(name, other_than=before)
        family = {*up.pids().values()}
        assert up.process is not None
        up.kill()
        until(lambda: not any(alive(pid) for pid in family), 5, "all have died")


@pytest.mark.slow
def test_the_end_is_quick_and_leaves_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as up:
        family = {*up.pids().values()}
        assert up.process is not None
        up.process.send_signal(signal.SIGINT)
        assert 0 == up.process.wait(15)

    assert [] == [pid for pid in family if alive(pid)]


@pytest.mark.slow
def test_a_redis_that_cannot_read_its_file_starts_with_an_empty_one(tmp_path: Path) -> None:
    """Nothing in it is precious; what it could not read is kept aside."""
    folder = tmp_path / "data" / "redis"
    folder.mkdir(parents=True, mode=0o700)
    for name in ("appendonly.aof", "appendonlydir"):
        (folder / name).write_text("this is no append-only file\n")

    with running(tmp_path) as up:
        assert "redis" in up.pids()
    assert ["appendonly.aof", "appendonlydir"] == sorted(
        path.name for path in next((tmp_path / "data").glob("redis-unreadable-*")).iterdir()
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="a full disk is made by mounting a tmpfs, as root")
def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    up = Up(tmp_path)
    up.write_services()
    up.folder.mkdir()
    script = (
        f"mount -t tmpfs -o size=64k tmpfs {up.folder} && "
        f"(dd if=/dev/zero of={up.folder}/filler bs=1k count=64 2>/dev/null || true) && "
        f"exec {shlex.join([*HALON, 'up'])}"
    )
    unshare = ["unshare", "--mount", "sh", "-c", script]
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("this machine lets root make no mount namespace")
    done = subprocess.run(
        unshare, env=up.env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    assert 3 == done.returncode, done.stderr
    assert 1 == len(done.stderr.splitlines()), done.stderr
    assert "No space left on device" in done.stderr
