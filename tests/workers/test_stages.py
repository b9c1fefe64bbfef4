"""One wake-up, one stage: roles alone, what they lack, and errors that people can read."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from agents.case import Case
from agents.engine import Budget, Role
from incidents import reports
from incidents.models import EntryKind, Outcome, Stage, StageRun, Status, Verdict
from incidents.policy import OPERATOR
from incidents.store import Store
from tests import repositories
from tests.workers.desks import Place, open_incident
from workers import stages
from workers.office import Office
from workers.settings import WorkerSettings

LEASE = timedelta(seconds=60)
TRACE = 'Traceback (most recent call last):\n  File "shop.py", line 1, in f\nKeyError: 1\n'


@dataclass
class Recorder:
    """An engine that remembers its cases and answers what a test gave it."""

    answer: reports.Report | Exception
    name: str = "recorder"
    seen: list[Case] = field(default_factory=list)

    def plays(self, role: Role) -> bool:
        return True

    def run(self, role: Role, case: Case, budget: Budget) -> reports.Report:
        self.seen.append(case)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


DIAGNOSIS = reports.Diagnosis(
    engine="recorder", verdict=Verdict.INCONCLUSIVE, summary="It is not known.", revision="0" * 40
)
TESTED = reports.TestReport(
    engine="recorder", approve=True, summary="good", patch_digest="0" * 64, categories=()
)


@dataclass
class Scene:
    desk: Office
    number: int
    code: repositories.Repository

    def alone(self, stage: Stage, words: str, engine: Recorder) -> StageRun:
        """Let a person ask for one stage alone, and a worker run it."""
        run = self.desk.incidents.run_role(self.number, stage, OPERATOR, words)
        return self.work(run, engine)

    def work(self, run: StageRun, engine: Recorder) -> StageRun:
        claimed = self.desk.stages.claim(run.id, "w", LEASE)
        assert claimed is not None
        stages.work(self.desk, claimed, engine)
        return self.desk.stages.get(run.id)

    def trouble(self) -> str:
        found = [
            entry.content["what"]
            for entry in self.desk.timeline.entries(self.number)
            if entry.kind is EntryKind.TROUBLE
        ]
        return str(found[-1]) if found else ""


def test_a_worker_that_finds_no_schema_and_no_services_yet_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Both are the first stage's to tell, in words that people can read."""
    settings = WorkerSettings(folder=tmp_path, file=tmp_path / "halon.toml")
    store = Store(f"sqlite:///{tmp_path / 'halon.db'}")

    stages.Runner(settings, store).warm_up()
    settings.file.write_text("", "utf-8")
    stages.Runner(settings, store).warm_up()

    first, second = [record.getMessage() for record in caplog.records]
    assert "There is no settings file" in first
    assert "The database has no schema yet" in second


@pytest.fixture
def scene(place: Place) -> Iterator[Scene]:
    code = repositories.new(place.root / "repository")
    code.commit("Open", {"shop.py": "FEE = 1\n"})
    with place.opened() as desk:
        yield Scene(desk, open_incident(desk, stage=None).number, code)


def test_a_role_alone_posts_its_report_and_nothing_follows(scene: Scene) -> None:
    run = scene.alone(Stage.DIAGNOSE, "", Recorder(DIAGNOSIS))

    kinds = [entry.kind for entry in scene.desk.timeline.entries(scene.number)]
    assert (Outcome.INCONCLUSIVE, 1) == (run.outcome, len(scene.desk.incidents.runs(scene.number)))
    assert EntryKind.REPORT in kinds
    assert EntryKind.NEEDS_HUMAN not in kinds


def test_the_diagnostician_is_given_the_words_as_a_trace(scene: Scene) -> None:
    engine = Recorder(DIAGNOSIS)
    scene.alone(Stage.DIAGNOSE, TRACE, engine)

    assert (TRACE,) == engine.seen[0].traces


def test_the_tester_is_given_a_diff_in_words(scene: Scene) -> None:
    (scene.code.path / "shop.py").write_text("FEE = 2\n")
    diff = scene.code.git("diff") + "\n"
    engine = Recorder(TESTED)
    scene.alone(Stage.TEST, f"please test this:\n{diff}", engine)

    patch = engine.seen[0].patch
    assert patch is not None
    assert (diff, ("shop.py",)) == (patch.diff, patch.paths)


def test_a_diff_that_does_not_fit_is_said_so(scene: Scene) -> None:
    wrong = "--- a/shop.py\n+++ b/shop.py\n@@ -1 +1 @@\n-FEE = 9\n+FEE = 2\n"
    run = scene.alone(Stage.TEST, wrong, Recorder(TESTED))

    assert Outcome.FAILED is run.outcome
    assert "does not apply" in scene.trouble()


def test_the_developer_is_given_a_commit_in_words_as_likely_and_no_more(scene: Scene) -> None:
    guilty = scene.code.commit("Tidy", {"shop.py": "FEE = None\n"})
    engine = Recorder(reports.NoPatch(engine="recorder", tried=(), reason="none"))
    scene.alone(Stage.PATCH, f"take {guilty[:10]} back", engine)

    found = engine.seen[0].diagnosis
    assert found is not None
    assert (guilty, Verdict.LIKELY) == (found.culprit, found.verdict)


def test_an_error_of_our_own_is_one_sentence_in_the_thread(scene: Scene) -> None:
    scene.alone(Stage.DIAGNOSE, "", Recorder(RuntimeError("index 7\n  of a list")))

    assert "Traceback" not in scene.trouble()
    assert "An error of Halon's own (RuntimeError in test_stages.py:" in scene.trouble()


def test_a_review_needs_no_service(place: Place) -> None:
    with place.opened() as desk:
        incident = open_incident(desk, stage=None)
        with desk.store.write() as tx:
            tx.connection.exec_driver_sql("UPDATE incident SET service = NULL")
        desk.incidents.resolve(incident.number, OPERATOR, "it went away")
        queued = desk.incidents.runs(incident.number)[-1]
        run = Scene(desk, incident.number, None).work(queued, Recorder(DIAGNOSIS))  # type: ignore[arg-type]

        assert (Stage.REVIEW, Outcome.DONE) == (run.stage, run.outcome)
        assert Status.RESOLVED is desk.incidents.get(incident.number).status


def test_retry_runs_what_ended_without_a_way_on(scene: Scene) -> None:
    queued = scene.desk.stages.queue_stage(scene.number, Stage.DIAGNOSE)
    scene.work(queued, Recorder(DIAGNOSIS))
    escalated = scene.desk.incidents.runs(scene.number)[-1]
    scene.work(escalated, Recorder(RuntimeError("x")))
    again = scene.desk.incidents.retry(scene.number, OPERATOR)

    assert (Stage.ESCALATE, 2) == (again.stage, again.attempt)
    assert scene.desk.incidents.get(scene.number).needs_human is None
