"""The way back: which version, what is asked, what each answer does, and who goes first."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agents.case import Case
from agents.engine import Budget, Role
from bot import render
from bot.gathering import Gathering
from bot.port import Message
from incidents import reports
from incidents.models import (
    Act,
    Answer,
    Approval,
    ApprovalState,
    Change,
    ChangeKind,
    Incident,
    Outcome,
    Rollout,
    RolloutState,
    RunMode,
    RunState,
    SafeVersion,
    Severity,
    Stage,
    StageRun,
    Status,
)
from incidents.policy import OPERATOR, Access
from incidents.stages import Ending
from rollout import watchdog
from tests.workers import desks
from tests.workers.desks import KEY, Ahead, Place, open_incident, voting
from tests.workers.hosts import StandInHost
from tests.workers.rollings import STEP, YESTERDAY, Code, broken
from workers import contain, office, stages
from workers.office import Office
from workers.traffic import Traffic

pytestmark = pytest.mark.slow

LEASE = timedelta(seconds=60)
ONSET = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


def deployed(revision: str, minutes: float) -> Change:
    """A deploy so many minutes before the onset."""
    at = ONSET - timedelta(minutes=minutes)
    return Change("checkout", ChangeKind.DEPLOY, at, "record", after=revision)


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [(0.5, "bad"), (29, "bad"), (30, "bad"), (31, None), (-0.5, "bad"), (-2, None)],
)
def test_a_deploy_is_suspect_for_half_an_hour(minutes: float, expected: str | None) -> None:
    found = contain.suspect((deployed("good", 600), deployed("bad", minutes)), ONSET)

    assert expected == (found.after if found else None)


def test_without_an_onset_nothing_is_suspect() -> None:
    assert contain.suspect((deployed("bad", 1),), None) is None


def test_a_change_of_settings_is_no_version_to_return_from() -> None:
    change = Change("checkout", ChangeKind.CONFIG, ONSET - timedelta(minutes=1), "U1", note="x")

    assert contain.suspect((change,), ONSET) is None


def chosen(
    *ran: Change,
    counts: dict[str, tuple[int, int]] | None = None,
    guilty: frozenset[str] | None = None,
) -> str | None:
    """Return the revision that is chosen; `counts` are what each was measured with."""
    starts = {
        change.at: counts[str(change.after)] for change in ran if counts and change.after in counts
    }
    found = contain.choose(
        ran,
        ONSET,
        lambda since, _: starts.get(since),
        lambda revision: None if guilty is None else revision in guilty,
    )
    return found.revision if found else None


def test_the_newest_version_that_ran_long_enough_is_good() -> None:
    assert "b" == chosen(deployed("a", 900), deployed("b", 100), deployed("c", 5))


def test_what_ran_for_a_moment_is_no_version_to_return_to() -> None:
    assert "a" == chosen(deployed("a", 900), deployed("b", 9), deployed("c", 5))


def test_what_was_measured_to_be_healthy_need_not_have_run_long() -> None:
    ran = (deployed("a", 900), deployed("b", 9), deployed("c", 5))

    assert "b" == chosen(*ran, counts={"b": (400, 1)})


def test_what_was_measured_to_be_sick_is_never_good_however_long_it_ran() -> None:
    ran = (deployed("a", 900), deployed("b", 100), deployed("c", 5))

    assert "a" == chosen(*ran, counts={"b": (400, 60)})


def test_with_a_culprit_known_the_newest_without_it_is_good() -> None:
    ran = (deployed("a", 900), deployed("b", 9), deployed("c", 7), deployed("d", 5))

    assert "b" == chosen(*ran, guilty=frozenset({"c", "d"}))


def test_a_version_that_carries_the_culprit_is_never_good() -> None:
    ran = (deployed("a", 900), deployed("b", 100))

    assert chosen(*ran, guilty=frozenset({"a", "b"})) is None


def test_the_only_version_ever_leaves_nothing_to_return_to() -> None:
    assert chosen(deployed("a", 900)) is None


class NoEngine:
    """An engine that nobody may ask: containing needs none."""

    name = "none"

    def plays(self, role: Role) -> bool:
        return False

    def run(self, role: Role, case: Case, budget: Budget) -> reports.Report:
        raise AssertionError(f"{role} was asked")


@dataclass
class Scene:
    """A broken service that ran well for hours before its last deploy."""

    desk: Office
    place: Place
    code: Code
    host: StandInHost
    clock: Ahead
    incident: Incident
    settings: dict[str, Any]
    traffic: Traffic = field(init=False)

    def __post_init__(self) -> None:
        self.traffic = Traffic(self.desk)

    def run(self, stage: Stage) -> StageRun:
        """Let a worker work on a stage until it gives the run back."""
        claimed = self.desk.stages.claim(
            self.desk.stages.queue_stage(self.incident.number, stage).id, "w", LEASE
        )
        assert claimed is not None
        stages.work(self.desk, claimed, NoEngine())
        return self.desk.stages.get(claimed.run.id)

    def configure(self, **more: Any) -> None:
        """Add keys to the service in halon.toml, and read it again."""
        self.settings |= more
        self.place.write_services(**self.settings)
        self.desk = office.over(self.desk.store, self.place.settings, "host:1", key=KEY)

    def offered(self) -> StageRun:
        """Run the contain stage, which must have asked."""
        run = self.run(Stage.CONTAIN)
        assert RunState.WAITING is run.state, self.said(run)
        return run

    def said(self, run: StageRun) -> str:
        """What the stage's own message says last."""
        mine = [
            entry.content.get("text", "")
            for entry in self.desk.timeline.entries(self.incident.number)
            if entry.subject == f"run-{run.id}"
        ]
        return str(mine[-1]) if mine else ""

    def rollout(self, run: StageRun) -> Rollout:
        return self.desk.rollouts.get(f"R{run.id}")

    def question(self, run: StageRun) -> Approval:
        return self.desk.approvals.of_rollout(f"R{run.id}")[-1]

    def answer(self, run: StageRun, answer: Answer = Answer.YES) -> None:
        asked = self.question(run)
        decided = voting(self.desk).decide(asked.id, OPERATOR, answer, None, f"e-{asked.id}")
        assert decided.accepted, decided.reason

    def until(self, run: StageRun, so: Callable[[], object]) -> None:
        """Tick the run's rollout until something is so."""
        end = time.monotonic() + 40
        while not so():
            assert time.monotonic() < end, self.rollout(run)
            self.traffic.tick(f"R{run.id}", 1)
            self.clock.by += STEP
            self.host.catch_up()

    def ended(self, run: StageRun) -> Outcome | None:
        """Tick until the run has ended and return how."""
        self.until(run, lambda: self.desk.stages.get(run.id).finished_at)
        return self.desk.stages.get(run.id).outcome

    def status(self) -> Status:
        return self.desk.incidents.get(self.incident.number).status

    def report(self, stage: Stage, outcome: Outcome, report: reports.Report) -> None:
        """Let a stage have ended with a report; what the table queued for it is called off."""
        claimed = self.desk.stages.claim(
            self.desk.stages.queue_stage(self.incident.number, stage).id, "w", LEASE
        )
        assert claimed is not None
        ending = Ending(outcome, report=report.model_dump(mode="json"))
        self.desk.stages.finish(claimed.run.id, claimed.run.fence, ending)


