"""What a worker that was taken over may try: it writes to the database and has no approval key."""

import json
from typing import Any

import pytest

from incidents import approvals, errors
from incidents.approvals import Question
from incidents.models import (
    MACHINE,
    Act,
    Answer,
    EntryKind,
    Outcome,
    Person,
    Platform,
    RolloutState,
    Stage,
    Verdict,
)
from incidents.policy import OPERATOR
from incidents.reports import Diagnosis
from incidents.stages import Ending
from rollout import wiring
from tests.workers.desks import Place, voting
from tests.workers.rollings import FENCE, LEASE, Rolling, rolling

S = RolloutState


def write(made: Rolling, statement: str, *values: Any) -> None:
    with made.desk.store.write() as tx:
        tx.connection.exec_driver_sql(statement, values)


def begin(made: Rolling, kind: str) -> None:
    """Write down a step as if the controller had begun it."""
    content = {
        "seen": "the next phase is approved",
        "reason": "",
        "phase": 10,
        "to": None,
        "next_percent": None,
        "gate": None,
        "call_people": False,
        "request": None,
    }
    at = made.desk.store.now().isoformat(sep=" ").removesuffix("+00:00")
    write(
        made,
        "INSERT INTO rollout_event (rollout, sequence, at, kind, content) VALUES (?, 99, ?, ?, ?)",
        made.id, at, kind, json.dumps(content),
    )  # fmt: skip


def ticks(made: Rolling, count: int = 5) -> None:
    for _ in range(count):
        made.tick()


def troubles(made: Rolling) -> int:
    entries = made.desk.timeline.entries(made.incident.number)
    return sum(entry.kind is EntryKind.TROUBLE for entry in entries)


@pytest.mark.parametrize(
    ("state", "kind"),
    [("preparing", "prepare"), ("baking", "shift"), ("promoting", "promote"), ("done", "finish"),
     ("taking back", "take back")],
)  # fmt: skip
def test_a_state_that_the_controller_did_not_write_moves_nothing(
    place: Place, state: str, kind: str
) -> None:
    with rolling(place) as made:
        main = made.code.repository.git("ls-remote", str(place.root / "origin.git"), "main")
        write(made, "UPDATE rollout SET state = ?, phase = 10", S(state).value)
        begin(made, kind)

        ticks(made)

        assert (0, made.code.bad) == (made.host.obeying["fence"], made.host.stable)
        assert 1 == troubles(made)
        assert main == made.code.repository.git("ls-remote", str(place.root / "origin.git"), "main")


def test_a_phase_that_was_written_past_the_controller_gets_no_traffic(place: Place) -> None:
    with rolling(place) as made:
        made.bake()
        made.until_so(lambda: made.did()[-1] == "step done", "done")
        write(made, "UPDATE rollout SET phase = 100")
        begin(made, "shift")

        ticks(made)

        assert 10 == made.host.weight


def test_a_way_back_that_was_changed_leads_nowhere(place: Place) -> None:
    with rolling(place) as made:
        made.bake()
        write(made, "UPDATE rollout SET last_good_revision = ?", made.code.fixed)
        made.desk.rollouts.request(made.id, Act.TAKE_BACK, MACHINE)

        ticks(made)

        assert made.code.fixed != made.host.stable
        assert made.code.fixed not in made.lease_file().read_text("utf-8")


def planned_again(made: Rolling, **plan: Any) -> None:
    """Replace the plan and its question, as a worker may before anybody answered."""
    changed = {**made.rollout.plan, **plan}
    digest = approvals.digest(changed)
    write(
        made,
        "UPDATE rollout SET plan = ?, plan_hash = ?, revision = ?",
        json.dumps(changed), digest, changed["revision"],
    )  # fmt: skip
    ask(made)


def ask(made: Rolling, **values: Any) -> None:
    rollout = made.rollout
    question = {
        "incident": made.incident.number,
        "service": "checkout",
        "act": Act.START,
        "scope": "10",
        "patch_digest": rollout.patch_digest,
        "plan_hash": rollout.plan_hash,
        "key": "asked by the worker",
        "rollout": rollout.id,
    }
    made.desk.approvals.ask(Question(**{**question, **values}))


def test_a_commit_that_is_not_the_patch_that_people_read_is_never_started(place: Place) -> None:
    with rolling(place) as made:
        made.code.repository.git("checkout", "--quiet", "fix")
        evil = made.code.repository.commit("mends", {"pay.py": "fee = 1\n", "x.py": "steal()\n"})
        made.code.repository.git("push", "--quiet", str(place.root / "origin.git"), "fix")
        planned_again(made, revision=evil)
        made.answer()

        ticks(made)

        assert 0 == made.host.obeying["fence"]
        assert 1 == troubles(made)


