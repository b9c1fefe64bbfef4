"""What one person is told in Slack where others do not see it: text, and buttons beneath it.

Pure. Called by `bot.slack.acts`. Every leaf is escaped: what a title says pings nobody.
"""

import re

from bot.said import Said
from bot.slack.place import action_id
from incidents.models import Json

LINE = "line"  # the command of a button that says a whole line, its value
FORM = "form"  # the command of the button, and the callback of the form, that opens an incident
LONGEST = 2900
MOST_BUTTONS = 5
_ESCAPED = re.compile(r"\\(&(?:amp|lt|gt);|[\\`*_\[\]|#@!~])")
_STRONG = re.compile(r"\*\*([^*]+)\*\*")


def escape(text: str) -> str:
    """Return a leaf that Slack shows as it is: no mention, no link, no channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def mrkdwn(text: str) -> str:
    """Return one of our own sentences (Markdown) as Slack draws it."""
    parts = re.split(r"((?<!\\)`[^`]*`)", text)
    drawn = [
        escape(part) if place % 2 else _ESCAPED.sub(r"\1", _STRONG.sub(r"*\1*", escape(part)))
        for place, part in enumerate(parts)
    ]
    whole = "".join(drawn)
    return whole if len(whole) <= LONGEST else f"{whole[:LONGEST].rstrip()} …"


def answer(said: Said, *, with_form: bool = False) -> tuple[str, list[Json]]:
    """Return the text and the blocks of an answer; `with_form` for newcomers."""
    text = mrkdwn(said.text if said.accepted else f"Not done. {said.text}")
    if said.try_this:
        text += f"\nType instead: `{escape(said.try_this)}`"
    blocks: list[Json] = [{"type": "section", "text": {"type": "mrkdwn", "text": text}}]
    pressed = [button(*one) for one in said.choices[:MOST_BUTTONS]]
    if with_form:
        pressed.append(form_button())
    if pressed:
        blocks.append({"type": "actions", "elements": pressed})
    return text, blocks


def button(label: str, line: str) -> Json:
    """Return a button that says a line when it is pressed."""
    return {
        "type": "button",
        "text": {"type": "plain_text", "text": label[:75]},
        "action_id": action_id(f"{LINE}:{label[:40]}"),  # unlike its neighbours'
        "value": line[:2000],
    }


def form_button() -> Json:
    """Return the button that opens the form for a new incident."""
    return {
        "type": "button",
        "style": "primary",
        "text": {"type": "plain_text", "text": "Open an incident"},
        "action_id": action_id(FORM),
        "value": FORM,
    }