@contextmanager
def broken_production(place: Place) -> Iterator[Scene]:
    """Make the scene, with a P0 open and nothing of it looked into."""
    code = broken(place.root / "work")
    bare = place.root / "origin.git"
    code.repository.git("clone", "--quiet", "--bare", str(code.repository.path), str(bare))
    record = place.root / "deploys.jsonl"
    clock = Ahead(YESTERDAY)
    now = clock()
    ran = {code.good: now - timedelta(hours=5), code.bad: now - timedelta(minutes=2)}
    rows = [{"at": at.isoformat(), "version": "stable", "revision": one} for one, at in ran.items()]
    record.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    settings: dict[str, Any] = {
        "repository": str(bare),
        "deploy": {"driver": "processes"},
        "changes": {"record": str(record)},
    }
    place.write_services(**settings)
    host = StandInHost(place.folder / "hosts" / "checkout", code.bad, clock=clock)
    host.errors[code.bad] = 0.5
    host.start()
    try:
        with place.opened(clock=clock) as desk:
            incident = open_incident(desk, severity=Severity.P0)
            desk.incidents.set_onset(incident.number, ran[code.bad] + timedelta(seconds=5))
            made = Scene(desk, place, code, host, clock, incident, settings)
            try:
                yield made
            finally:
                made.traffic.close()
                for lease in (desk.folder / "watchdog").glob("*.json"):
                    watchdog.disarm(lease)
    finally:
        host.end()


@pytest.fixture
def scene(place: Place) -> Iterator[Scene]:
    """The scene, untouched."""
    with broken_production(place) as made:
        yield made


