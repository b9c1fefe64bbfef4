"""Named mitigations: run once after a yes, checked, and told truly, whatever the hook does."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from incidents import errors, mitigations
from incidents.models import Answer, ApprovalState, EntryKind, Json, Person, Platform, Status
from incidents.policy import OPERATOR
from tests.workers.desks import Place, open_incident, voting
from workers.mitigating import Mitigating
from workers.office import Office


@dataclass
class Scene:
    """An incident of a service with one mitigation, `calm`."""

    place: Place
    desk: Office
    number: int

    @property
    def log(self) -> Path:
        """Where the hooks write that they ran."""
        return self.place.root / "ran"

    def ran(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []

    def approve(self, scope: str = "calm", person: Person = OPERATOR) -> str:
        """Ask for a mitigation and say yes to it; return the approval's id."""
        service = self.desk.service("checkout")
        incident = self.desk.incidents.get(self.number)
        key = f"key-{time.monotonic_ns()}"
        asked = self.desk.approvals.ask(mitigations.question(incident, service, scope, key))
        decided = voting(self.desk).decide(asked.id, person, Answer.YES, None, f"vote-{key}")
        assert decided.accepted, decided.reason
        return asked.id

    def carry_out(self) -> Json:
        """Be the controller once, a new process each time; return what was told last."""
        mitigating = Mitigating(self.desk)
        for approval in mitigating.due():
            mitigating.carry_out(approval)
        told = self.told()
        return told[-1] if told else {}

    def told(self) -> list[Json]:
        entries = self.desk.timeline.entries(self.number)
        return [one.content for one in entries if one.kind is EntryKind.MITIGATION]

    def status(self) -> Status:
        return self.desk.incidents.get(self.number).status


def hook(scene_root: Path, word: str, then: str = "") -> list[str]:
    """Return a hook that writes a word down, and then does something else."""
    line = f"open({str(scene_root / 'ran')!r}, 'a').write({word + ' '!r}); {then}"
    return [sys.executable, "-c", line]


def configure(place: Place, **calm: Any) -> None:
    """Write halon.toml with the mitigation `calm`."""
    table = {"run": hook(place.root, "calm"), "risk": "Slower pages.", "seconds": 5, **calm}
    place.write_services(mitigations={"calm": table})


