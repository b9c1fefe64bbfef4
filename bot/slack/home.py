"""The app home: the incidents that are open, as the one who looks may see them, and two buttons.

Pure. Called by `bot.slack.acts` when somebody opens the home of the app.
"""

from collections.abc import Sequence

from bot.slack.mrkdwn import escape
from bot.slack.whispers import button, form_button
from incidents.models import Incident, Json, Person, Platform

MOST = 40  # of a home's 100 blocks, two for each incident
NONE = "Nothing is broken that anyone has said. `/incident P1 checkout failing` opens an incident."


def view(incidents: Sequence[Incident]) -> Json:
    """Return the view for `views.publish`."""
    blocks: list[Json] = [
        {"type": "header", "text": {"type": "plain_text", "text": "Open incidents"}},
        {"type": "actions", "elements": [form_button()]},
    ]
    for one in incidents[:MOST]:
        blocks += _incident(one)
    if len(incidents) > MOST:
        blocks.append(_text(f"{len(incidents) - MOST} more: `/incident list`."))
    if not incidents:
        blocks.append(_text(NONE))
    return {"type": "home", "blocks": blocks}


def _incident(one: Incident) -> list[Json]:
    needs = "\n:raised_hand: " + escape(one.needs_human) if one.needs_human else ""
    who = f" · commander {_named(one.commander)}" if one.commander else ""
    told = f"*{one.id}* {one.severity} {one.status}{who}\n{escape(one.title)}{needs}"
    return [
        _text(told[:2900]),
        {
            "type": "actions",
            "elements": [
                button(f"Status of {one.id}", f"/incident status {one.id}"),
                button(f"I have seen {one.id}", f"/incident ack {one.id}"),
            ],
        },
    ]


def _named(person: Person) -> str:
    return f"<@{person.user}>" if person.platform is Platform.SLACK else escape(str(person))


def _text(text: str) -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}
