"""The one road of what people say: allowed, refused, in the wrong state, and once."""

import threading
from collections.abc import Callable

import pytest

from bot import recovery
from bot.said import Said
from incidents import crash
from incidents.approvals import Expected
from incidents.inbox import Inbox
from incidents.models import (
    Act,
    Answer,
    ApprovalState,
    EntryKind,
    Incident,
    Outcome,
    Person,
    Platform,
    Severity,
    Stage,
    Status,
    Verdict,
)
from incidents.stages import Ending
from tests.bot.office import APPROVER, GUEST, RESPONDER, STRANGER, Office, review

BOT = Person(Platform.WEB, "robot", bot=True)
RESPONDERS_ONLY = (
    "own",
    "severity P1",
    "changed flag x on",
    "mitigated switched",
    "escalate",
    "resolve",
    "cancel",
)


def say(office: Office, line: str, person: Person = RESPONDER, key: str = "") -> Said:
    thread = "INC-1" if office.bot.room.incidents.list(live_only=False) else None
    return office.bot.commands.say(f"/incident {line}", person, thread, key or f"{person} {line}")


def kinds(office: Office, incident: Incident) -> list[EntryKind]:
    return [entry.kind for entry in office.bot.room.timeline.entries(incident.number)]


def test_anyone_opens_an_incident(office: Office) -> None:
    said = say(office, "P0 checkout failing", STRANGER)

    assert Said("INC-1 is open as P0: checkout failing", True, "INC-1") == said
    assert "checkout" == office.bot.room.incidents.get(1).service


def test_the_emergency_path_skips_triage(office: Office) -> None:
    say(office, "P0! checkout failing")

    runs = office.bot.room.incidents.runs(1)
    assert [Stage.CONTAIN, Stage.DIAGNOSE] == [run.stage for run in runs]


@pytest.mark.parametrize("person", [GUEST, BOT])
@pytest.mark.parametrize(
    "line", ["P0 checkout failing", "note x", "ack", "status", "list", *RESPONDERS_ONLY, "close"]
)
def test_guests_and_bots_may_do_nothing(office: Office, line: str, person: Person) -> None:
    incident = office.open()
    before = kinds(office, incident)

    said = say(office, line, person)

    assert not said.accepted
    assert before == kinds(office, incident)
    assert 1 == len(office.bot.room.incidents.list())


@pytest.mark.parametrize("line", RESPONDERS_ONLY)
def test_who_is_no_responder_changes_nothing_and_hears_why(office: Office, line: str) -> None:
    incident = office.open()
    before = kinds(office, incident)

    said = say(office, line, STRANGER)

    assert not said.accepted
    assert "responders" in said.text
    assert before == kinds(office, incident)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("note cache is cold", EntryKind.NOTE),
        ("ack", EntryKind.STATUS),
        ("own", EntryKind.OWNER),
        ("severity P1", EntryKind.SEVERITY),
        ("changed flag new-tax on", EntryKind.CHANGE),
        ("mitigated provider switched", EntryKind.STATUS),
        ("escalate nobody answers", EntryKind.NOTE),
        ("resolve", EntryKind.STATUS),
        ("cancel false alarm", EntryKind.STATUS),
    ],
)
def test_a_responder_acts_once_per_key(office: Office, line: str, kind: EntryKind) -> None:
    incident = office.open()

    first, second = (say(office, line, key="one") for _ in range(2))

    assert first.accepted
    assert first == second
    assert 1 == kinds(office, incident).count(kind)


def test_what_was_answered_in_an_earlier_life_is_not_done_again(office: Office) -> None:
    incident = office.open()
    say(office, "note cache is cold", key="one")
    later = Office(office.folder, office.clock)

    said = say(later, "note cache is cold", key="one")

    assert Said("That was done already.", True, "INC-1") == said
    assert 1 == kinds(office, incident).count(EntryKind.NOTE)
    later.store.close()


def test_the_same_key_opens_the_same_incident_in_any_life(office: Office) -> None:
    def opened(where: Office) -> Said:
        return where.bot.commands.say("/incident P0 checkout failing", RESPONDER, None, "one")

    first = opened(office)
    later = Office(office.folder, office.clock)

    assert first == opened(later)
    assert 1 == len(office.bot.room.incidents.list())
    later.store.close()


