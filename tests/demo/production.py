"""A tiny production for tests: any tree of the demo service, served and asked from outside."""

import itertools
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from demo import customers
from tests.demo import revisions
from tests.demo.revisions import Answers

SEED = 11
REQUESTS = 150


class Production:
    """Serves trees of a repository; whatever it started is gone at the end."""

    def __init__(self, folder: Path, provider: str, standin: str) -> None:
        self._folder = folder
        self._standin = standin
        self._running: list[subprocess.Popen[str]] = []
        self._numbers = itertools.count()
        self.provider = provider

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._running:
            process.kill()
            process.wait(timeout=20)

    @property
    def errors(self) -> Path:
        """The error log of whatever was served."""
        return self._folder / "error.log"

    @property
    def accesses(self) -> Path:
        """The access log of whatever was served."""
        return self._folder / "access.log"

    def tree(self, repository: Path, revision: str) -> Path:
        """The files of a revision."""
        target = self._folder / f"tree-{next(self._numbers)}"
        return revisions.export(repository, revision, target)

    def serve(self, tree: Path, *, payment: str | None = None) -> str:
        """Serve a tree and return its address."""
        logs = ["--access-log", str(self.accesses), "--error-log", str(self.errors)]
        process, url = revisions.start(
            tree,
            "-m",
            "checkout",
            "--port",
            "0",
            "--payment",
            payment or self.provider,
            *logs,
            HALON_REVISION=tree.name,
        )
        self._running.append(process)
        return url

    def ask(self, tree: Path, *, payment: str | None = None) -> Answers:
        """What the usual customers get from a tree."""
        asks = itertools.islice(customers.stream(SEED), REQUESTS)
        return revisions.ask(self.serve(tree, payment=payment), asks)

    def replay(self, tree: Path, requests: Path) -> tuple[int, str]:
        """Exit code and output of the service's own replay."""
        done = revisions.run(
            tree,
            "-m",
            "checkout.replay",
            HALON_REQUESTS=str(requests),
            CHECKOUT_PAYMENT=self._standin,
        )
        return done.returncode, done.stdout + done.stderr

    def tests(self, tree: Path) -> tuple[int, str]:
        """Exit code and output of the service's own tests."""
        done = revisions.run(tree, "-W", "error", "-m", "unittest", "-q")
        return done.returncode, done.stderr