@dataclass(frozen=True)
class Returned:
    """A way back that was taken to its end, which takes its time, and what was seen meanwhile."""

    scene: Scene
    run: StageRun
    fix: StageRun  # a deploy that came when the way back had its yes
    fix_said: str
    answered: ApprovalState
    validating: bool  # the users were helped, and the run went on
    outcome: Outcome | None
    turns: list[int]  # the runs that were woken when it was over


@pytest.fixture(scope="module")
def returned(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Returned]:
    """A yes to the way back, a fix that waits for it, and the end."""
    place = desks.new(tmp_path_factory.mktemp("returned"), template)
    place.time_scale = 180.0  # ten seconds of validation
    with broken_production(place) as scene:
        run = scene.offered()
        scene.answer(run)
        fix = scene.run(Stage.DEPLOY)
        said, answered = scene.said(fix), scene.question(run).state
        scene.until(run, lambda: scene.status() is Status.MITIGATED)
        validating = scene.desk.stages.get(run.id).finished_at is None
        outcome = scene.ended(run)
        turns = scene.desk.stages.resume_turns()
        yield Returned(scene, run, fix, said, answered, validating, outcome, turns)


def test_the_way_back_is_planned_before_it_is_offered(scene: Scene) -> None:
    """The question names rollout, plan and version, and nothing has moved."""
    run = scene.offered()
    rollout, asked = scene.rollout(run), scene.question(run)

    assert (Act.REDEPLOY, "through 100", None) == (asked.act, asked.scope, asked.verdict)
    named = (asked.rollout, asked.plan_hash, asked.patch_digest)
    assert (rollout.id, rollout.plan_hash, scene.code.good) == named
    assert (scene.code.good, scene.code.bad) == (rollout.revision, rollout.stable_revision)
    assert RolloutState.PLANNED is rollout.state
    assert scene.code.bad == scene.host.stable


def test_the_plan_says_what_will_be_missing_and_where_taking_back_leads(scene: Scene) -> None:
    plan = reports.DeploymentPlan.model_validate(scene.rollout(scene.offered()).plan)

    assert (f"{scene.code.bad[:7]} breaks",) == plan.lost
    assert "ran for 4 hours" in plan.why
    assert SafeVersion.STABLE == plan.safe_version
    assert plan.stable_carries_incident
    assert "returning to the broken one" in plan.safe_why


def test_a_yes_brings_the_last_good_version_back_and_mitigates(returned: Returned) -> None:
    scene = returned.scene

    assert returned.validating, "the validation was cut"
    assert Outcome.VERIFIED is returned.outcome
    assert (scene.code.good, 0) == (scene.host.stable, scene.host.weight)
    kinds = {entry.kind.value for entry in scene.desk.timeline.entries(scene.incident.number)}
    assert "delivered" not in kinds
    asked = scene.desk.approvals.of_rollout(f"R{returned.run.id}")
    assert [ApprovalState.USED] == [one.state for one in asked], "one yes covers every phase"


def test_a_no_is_noted_and_nothing_else_happens(scene: Scene) -> None:
    run = scene.offered()
    scene.answer(run, Answer.NO)

    assert Outcome.REFUSED is scene.ended(run)
    after = scene.desk.incidents.get(scene.incident.number)
    assert (Status.OPEN, None) == (after.status, after.needs_human)
    assert scene.code.bad == scene.host.stable


def test_silence_is_a_no(scene: Scene) -> None:
    run = scene.offered()
    scene.host.per_second = 1.0  # nothing depends on what the users ask meanwhile
    scene.clock.by = timedelta(seconds=61)
    scene.desk.approvals.expire_due()

    assert Outcome.EXPIRED is scene.ended(run)
    assert scene.code.bad == scene.host.stable


def test_a_way_back_that_is_sick_is_taken_back_and_not_offered_again(scene: Scene) -> None:
    scene.host.errors[scene.code.good] = 0.6
    run = scene.offered()
    scene.answer(run)

    assert Outcome.TAKEN_BACK is scene.ended(run)
    after = scene.desk.incidents.get(scene.incident.number)
    assert (Status.OPEN, scene.code.bad) == (after.status, scene.host.stable)
    again = scene.run(Stage.CONTAIN)
    assert Outcome.REFUSED is again.outcome
    assert "refused the way back" in scene.said(again)


