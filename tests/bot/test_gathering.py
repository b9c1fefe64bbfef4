"""Who is called by what: those who must act, and again only if they did not."""

from datetime import timedelta

from bot import render
from incidents.models import MACHINE, Answer, EntryKind, Stage
from incidents.timeline import Draft
from tests.bot.office import APPROVER, RESPONDER, Office


def calls(office: Office) -> tuple[str, ...]:
    """Whom the newest message calls."""
    gathering = office.bot.poster.gathering
    entry = gathering.timeline.entries(1)[-1]
    return render.message(entry, gathering.context(entry)).calls


def overdue(office: Office) -> None:
    content = {"stage": Stage.DEPLOY.value, "twice": False}
    office.bot.room.timeline.append(1, Draft(EntryKind.OVERDUE, content), MACHINE)


def test_a_question_calls_its_approvers_and_an_answered_one_nobody(office: Office) -> None:
    asked = office.ask(office.open())
    assert ("web:ada",) == calls(office)

    office.bot.room.approvals.decide(asked, APPROVER, Answer.YES, None, "one")
    assert () == calls(office)


def test_news_call_nobody(office: Office) -> None:
    office.open()
    office.bot.room.incidents.note(1, RESPONDER, "news")

    assert () == calls(office)


def test_a_late_answer_calls_the_approvers_again(office: Office) -> None:
    office.ask(office.open())
    office.clock.move(timedelta(minutes=16).total_seconds())
    overdue(office)

    assert ("web:ada",) == calls(office)


def test_a_late_stage_calls_the_commander_and_without_one_the_responders(office: Office) -> None:
    office.open()
    overdue(office)
    assert ("web:rita",) == calls(office)

    office.bot.room.incidents.own(1, APPROVER)
    office.bot.room.incidents.needs_human(1, "Look at the payment provider")
    assert ("web:ada",) == calls(office)
