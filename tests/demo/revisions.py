"""Runs the demo service's code at any revision, as production and the sandbox would.

Used by the tests of `demo` only. Everything is started on loopback and ended with its fixture.
"""

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from demo import customers

ROOT = Path(__file__).resolve().parents[2]
CLEAN = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}


def git(repository: Path, *arguments: str) -> str:
    """The output of git in a repository of ours."""
    environment = CLEAN | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "test",
        "GIT_AUTHOR_EMAIL": "test@example.invalid",
        "GIT_COMMITTER_NAME": "test",
        "GIT_COMMITTER_EMAIL": "test@example.invalid",
    }
    argv = ["git", "-C", str(repository), *arguments]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def revert(repository: Path, culprit: str) -> str:
    """The tree of HEAD without a commit; fails where the text does not come out cleanly."""
    inverse = git(
        repository, "commit-tree", f"{culprit}^1^{{tree}}", "-p", culprit, "-m", "inverse"
    )
    return git(repository, "merge-tree", "--write-tree", "--name-only", "HEAD", inverse)


def export(repository: Path, tree: str, target: Path) -> Path:
    """A folder with the files of a tree."""
    target.mkdir()
    packed = target.with_suffix(".tar")
    git(repository, "archive", "-o", str(packed), tree)
    shutil.unpack_archive(packed, target)
    return target


def run(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A Python command of the service in one of its trees."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=CLEAN | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def ended(process: subprocess.Popen[str]) -> int:
    """The exit code of a process that was told to stop."""
    process.terminate()
    return process.wait(timeout=20)


def start(folder: Path, *arguments: str, **environ: str) -> tuple[subprocess.Popen[str], str]:
    """A process of the demo that prints its address when it is ready, and the address."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=CLEAN | environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    process.stdout.close()
    found = re.search(r"http://\S+", line)
    assert found, f"{arguments} said {line!r}"
    return process, found[0]


@dataclass
class Answers:
    """What a stream of customers got from one revision, by kind of request."""

    asked: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)

    def rate(self, kind: str | None = None) -> float:
        """The share of 5xx, of all requests or of one kind."""
        if kind is None:
            return sum(self.failed.values()) / sum(self.asked.values())
        return self.failed.get(kind, 0) / self.asked[kind]


def ask(url: str, requests: Iterable[customers.Ask]) -> Answers:
    """Send requests over one connection and count the answers."""
    answers = Answers()
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    for request in requests:
        connection.request(request.method, request.path, request.body)
        response = connection.getresponse()
        response.read()
        assert response.status < 400 or response.status >= 500, (request, response.status)
        answers.asked[request.kind] = answers.asked.get(request.kind, 0) + 1
        if response.status >= 500:
            answers.failed[request.kind] = answers.failed.get(request.kind, 0) + 1
    connection.close()
    return answers


def refused_port() -> socket.socket:
    """A bound socket that nobody listens on: whoever connects is refused."""
    reserved = socket.socket()
    reserved.bind(("127.0.0.1", 0))
    return reserved


def read_lines(path: Path) -> list[dict[str, object]]:
    """The records of a JSON lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