@pytest.fixture
def scene(place: Place, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """The scene; the test's parameter changes the mitigation."""
    changed = getattr(request, "param", {})
    fails = hook(place.root, "check", "raise SystemExit('still 503')")
    checks = {"passes": hook(place.root, "check"), "fails": fails, None: None}
    table = {key: value for key, value in changed.items() if key != "check"}
    check = checks[changed.get("check", "passes")]
    configure(place, **table, **({"check": check} if check else {}))
    with place.opened() as desk:
        yield Scene(place, desk, open_incident(desk, stage=None).number)


def changed(**table: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("scene", [table], indirect=True)


def test_what_works_by_its_check_mitigates(scene: Scene) -> None:
    scene.approve()

    assert "works" == scene.carry_out()["state"]
    assert (["calm", "check"], Status.MITIGATED) == (scene.ran(), scene.status())


def test_nothing_runs_without_a_yes(scene: Scene) -> None:
    incident, service = scene.desk.incidents.get(scene.number), scene.desk.service("checkout")
    scene.desk.approvals.ask(mitigations.question(incident, service, "calm", "k"))

    assert ({}, []) == (scene.carry_out(), scene.ran())


def test_it_runs_once_however_often_the_controller_looks(scene: Scene) -> None:
    scene.approve()
    scene.carry_out()
    scene.carry_out()

    assert (["calm", "check"], 1) == (scene.ran(), len(scene.told()))


@changed(check="fails", seconds=1)
def test_what_has_no_effect_is_not_called_a_mitigation(scene: Scene) -> None:
    scene.approve()
    told = scene.carry_out()

    assert ("no effect", True, Status.OPEN) == (
        told["state"],
        "still 503" in told["text"],
        scene.status(),
    )


@changed(check=None)
def test_without_a_check_a_person_has_to_say_that_it_helped(scene: Scene) -> None:
    scene.approve()

    assert ("unchecked", Status.OPEN) == (scene.carry_out()["state"], scene.status())


@changed(run=[sys.executable, "-c", "raise SystemExit('no such flag')"])
def test_what_fails_is_told_with_its_words(scene: Scene) -> None:
    scene.approve()
    told = scene.carry_out()

    assert ("failed", True, []) == (told["state"], "no such flag" in told["text"], scene.ran())


@changed(run=[sys.executable, "-c", "import time; time.sleep(60)"], seconds=0.5)
def test_what_hangs_is_ended(scene: Scene) -> None:
    scene.approve()
    told = scene.carry_out()

    assert ("failed", True) == (told["state"], "longer than" in told["text"])


@changed(run=["/no/such/program"])
def test_what_is_not_there_is_told(scene: Scene) -> None:
    scene.approve()

    assert "cannot be run" in scene.carry_out()["text"]


@pytest.mark.parametrize(
    ("scene", "expected"),
    [({}, "works"), ({"check": None}, "unknown")],
    indirect=["scene"],
)
def test_what_was_begun_by_a_controller_that_died_is_looked_at_and_never_run_again(
    scene: Scene, expected: str
) -> None:
    scene.desk.approvals.use(scene.approve(), "run")

    assert expected == scene.carry_out()["state"]
    assert "calm" not in scene.ran()


def test_a_yes_is_for_the_command_that_was_shown(scene: Scene) -> None:
    scene.approve()
    configure(scene.place, run=hook(scene.place.root, "other"))
    with scene.place.opened() as later:
        told = Scene(scene.place, later, scene.number).carry_out()

    assert ("failed", True, []) == (told["state"], "was changed" in told["text"], scene.ran())


def test_a_forged_yes_is_nobodys(scene: Scene) -> None:
    incident, service = scene.desk.incidents.get(scene.number), scene.desk.service("checkout")
    asked = scene.desk.approvals.ask(mitigations.question(incident, service, "calm", "k"))
    with scene.desk.store.write() as tx:
        tx.connection.exec_driver_sql(
            f"UPDATE approval SET state = 'granted' WHERE id = '{asked.id}'"
        )

    assert ({}, []) == (scene.carry_out(), scene.ran())
    kinds = [one.kind for one in scene.desk.timeline.entries(scene.number)]
    assert EntryKind.TROUBLE in kinds


@changed(undo=["/bin/true"])
def test_undoing_is_asked_and_run_like_the_rest(scene: Scene) -> None:
    scene.approve()
    assert "/incident mitigate undo calm" == scene.carry_out()["undo"]
    scene.approve("undo calm")

    told = scene.carry_out()
    assert ("undo calm", "unchecked") == (told["scope"], told["state"])


def test_what_is_not_named_is_refused_with_the_names(scene: Scene) -> None:
    incident, service = scene.desk.incidents.get(scene.number), scene.desk.service("checkout")
    with pytest.raises(errors.NotFound, match="it has: calm"):
        mitigations.question(incident, service, "scale", "k")
    with pytest.raises(errors.NotFound, match="no `undo`"):
        mitigations.question(incident, service, "undo calm", "k")


def test_a_responder_may_ask_and_not_approve(scene: Scene) -> None:
    incident, service = scene.desk.incidents.get(scene.number), scene.desk.service("checkout")
    asked = scene.desk.approvals.ask(mitigations.question(incident, service, "calm", "k"))
    stranger = Person(Platform.WEB, "ann")
    decided = voting(scene.desk).decide(asked.id, stranger, Answer.YES, None, "v")

    assert (False, ApprovalState.ASKED) == (decided.accepted, decided.approval.state)
    assert ({}, []) == (scene.carry_out(), scene.ran())