def test_a_tested_fix_goes_before_an_offer_that_nobody_took(scene: Scene) -> None:
    run = scene.offered()
    fix = scene.run(Stage.DEPLOY)

    assert RunState.WAITING is fix.state
    assert ApprovalState.SUPERSEDED is scene.question(run).state
    assert [] == scene.desk.stages.resume_turns(), "the offer is not gone yet"
    assert Outcome.CANCELLED is scene.ended(run)
    assert [fix.id] == scene.desk.stages.resume_turns()
    assert RunState.READY is scene.desk.stages.get(fix.id).state


def test_a_fix_waits_for_a_way_back_that_has_its_yes(returned: Returned) -> None:
    assert RunState.WAITING is returned.fix.state
    assert f"waiting for rollout R{returned.run.id}" in returned.fix_said
    assert ApprovalState.GRANTED is returned.answered
    assert [returned.fix.id] == returned.turns


def test_after_the_way_back_a_fix_is_measured_against_a_healthy_version(
    returned: Returned,
) -> None:
    scene = returned.scene
    scene.report(Stage.PATCH, Outcome.PATCHED, scene.code.patch)
    fix = scene.run(Stage.DEPLOY)

    plan = reports.DeploymentPlan.model_validate(scene.rollout(fix).plan)
    assert scene.code.good == plan.stable_revision
    assert not plan.stable_carries_incident
    assert SafeVersion.STABLE == plan.safe_version
    assert any("response times" in one for one in plan.watched)
    assert Act.START is scene.question(fix).act


def test_before_it_stable_carries_the_incident_and_is_no_yardstick(scene: Scene) -> None:
    scene.report(Stage.PATCH, Outcome.PATCHED, scene.code.patch)
    fix = scene.run(Stage.DEPLOY)

    plan = reports.DeploymentPlan.model_validate(scene.rollout(fix).plan)
    assert plan.stable_carries_incident
    assert not any("response times" in one for one in plan.watched)


def test_an_open_rollout_of_a_fix_leaves_nothing_to_offer(scene: Scene) -> None:
    scene.report(Stage.PATCH, Outcome.PATCHED, scene.code.patch)
    fix = scene.run(Stage.DEPLOY)
    run = scene.run(Stage.CONTAIN)

    assert Outcome.REFUSED is run.outcome
    assert f"rollout R{fix.id} is open" in scene.said(run)
    assert ApprovalState.ASKED is scene.question(fix).state


def test_users_who_were_helped_by_people_need_no_offer(scene: Scene) -> None:
    run = scene.offered()
    scene.desk.incidents.mitigated(scene.incident.number, OPERATOR, "switched the feature off")

    assert Outcome.CANCELLED is scene.ended(run)
    assert ApprovalState.SUPERSEDED is scene.question(run).state
    assert scene.code.bad == scene.host.stable


def test_an_offer_does_not_keep_people_from_resolving(scene: Scene) -> None:
    run = scene.offered()
    scene.desk.incidents.resolve(scene.incident.number, OPERATOR, "done by hand")

    assert Outcome.CANCELLED is scene.ended(run)
    assert Status.RESOLVED is scene.status()


@pytest.mark.parametrize("missing", ["deploy", "mode"])
def test_where_nothing_may_be_deployed_nothing_is_offered(scene: Scene, missing: str) -> None:
    service = scene.desk.services["checkout"]
    changed = {
        "deploy": service.model_copy(update={"deploy": None}),
        "mode": service.model_copy(update={"run_mode": RunMode.READ_ONLY}),
    }[missing]
    scene.desk.services["checkout"] = changed  # type: ignore[index]
    run = scene.run(Stage.CONTAIN)

    assert Outcome.REFUSED is run.outcome
    assert scene.said(run).startswith("Not offered: ")
    assert [] == scene.desk.rollouts.open_rollouts()


def test_a_recent_change_queues_the_offer_before_the_diagnosis(scene: Scene) -> None:
    """Planning the way back takes a second; behind a diagnosis it would come minutes late."""
    _end(scene, Stage.TRIAGE, Outcome.RECENT_CHANGE)

    assert [Stage.CONTAIN, Stage.DIAGNOSE] == _queued(scene)


def test_no_safe_patch_offers_the_way_back_beside_the_escalation(scene: Scene) -> None:
    _end(scene, Stage.PATCH, Outcome.NONE_SAFE)

    assert [Stage.CONTAIN, Stage.ESCALATE] == _queued(scene)[-2:]


