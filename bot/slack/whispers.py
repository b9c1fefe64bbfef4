"""What one person is told in Slack where others do not see it: text, and buttons beneath it.

Pure. Called by `bot.slack.acts`. Every leaf is escaped: what a title says pings nobody.
"""

from bot.said import Said
from bot.slack import mrkdwn
from bot.slack.place import action_id
from incidents.models import Json

LINE = "line"  # the command of a button that says a whole line, its value
FORM = "form"  # the command of the button, and the callback of the form, that opens an incident
MOST_SECTIONS = 10
MOST_TEXT = 3800  # of the text that stands for the blocks
MOST_BUTTONS = 5


def answer(said: Said, *, with_form: bool = False) -> tuple[str, list[Json]]:
    """Return the text and the blocks of an answer; `with_form` for newcomers."""
    whole = said.text if said.accepted else f"Not done. {said.text}"
    texts = mrkdwn.sections(mrkdwn.pieces(whole))[:MOST_SECTIONS]
    if said.try_this:
        texts.append(f"Type instead: `{mrkdwn.leaf(said.try_this)}`")
    blocks: list[Json] = [
        {"type": "section", "text": {"type": "mrkdwn", "text": text}} for text in texts
    ]
    pressed = [button(*one) for one in said.choices[:MOST_BUTTONS]]
    if with_form:
        pressed.append(form_button())
    if pressed:
        blocks.append({"type": "actions", "elements": pressed})
    return "\n".join(texts)[:MOST_TEXT], blocks


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
