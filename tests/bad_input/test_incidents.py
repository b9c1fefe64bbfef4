"""Bad input inside an incident: the stage ends in a sentence of the thread, and nothing is lost."""

import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from agents import sandbox
from agents.builtin.engine import Builtin
from incidents.models import EntryKind, Person, Platform, Severity, Stage, TimelineEntry
from incidents.service import Opening
from tests import repositories, services
from tests.workers.desks import Place
from workers import stages

ANN = Person(Platform.WEB, "ann")
LEASE = timedelta(seconds=60)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A data folder of the test's own."""
    (tmp_path / "data").mkdir()
    return Place(tmp_path)


def told(place: Place, service: str | None = "checkout") -> list[TimelineEntry]:
    """Open an incident, run its diagnosis, check that its timeline holds, and return it."""
    with place.opened() as desk:
        desk.store.migrate()
        opening = Opening("checkout failing", ANN, "k", Severity.P0, service)
        incident = desk.incidents.open(opening)
        run = desk.stages.queue_stage(incident.number, Stage.DIAGNOSE)
        claimed = desk.stages.claim(run.id, desk.owner, LEASE)
        assert claimed is not None
        stages.work(desk, claimed, Builtin(sandbox.choose("auto"), place.folder / "workspaces"))
        assert desk.timeline.verify(incident.number) is None
        return desk.timeline.entries(incident.number)


def trouble(entries: list[TimelineEntry]) -> str:
    """Return the one trouble that the thread is told of, with what to do."""
    (found,) = [entry for entry in entries if entry.kind is EntryKind.TROUBLE]
    assert found.content["do"]
    return str(found.content["what"])


def shop(place: Place) -> repositories.Repository:
    """The service's repository: its second commit is guilty, and nothing is known of deploys."""
    made = repositories.new(place.root / "repository")
    made.commit("Open", {"shop.py": "RATE = 490\n"})
    made.commit("Tidy", {"shop.py": "RATE = None\n"})
    return made


def verdict(entries: list[TimelineEntry]) -> tuple[str, list[str]]:
    """Return the verdict and the gaps of the diagnosis that the thread is told of."""
    (found,) = [entry for entry in entries if entry.kind is EntryKind.REPORT]
    report = found.content["report"]
    return report["verdict"], report["gaps"]


@pytest.mark.parametrize(
    ("repository", "reason"),
    [
        ("/no/such/place", "does not appear to be a git repository"),
        ("--upload-pack=touch mark", "is not an address that a repository is fetched from"),
        ("ext::sh -c touch% mark", "is not an address that a repository is fetched from"),
    ],
)
def test_a_repository_that_cannot_be_read_is_told_with_its_mend(
    place: Place, repository: str, reason: str
) -> None:
    place.write_services(repository=repository)
    said = trouble(told(place))

    assert reason in said
    assert "Traceback" not in said


def test_a_service_that_halon_toml_lost_is_named(place: Place) -> None:
    place.write_services(name="shipping")
    said = trouble(told(place))

    assert "halon.toml names no service 'checkout' (it names: shipping)" in said


def test_an_incident_without_a_service_says_how_it_gets_one(place: Place) -> None:
    place.write_services()

    assert "open it again with `service:NAME`" in trouble(told(place, service=None))


def test_a_repository_without_commits_is_told(place: Place) -> None:
    repositories.new(place.root / "repository")
    place.write_services()

    assert "Traceback" not in trouble(told(place))


@pytest.mark.parametrize(
    ("test", "gap"),
    [
        ("no-such-program", "test environment: cannot run 'no-such-program'"),
        (f"{sys.executable} -m no_such_module", "no_such_module"),
        (f"{sys.executable} -m unittest -q", "test environment: no test was found"),
    ],
)
def test_a_test_that_never_starts_is_a_gap_in_the_report(place: Place, test: str, gap: str) -> None:
    shop(place)
    place.write_services(test=test)
    found, gaps = verdict(told(place))

    assert "INCONCLUSIVE" == found
    assert any(gap in line for line in gaps), gaps


def test_without_a_record_no_commit_and_no_code_is_cleared(place: Place) -> None:
    """The test fails alike everywhere, and nothing tells what was deployed when."""
    shop(place)
    place.write_services(test=f"{sys.executable} -c 1/0")
    found, gaps = verdict(told(place))

    assert "INCONCLUSIVE" == found
    assert any("no complete record of changes" in line for line in gaps)


FULL = """\
mount -t tmpfs -o size=6m tmpfs "$1" || exit 77
cd "$1" || exit 77
python=$2; halon() { "$python" -P -m cli "$@"; }
printf '[[service]]\\nname = "checkout"\\nrepository = "/x"\\n' > halon.toml
halon say "/incident P0 checkout failing service:checkout" || exit 1
cat /dev/zero > fill 2> /dev/null
halon say "/incident P1 another service:checkout"
test $? -eq 3 || exit 2
rm fill
halon incident verify INC-1 || exit 3
halon incident list --all
"""


def test_a_full_disk_is_one_sentence_and_what_was_recorded_holds(tmp_path: Path) -> None:
    """On a small disk of its own, that only this test sees."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-m", "true"], check=False).returncode:
        services.missing("a mount namespace (root, or unshare with its rights)")
    argv = [unshare, "-m", "sh", "-c", FULL, "sh", str(tmp_path), sys.executable]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=100)
    if done.returncode == 77:
        services.missing("a disk in memory (mount -t tmpfs)")

    assert 0 == done.returncode, done.stderr
    assert 1 == done.stderr.count("\n")
    assert "No space left on device" in done.stderr
    assert "make room" in done.stderr
    assert ["INC-1"] == [line.split()[0] for line in done.stdout.splitlines()[2:]]
