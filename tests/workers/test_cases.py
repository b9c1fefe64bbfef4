"""The case of a stage: which revision ran, what was deployed when, which logs there are."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from incidents import errors
from incidents.models import Change, ChangeKind, Incident
from incidents.settings import parse_services
from tests import repositories
from tests.workers.desks import Place, open_incident
from workers import cases
from workers.office import Office

AT = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


@pytest.fixture
def desk(place: Place) -> Iterator[Office]:
    """An office whose one service has two commits."""
    repository = repositories.new(place.root / "repository")
    for name in ("first", "second"):
        repository.commit(name, {"a.txt": name})
    place.write_services()
    with place.opened() as office:
        yield office


def revisions(place: Place) -> list[str]:
    """Return the service's commits, oldest first."""
    git = repositories.Repository(place.root / "repository").git
    return git("rev-list", "--reverse", "HEAD").split()


def opened_at(desk: Office, at: datetime) -> Incident:
    """Return an incident that was opened at a time."""
    return replace(open_incident(desk), opened_at=at)


def deployed(revision: str, hours: int) -> Change:
    """Return a deploy so many hours after AT."""
    at = AT + timedelta(hours=hours)
    return Change("checkout", ChangeKind.DEPLOY, at, "record", after=revision)


def test_what_ran_when_it_was_opened_is_the_broken_revision(desk: Office, place: Place) -> None:
    first, second = revisions(place)
    changes = (deployed(first, 0), deployed(second, 2))
    with cases.repository(desk, desk.service("checkout")) as mirror:
        before = opened_at(desk, AT + timedelta(hours=1))
        after = opened_at(desk, AT + timedelta(hours=3))

        assert first == cases.deployed_revision(before, changes, mirror, "main")
        assert second == cases.deployed_revision(after, changes, mirror, "main")


def test_without_a_deploy_that_the_repository_knows_it_is_the_branch(
    desk: Office, place: Place
) -> None:
    incident = opened_at(desk, AT + timedelta(hours=1))
    with cases.repository(desk, desk.service("checkout")) as mirror:
        found = cases.deployed_revision(incident, (deployed("f" * 40, 0),), mirror, "main")

    assert revisions(place)[-1] == found


def test_a_repository_that_is_gone_says_what_to_do(desk: Office, place: Place) -> None:
    (place.root / "repository").rename(place.root / "elsewhere")

    with (
        pytest.raises(errors.PermanentFailure, match=r"Correct `repository` in halon\.toml"),
        cases.repository(desk, desk.service("checkout")),
    ):
        pass


def test_a_line_of_the_record_that_cannot_be_read_is_a_gap_of_that_line(tmp_path: Path) -> None:
    record = tmp_path / "deploys.jsonl"
    good = {"at": "2026-01-05T09:00:00", "revision": "a"}
    canary = {"at": "2026-01-05T10:00:00+00:00", "revision": "b", "version": "canary"}
    rows = [json.dumps(good), "no json", "[]", '{"at": 3, "revision": "x"}', json.dumps(canary)]
    record.write_text("\n".join([*rows, json.dumps(good | {"revision": "c"})]), "utf-8")
    (service,) = parse_services(
        {"service": [{"name": "checkout", "repository": "x"}]}, where="test"
    )

    found = list(cases.recorded(service, record))

    assert [(None, "a", AT), ("a", "c", AT)] == [(one.before, one.after, one.at) for one in found]


def test_logs_are_told_oldest_first_and_only_files_count(tmp_path: Path) -> None:
    for age, name in enumerate(("new.log", "old.log")):
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (1000.0 - age, 1000.0 - age))
    (tmp_path / "folder.log").mkdir()
    os.mkfifo(tmp_path / "pipe.log")
    table = {"name": "checkout", "repository": "x", "logs": [str(tmp_path / "*.log")]}
    (service,) = parse_services({"service": [table]}, where="test")

    assert ["old.log", "new.log"] == [path.name for path in cases.log_files(service)]