def test_a_double_click_at_the_same_moment_is_one_act(office: Office) -> None:
    incident = office.open()
    start = threading.Barrier(8)
    answers: list[Said] = []

    def click() -> None:
        start.wait()
        answers.append(say(office, "note cache is cold", key="one"))

    clicks = [threading.Thread(target=click) for _ in range(8)]
    for one in clicks:
        one.start()
    for one in clicks:
        one.join()

    assert [Said("Noted.", True, "INC-1")] * 8 == answers
    assert 1 == kinds(office, incident).count(EntryKind.NOTE)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("approve", "asks nothing"),
        ("refuse", "asks nothing"),
        ("break-glass INC-1 now", "asks nothing"),
        ("hold", "no rollout"),
        ("rollback", "no rollout"),
        ("close", "cannot become closed"),
        ("reopen", "cannot become reopened"),
        ("publish", "no review"),
        ("note INC-99 x", "INC-99"),
        ("status INC-99", "INC-99"),
    ],
)
def test_an_act_in_the_wrong_state_says_so(office: Office, line: str, why: str) -> None:
    office.open()

    said = say(office, line)

    assert not said.accepted
    assert why in said.text


@pytest.mark.parametrize("line", ["mitigated x", "resolve", "cancel"])
def test_what_has_ended_takes_no_further_end(office: Office, line: str) -> None:
    office.open()
    say(office, "cancel", key="first")

    assert not say(office, line, key="second").accepted


def test_the_whole_life_by_command(office: Office) -> None:
    office.open()

    for line in ("mitigated switched", "resolve done", "close", "reopen it is back"):
        assert say(office, line).accepted, line

    assert Status.REOPENED is office.bot.room.incidents.get(1).status


def test_a_change_without_a_kind_is_one_of_infrastructure(office: Office) -> None:
    office.open()
    say(office, "changed the cache was cleared")
    say(office, "changed flag new-tax on")

    found = office.bot.room.incidents.changes("checkout", office.clock())

    assert [("infra", "the cache was cleared"), ("flag", "new-tax on")] == [
        (change.kind.value, change.note) for change in found
    ]


@pytest.mark.parametrize(("line", "act"), [("hold", Act.HOLD), ("rollback", Act.TAKE_BACK)])
def test_traffic_is_asked_for_never_moved(office: Office, line: str, act: Act) -> None:
    rollout = office.rollout(office.open())

    assert say(office, line).accepted
    assert act is office.bot.room.rollouts.get(rollout.id).request


def test_a_stranger_cannot_hold(office: Office) -> None:
    rollout = office.rollout(office.open())

    assert not say(office, "hold", STRANGER).accepted
    assert office.bot.room.rollouts.get(rollout.id).request is None


@pytest.mark.parametrize(
    ("person", "line", "state"),
    [
        (APPROVER, "approve", ApprovalState.GRANTED),
        (RESPONDER, "approve", ApprovalState.ASKED),
        (STRANGER, "approve", ApprovalState.ASKED),
        (RESPONDER, "refuse", ApprovalState.REFUSED),
        (STRANGER, "refuse", ApprovalState.ASKED),
        (RESPONDER, "break-glass INC-1 no approver answers", ApprovalState.GRANTED),
        (RESPONDER, "break-glass no approver answers", ApprovalState.ASKED),
        (RESPONDER, "break-glass INC-1", ApprovalState.ASKED),
        (STRANGER, "break-glass INC-1 no approver answers", ApprovalState.ASKED),
    ],
)
def test_who_may_answer_a_question(
    office: Office, person: Person, line: str, state: ApprovalState
) -> None:
    asked = office.ask(office.open())

    said = say(office, line, person)

    assert (state is not ApprovalState.ASKED) == said.accepted
    assert state is office.bot.room.approvals.get(asked).state


def test_a_vote_counts_once_and_can_be_taken_back(office: Office) -> None:
    asked = office.ask(office.open())
    commands = office.bot.commands

    votes = [commands.vote(asked, APPROVER, Answer.YES, "one") for _ in range(2)]
    back = commands.withdraw(asked, APPROVER, "two")

    assert [Said("Approved.", True, "INC-1")] * 2 == votes
    assert Said("Your yes is withdrawn; nothing moves.", True, "INC-1") == back
    assert ApprovalState.WITHDRAWN is office.bot.room.approvals.get(asked).state


def test_a_vote_on_nothing_is_a_sentence(office: Office) -> None:
    said = office.bot.commands.vote("nope", APPROVER, Answer.YES, "one")

    assert not said.accepted
    assert "nope" in said.text


def test_a_likely_cause_can_be_approved(office: Office) -> None:
    office.ask(office.open(), verdict=Verdict.LIKELY)

    assert say(office, "approve", APPROVER).accepted


def test_the_review_is_published_as_edited(office: Office) -> None:
    incident = office.open()
    for line in ("mitigated x", "resolve"):
        say(office, line)
    report = review().model_dump(mode="json")
    office.run_stage(incident, Ending(Outcome.DONE, report=report))

    said = office.bot.commands.publish("INC-1", "# Ours", RESPONDER, "one")

    assert said.accepted
    last = office.bot.room.timeline.entries(1)[-1]
    assert (EntryKind.PUBLISHED, {"text": "# Ours"}) == (last.kind, last.content)


