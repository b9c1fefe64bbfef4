"""The pieces of an incident's page, drawn from facts and posts: the page shows them, the stream
sends the ones that changed. Pure but for the templates.

Called by `bot.web.live` and `bot.web.app`. A piece is replaced whole, by its id `part-<name>`.
"""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from bot.port import Message
from bot.web import figure, pages, port, seen, view
from bot.web.facts import Facts
from incidents.approvals import TAKES_ANSWERS
from incidents.models import Answer, Approval, ApprovalState, Incident, Person
from incidents.policy import Access
from incidents.posts import Post

YES_STATES = (ApprovalState.GRANTED, ApprovalState.USED)
SAID: dict[ApprovalState, str] = {
    ApprovalState.ASKED: "",
    ApprovalState.GRANTED: "Approved by {who} at {at}",
    ApprovalState.USED: "Approved by {who} at {at}, and done",
    ApprovalState.REFUSED: "Refused by {who} at {at}",
    ApprovalState.WITHDRAWN: "The yes was withdrawn",
    ApprovalState.EXPIRED: "Nobody answered in time",
    ApprovalState.SUPERSEDED: "Replaced by a newer question",
}


def beside(
    facts: Facts, questions: Mapping[str, Message], person: Person, access: Access
) -> dict[str, Markup]:
    """Return everything beside the thread for one reader, by the name of its place."""
    incident, now = facts.incident, facts.now
    asked = view.asked(facts, questions, person, access)
    gates, needed = view.gates(facts)
    return {
        "card": pages.render(
            "card",
            incident=incident,
            tone=view.TONES[incident.status],
            since=incident.onset or incident.opened_at,
            over=view.over(incident),
            rate=view.rate(facts),
            doing=view.doing(facts),
            asked=asked,
            now=now,
        ),
        "ask": pages.render("ask", asked=asked, incident=incident, now=now),
        "clocks": pages.render("clocks", bars=view.bars(facts.clocks)),
        "chart": pages.render("chart", chart=figure.svg(facts)),
        "gate": pages.render("gate", gates=gates, needed=needed),
        "people": pages.render(
            "people",
            incident=incident,
            cost=facts.cost,
            approvers=view.approvers(facts, access),
            commands=view.take_back(facts),
            items=facts.items,
            now=now,
        ),
    }


def listing(incidents: Sequence[Incident], current: str | None) -> Markup:
    """Return the list of incidents."""
    return pages.render("list", incidents=incidents, current=current, tones=view.TONES)


def post(row: Post, approval: Approval | None, facts: Facts, person: Person) -> Markup:
    """Return one message of the thread for one reader."""
    message = port.from_json(row.message)
    return pages.render(
        "post",
        post=row,
        message=message,
        at=message.at or row.posted_at,
        votes=Markup() if approval is None else votes(approval, facts, person),
        seen="" if approval is None else seen.of(approval),
        incident=facts.incident,
        now=facts.now,
    )


def votes(approval: Approval, facts: Facts, person: Person) -> Markup:
    """Return the reactions of a question: who said what, and what a click does."""
    who = approval.decided_by
    last: tuple[Person, ...] = (who,) if who else ()
    plain = Person(person.platform, person.user)
    yes = last if approval.state in YES_STATES else ()
    yes = approval.agreed or yes  # of a quorum: whoever has said it, enough or not
    no = last if approval.state is ApprovalState.REFUSED else ()
    by = " and ".join(map(str, no or yes))
    at = pages.clock(approval.decided_at, facts.now) if approval.decided_at else ""
    return pages.render(
        "votes",
        approval=approval,
        seen=seen.of(approval),
        incident=facts.incident,
        votes=(
            (Answer.YES.value, "Yes", yes, plain in yes),
            (Answer.NO.value, "No", no, plain in no),
        ),
        open=approval.state in TAKES_ANSWERS,
        withdrawable=approval.state is ApprovalState.GRANTED,
        outcome=SAID[approval.state].format(who=by, at=at),
    )
