"""The fixtures do what they promise: tests elsewhere lean on them without looking."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests import repositories, services

ROOT = Path(__file__).parent.parent
A_TEST = """
from tests import services

def test_needs_something():
    services.need(services.program("halon-has-no-such-program"), "No such program")
"""


def run_pytest(folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_one.py").write_text(A_TEST)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_one.py"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_missing_service_skips_at_home(tmp_path: Path) -> None:
    assert "1 skipped" in run_pytest(tmp_path).stdout


def test_a_missing_service_fails_in_ci(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, CI="true")

    assert "1 failed" in done.stdout
    assert "No such program is not on this machine" in done.stdout


def test_a_program_is_found_beside_the_path(tmp_path: Path) -> None:
    program = tmp_path / "halon-only-here"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)

    assert program == services.program("halon-only-here", beside=[tmp_path])
    assert services.program("halon-only-here") is None


def test_nothing_of_the_machine_reaches_a_test(clean_environment: Path) -> None:
    steering = [n for n in os.environ if n.startswith(("HALON_", "SLACK_", "ANTHROPIC_"))]

    assert steering == []
    assert "DATABASE_URL" not in os.environ
    assert "REDIS_URL" not in os.environ
    assert clean_environment == Path.home()
    assert list(clean_environment.iterdir()) == []


def test_a_repository_has_the_same_hashes_every_time(
    git_repo: repositories.Repository, tmp_path: Path
) -> None:
    again = repositories.new(tmp_path / "again")
    for repository in (git_repo, again):
        repository.commit("First", {"a.py": "a = 1\n", "b.py": "b = 1\n"})
        repository.commit("Second", {"a.py": "a = 2\n", "b.py": None})

    assert git_repo.head() == again.head()
    assert git_repo.git("ls-tree", "--name-only", "HEAD") == "a.py"
    assert git_repo.git("log", "--format=%s %aI").splitlines() == [
        "Second 2026-01-05T10:00:00+00:00",
        "First 2026-01-05T09:00:00+00:00",
    ]


@pytest.mark.service
def test_each_test_has_a_postgres_database_of_its_own(postgres_database: str) -> None:
    address = postgres_database.replace("+psycopg", "", 1)
    with psycopg.connect(address) as connection:
        connection.execute("CREATE TABLE kept (n integer)")
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")

        assert [("kept",)] == tables.fetchall()
        row = connection.execute("SHOW listen_addresses").fetchone()
        assert ("",) == row