def test_a_private_incident_is_not_there_for_others(office: Office) -> None:
    office.open("checkout leaks", private=True)

    said = say(office, "status", STRANGER)

    assert Said("There is no incident INC-1.", False, "INC-1") == said
    assert "INC-1" not in say(office, "list", STRANGER).text
    assert "leaks" in say(office, "list", RESPONDER).text


def test_status_and_list_and_help_change_nothing(office: Office) -> None:
    incident = office.open()
    before = kinds(office, incident)

    answers = [say(office, line).text for line in ("status", "list", "help", "help hold")]

    assert "Looking at what fails" in answers[0]
    assert "**INC-1** P0 open: checkout failing" in answers[1]
    assert "`/incident rollback`" in answers[2]
    assert answers[3].startswith("`/incident hold`")
    assert before == kinds(office, incident)


def test_a_misunderstood_line_is_not_kept(office: Office) -> None:
    said = say(office, "stauts")

    assert (False, "/incident status") == (said.accepted, said.try_this)
    assert [] == Inbox(office.store).undone()


def test_a_database_that_does_not_answer_is_a_sentence(office: Office) -> None:
    office.open()
    (office.folder / "halon.db").rename(office.folder / "gone.db")
    office.store.close()

    said = say_in_thread(office, "note cache is cold")

    assert not said.accepted
    assert "halon up" in said.text


def say_in_thread(office: Office, line: str) -> Said:
    return office.bot.commands.say(f"/incident {line}", RESPONDER, "INC-1", "one")


def _note(office: Office) -> None:
    say(office, "note cache is cold", key="one")


def _severity(office: Office) -> None:
    say(office, "severity P3", key="one")


def _vote(office: Office) -> None:
    (asked,) = office.bot.room.approvals.pending(1)
    office.bot.commands.vote(asked.id, APPROVER, Answer.YES, "one")


def _vote_for_what_was_seen(office: Office) -> None:
    (asked,) = office.bot.room.approvals.pending(1)
    saw = Expected(asked.patch_digest, asked.plan_hash, asked.rollout, asked.scope)
    office.bot.commands.vote(asked.id, APPROVER, Answer.YES, "one", saw)


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (_note, EntryKind.NOTE),
        (_severity, EntryKind.SEVERITY),
        (_vote, EntryKind.APPROVED),
        (_vote_for_what_was_seen, EntryKind.APPROVED),
    ],
)
@pytest.mark.parametrize("point", ["act.received", "act.done"])
def test_a_crash_around_an_act_neither_loses_nor_doubles_it(
    office: Office, act: Callable[[Office], None], kind: EntryKind, point: str
) -> None:
    incident = office.open()
    office.ask(incident)
    crash.arm(point, crash.raise_crash)
    with pytest.raises(crash.Crash):
        act(office)
    crash.disarm()
    later = Office(office.folder, office.clock)

    assert 1 == recovery.recover(later.bot.commands, later.bot.inbox)
    assert 1 == kinds(office, incident).count(kind)
    assert [] == later.bot.inbox.undone()
    assert (
        Severity.P3 is office.bot.room.incidents.get(1).severity or kind is not EntryKind.SEVERITY
    )
    later.store.close()


def test_another_plan_is_taken_and_approved_in_one_word(office: Office) -> None:
    _, rollout, asked = office.thin()
    approvals, rollouts = office.bot.room.approvals, office.bot.room.rollouts

    assert say(office, "approve longer", APPROVER).accepted

    changed = rollouts.get(rollout.id)
    newest = approvals.of_rollout(rollout.id)[-1]
    assert 1260.0 == changed.plan["phases"][0]["bake_seconds"]
    assert changed.plan_hash == newest.plan_hash != rollout.plan_hash
    assert (ApprovalState.GRANTED, "10") == (newest.state, newest.scope)
    assert newest == approvals.granted(rollout.id, "10", "10")  # the controller's own question
    assert ApprovalState.SUPERSEDED is approvals.get(asked).state


@pytest.mark.parametrize(
    ("person", "line"), [(RESPONDER, "approve longer"), (APPROVER, "approve larger")]
)
def test_nobody_elses_word_and_no_other_offer_changes_a_plan(
    office: Office, person: Person, line: str
) -> None:
    _, rollout, asked = office.thin()

    assert not say(office, line, person).accepted

    assert rollout.plan_hash == office.bot.room.rollouts.get(rollout.id).plan_hash
    assert ApprovalState.ASKED is office.bot.room.approvals.get(asked).state


def test_a_plan_that_is_under_way_is_not_changed(office: Office) -> None:
    incident = office.open()
    rollout = office.rollout(incident)
    office.ask(incident, rollout)

    assert "before the start" in say(office, "approve longer", APPROVER).text
    assert rollout.plan_hash == office.bot.room.rollouts.get(rollout.id).plan_hash