def test_users_who_are_no_longer_hurt_are_offered_no_way_back(scene: Scene) -> None:
    scene.desk.incidents.mitigated(scene.incident.number, OPERATOR, "feature off")
    _end(scene, Stage.PATCH, Outcome.NONE_SAFE)

    assert Stage.CONTAIN not in _queued(scene)


def _end(scene: Scene, stage: Stage, outcome: Outcome) -> None:
    claimed = scene.desk.stages.claim(
        scene.desk.stages.queue_stage(scene.incident.number, stage).id, "w", LEASE
    )
    assert claimed is not None
    scene.desk.stages.finish(claimed.run.id, claimed.run.fence, Ending(outcome))


def _queued(scene: Scene) -> list[Stage]:
    return [
        run.stage
        for run in scene.desk.incidents.runs(scene.incident.number)
        if run.state is RunState.READY
    ]


def asked(scene: Scene) -> Message:
    """Offer the way back and return the question's message."""
    run = scene.offered()
    desk = scene.desk
    access = Access(desk.services, chat_configured=False)
    gathering = Gathering(
        desk.incidents,
        desk.timeline,
        desk.stages,
        desk.approvals,
        desk.rollouts,
        lambda: access,
        desk.store.now,
    )
    subject = f"approval-{scene.question(run).id}"
    entry = next(e for e in desk.timeline.entries(scene.incident.number) if e.subject == subject)
    return render.message(entry, gathering.context(entry))


def test_the_question_says_yes_no_silence_and_what_would_be_missing(scene: Scene) -> None:
    said = asked(scene)

    assert "Redeploy the last good version?" == said.headline
    yes, no, silence, missing, people = said.lines
    assert f"production returns to `{scene.code.good[:7]}` in steps 10, 50, 100 %" in yes
    assert "nothing moves. Either way the diagnosis goes on" in no
    assert silence.endswith(":** the same as no.")
    assert f"What would be missing: {scene.code.bad[:7]} breaks." in missing
    assert "returning to the broken one" in missing
    assert "May answer: web:operator." == people
    assert ["Redeploy the last good version", "Stay as it is"] == [b.label for b in said.buttons]


@pytest.fixture
def emergency(scene: Scene) -> Scene:
    """The same, said to be an emergency; nobody has found out since when it fails."""
    scene.incident = scene.desk.incidents.declare_emergency(scene.incident.number, OPERATOR)
    return scene


def test_an_emergency_is_stabilised_and_diagnosed_at_once(place: Place) -> None:
    with place.opened() as desk:
        incident = open_incident(desk, severity=Severity.P0, emergency=True)

        assert {Stage.CONTAIN, Stage.DIAGNOSE} == {
            one.stage for one in desk.incidents.runs(incident.number)
        }


def test_an_emergency_offers_the_way_back_as_soon_as_a_deploy_lies_before_it(
    emergency: Scene,
) -> None:
    assert Act.REDEPLOY is emergency.question(emergency.offered()).act


def test_an_emergency_without_a_deploy_before_it_waits_for_the_diagnosis(emergency: Scene) -> None:
    desk, number = emergency.desk, emergency.incident.number
    desk.incidents.set_onset(number, emergency.clock() + timedelta(minutes=40))
    run = emergency.run(Stage.CONTAIN)

    assert Outcome.REFUSED is run.outcome
    assert "within 10 minutes" in emergency.said(run)


def test_ten_minutes_without_a_diagnosis_offer_it_all_the_same(emergency: Scene) -> None:
    number = emergency.incident.number
    emergency.desk.incidents.set_onset(number, emergency.clock() + timedelta(minutes=40))
    emergency.host.per_second = 1.0  # nothing depends on what the users ask meanwhile
    emergency.clock.by = timedelta(minutes=10)

    assert Act.REDEPLOY is emergency.question(emergency.offered()).act


def test_the_question_names_the_command_and_what_could_be_done_instead(emergency: Scene) -> None:
    calm = {"run": ["/bin/true"], "risk": "Slower pages."}
    emergency.configure(mitigations={"calm": calm})
    said = " ".join(asked(emergency).lines)

    assert "By hand: `" in said
    assert "/incident mitigate calm" in said


def test_without_a_way_back_an_emergency_names_the_mitigations(emergency: Scene) -> None:
    calm = {"run": ["/bin/true"], "risk": "Slower pages."}
    emergency.configure(mitigations={"calm": calm}, run_mode="read_only")
    emergency.run(Stage.CONTAIN)

    after = emergency.desk.incidents.get(emergency.incident.number)
    assert "`/incident mitigate calm` (Slower pages.)" in str(after.needs_human)