def test_a_patch_on_a_base_that_was_never_released_is_never_started(place: Place) -> None:
    with rolling(place) as made:
        repository = made.code.repository
        repository.git("checkout", "--quiet", "--detach", made.code.bad)
        base = repository.commit("hidden", {"x.py": "steal()\n"})
        evil = repository.commit("mends", {"pay.py": "fee = 1\n"})
        repository.git("push", "--quiet", str(place.root / "origin.git"), f"{evil}:refs/heads/x")
        tree = repository.git("rev-parse", f"{evil}^{{tree}}")
        forged = made.code.patch.model_copy(update={"base": base, "tree": tree})
        report(made, Stage.PATCH, Outcome.PATCHED, forged.model_dump(mode="json"))
        planned_again(made, revision=evil)
        made.answer()

        ticks(made)

        assert 0 == made.host.obeying["fence"]


def report(made: Rolling, stage: Stage, outcome: Outcome, content: Any) -> None:
    queued = made.desk.stages.queue_stage(made.incident.number, stage)
    claimed = made.desk.stages.claim(queued.id, "w2", LEASE)
    assert claimed is not None
    made.desk.stages.finish(claimed.run.id, claimed.run.fence, Ending(outcome, report=content))


def test_the_row_may_not_say_another_revision_than_the_plan(place: Place) -> None:
    with rolling(place) as made:
        write(made, "UPDATE rollout SET last_good_revision = ?", made.code.fixed)
        made.answer()

        ticks(made)

        assert 0 == made.host.obeying["fence"]


def test_a_question_about_a_harmless_act_starts_nothing(place: Place) -> None:
    """Everybody may say yes to a note; that yes carries the seal, too."""
    with rolling(place) as made:
        ask(made, act=Act.NOTE)
        asked = made.desk.approvals.pending(made.incident.number)[-1]
        anyone = Person(Platform.WEB, "anyone")
        assert voting(made.desk).decide(asked.id, anyone, Answer.YES, None, "e").accepted

        ticks(made)

        assert 0 == made.host.obeying["fence"]


def test_a_question_about_another_service_starts_nothing(place: Place) -> None:
    with rolling(place) as made:
        ask(made, service="blog")
        made.answer()

        ticks(made)

        assert 0 == made.host.obeying["fence"]


def confirmed(made: Rolling, **patch: Any) -> None:
    """Let the worker say that the cause is proved, and how it takes it back."""
    found = Diagnosis(
        engine="builtin",
        verdict=Verdict.CONFIRMED,
        summary="a commit broke it",
        revision=made.code.bad,
        culprit=made.code.bad,
    )
    report(made, Stage.DIAGNOSE, Outcome.CONFIRMED, found.model_dump(mode="json"))
    fix = made.code.patch.model_copy(update={"culprit": made.code.bad, **patch})
    report(made, Stage.PATCH, Outcome.PATCHED, fix.model_dump(mode="json"))


def test_a_leader_that_was_stopped_in_a_command_is_not_obeyed_after_the_next_one_came(
    place: Place,
) -> None:
    with rolling(place) as made:
        made.bake()
        stopped = wiring.deployer(made.desk.service("checkout"), made.desk.folder)
        made.desk.rollouts.request(made.id, Act.HOLD, OPERATOR)
        made.new_controller()
        for _ in range(5):
            made.traffic.tick(made.id, FENCE + 1)
        assert S.HELD is made.state

        with pytest.raises(errors.StaleFence):
            stopped.set_weight(50, str(FENCE))

        assert 10 == made.host.weight


def test_where_gates_decide_alone_a_commit_taken_back_needs_nobody(place: Place) -> None:
    with rolling(place, run_mode="auto") as made:
        confirmed(made)

        made.until(S.BAKING)
        made.until_so(lambda: made.host.weight == 10, "at 10 %")


def test_where_gates_decide_alone_a_protected_path_waits_for_people(place: Place) -> None:
    with rolling(place, run_mode="auto", protected=["*.py"]) as made:
        confirmed(made)

        ticks(made)

        assert 0 == made.host.obeying["fence"]
        assert 1 == troubles(made)


def test_where_gates_decide_alone_what_only_calls_itself_a_revert_waits_for_people(
    place: Place,
) -> None:
    with rolling(place, run_mode="auto") as made:
        confirmed(made, culprit=made.code.good)

        ticks(made)

        assert 0 == made.host.obeying["fence"]
        assert 1 == troubles(made)
