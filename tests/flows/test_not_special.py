"""The demo is not special: another bug in its service, and the diagnosis follows to its commit.

Each bug is in another function, raises another exception and came with another commit. The log is
what real processes wrote while real requests failed; nothing but that log and `halon.toml` is told.
"""

import itertools
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agents import case, sandbox
from agents.builtin.engine import Builtin
from agents.engine import Budget, Role
from demo import customers, history, service, story
from demo.history import Scenario
from incidents import reports, settings
from incidents.models import Verdict
from tests.demo import revisions
from tests.demo.production import Production

pytestmark = pytest.mark.slow

NOW = datetime(2026, 3, 2, 2, 10, tzinfo=UTC)
REQUESTS = 120
PROVIDER = ("-m", "demo.payment", "--port", "0", "--latency-ms", "0")


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """The address of a running payment provider."""
    process, url = revisions.start(revisions.ROOT, *PROVIDER)
    yield url
    assert 0 == revisions.ended(process)


@pytest.mark.parametrize("name", story.bug_names())
def test_the_diagnosis_follows_the_bug(name: str, provider: str, tmp_path: Path) -> None:
    """The log of the newest revision convicts the commit that brought the bug, by replay."""
    bug = story.read_bug(name)
    built = history.build(tmp_path / "repository", Scenario.GUEST_CRASH, NOW, bug=bug)
    place = service.Place(built.repository, tmp_path, tmp_path / "host", provider)
    with Production(tmp_path, provider, standin="") as production:
        for revision in (built.last_good, built.newest):
            url = production.serve(production.tree(built.repository, revision))
            revisions.ask(url, itertools.islice(customers.stream(seed=11), REQUESTS))
        (told,) = settings.parse_services(tomllib.loads(service.settings_text(place)), where=name)
        made = case.of_service(told, built.repository, logs=(production.errors,))
        engine = Builtin(sandbox.choose("auto"), tmp_path / "workspaces")
        found = engine.run(Role.BUG_DIAGNOSTICIAN, made, Budget(120))

    assert isinstance(found, reports.Diagnosis)
    assert (Verdict.CONFIRMED, built.culprit) == (found.verdict, found.culprit), found.gaps
    assert bug.exception in str(found.exception)
