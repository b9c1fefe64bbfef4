"""Small git repositories for tests, written without any setting of the machine or its user.

Made by the fixture `git_repo`; tests call `commit` and `git`. Dates are given, never taken from
the clock, so that the same test makes the same hashes.
"""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

FIRST_COMMIT = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Repository:
    """A repository with branch `main` in a temporary folder."""

    path: Path

    def git(self, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """Run git in the repository and return its output without the last newline."""
        done = subprocess.run(
            ["git", "-C", str(self.path), *arguments],
            env=environment() | dict(env or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
        return done.stdout.rstrip("\n")

    def commit(
        self, message: str, files: Mapping[str, str | None], *, at: datetime | None = None
    ) -> str:
        """Commit these files (None removes one), an hour after the last commit; return the hash."""
        for name, text in files.items():
            file = self.path / name
            if text is None:
                file.unlink()
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
        self.git("add", "--all")
        date = (at or self.next_date()).isoformat()
        dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        self.git("commit", "--quiet", "--allow-empty", "--message", message, env=dates)
        return self.head()

    def head(self) -> str:
        """Return the hash of the commit that is checked out."""
        return self.git("rev-parse", "HEAD")

    def next_date(self) -> datetime:
        """Return an hour after the last commit, or the fixed date of the first."""
        if not self.git("for-each-ref", "--count=1", "refs/heads"):
            return FIRST_COMMIT
        return datetime.fromisoformat(self.git("log", "-1", "--format=%cI")) + timedelta(hours=1)


def new(path: Path) -> Repository:
    """Make an empty repository at this path."""
    path.mkdir(parents=True, exist_ok=True)
    repository = Repository(path)
    repository.git("init", "--quiet", "--initial-branch=main")
    return repository


def environment() -> dict[str, str]:
    """Return what git needs to run and to sign a commit, and no one's configuration."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.devnull,
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": "Test Author",
        "GIT_AUTHOR_EMAIL": "author@example.invalid",
        "GIT_COMMITTER_NAME": "Test Committer",
        "GIT_COMMITTER_EMAIL": "committer@example.invalid",
    }
