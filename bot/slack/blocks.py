"""A message as Slack's blocks, within a budget that Slack has never refused.

Pure. Called by `bot.slack.port`, which sends what is drawn here and uploads the files beside it.
The news comes first, then the lines of why, then a diff or an excerpt; what is larger is a file.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.port import Button, File, Message, Tone
from bot.slack import mrkdwn
from bot.slack.mrkdwn import Names, Piece
from bot.slack.place import action_id
from incidents.models import Json

MOST_CHARACTERS = 9000  # of all blocks together; Slack's own limit lies above and moves
MOST_BLOCKS = 40
MOST_TEXT = 3800  # of the text that stands for the blocks
EXCERPT_LINES = 20
LONGEST_LINE = 1500
HEADS = ("diff --git ", "index ", "--- a/", "--- /dev/null", "new file mode", "deleted file mode")
MARKS = {
    Tone.FAILING: ":red_circle: ",
    Tone.PASSING: ":large_green_circle: ",
    Tone.WAITING: ":raised_hand: ",
    Tone.NEUTRAL: "",
}
STYLES = {Tone.PASSING: "primary", Tone.FAILING: "danger"}
EMOJI = {"✅": "white_check_mark", "❌": "x"}


@dataclass(frozen=True)
class Drawn:
    """What is sent: blocks, the text for notifications, and the files beside them."""

    text: str
    blocks: tuple[Json, ...]
    files: tuple[File, ...] = ()


def draw(
    message: Message,
    names: Names | None = None,
    *,
    calls: Sequence[str] = (),
    with_files: bool = True,
) -> Drawn:
    """Return a message as blocks; `calls` are user ids to be mentioned.

    Without files the text of a report stands in the message itself, as far as it goes.
    """
    head = f"{MARKS[message.tone]}*{mrkdwn.inline(_cut(message.headline, 400), names)}*"
    why = (mrkdwn.inline(_cut(line, LONGEST_LINE), names) for line in message.lines)
    files = tuple(file for file in message.files if file.media != "image/svg+xml")
    texts = _within(mrkdwn.sections([Piece("\n".join([head, *why]))]), MOST_CHARACTERS // 2)
    if message.diff:
        texts += _excerpt([mrkdwn.code(_heart(message.diff))], texts)
    if message.markdown and not with_files:
        texts += _excerpt(mrkdwn.pieces(message.markdown, names), texts)
    blocks = [_section(text) for text in texts]
    if message.buttons:
        blocks.append({"type": "actions", "elements": [_button(one) for one in message.buttons]})
    if calls:
        called = " ".join(f"<@{user}>" for user in calls)
        blocks.append(_section(f"This asks {called}."))
    return Drawn(notice(message, calls), tuple(blocks), files if with_files else ())


def notice(message: Message, calls: Sequence[str] = ()) -> str:
    """Return a message in one short text, as a phone shows it before anyone opens the thread."""
    called = "".join(f"<@{user}> " for user in calls)
    first = message.lines[0] if message.lines else ""
    said = " ".join(filter(None, (mrkdwn.plain(message.headline), mrkdwn.plain(first))))
    return called + mrkdwn.split(mrkdwn.escape(said), 300)[0]


def bare(message: Message, names: Names | None = None, calls: Sequence[str] = ()) -> Drawn:
    """Return a message without blocks, where Slack refuses them; the whole goes as a file."""
    called = " ".join(f"<@{user}>" for user in calls)
    told = [
        f"*{mrkdwn.inline(message.headline, names)}*",
        *(mrkdwn.inline(line, names) for line in message.lines),
        *(f"`@halon {one.command}`: {mrkdwn.leaf(one.label)}" for one in message.buttons),
        *([f"This asks {called}."] if called else []),
    ]
    text = mrkdwn.split("\n".join(told), MOST_TEXT)[0]
    whole = "\n\n".join(filter(None, (message.headline, *message.lines, message.markdown)))
    paper = File("message.md", "text/markdown", "The whole message", whole.encode("utf-8"))
    files = tuple(file for file in message.files if file.media != "image/svg+xml")
    return Drawn(text, (), (paper, *files))


def emoji(reaction: str) -> str:
    """Return Slack's name of a reaction that is offered."""
    return EMOJI.get(reaction, "eyes")


def _cut(text: str, longest: int) -> str:
    """Cut a text before it is drawn, where nothing is yet that a cut could leave open."""
    return text if len(text) <= longest else f"{text[:longest].rstrip()} …"


def _within(texts: Sequence[str], most: int) -> list[str]:
    """Keep the first texts, as many as a budget bears and at least one."""
    kept: list[str] = []
    for text in texts:
        if kept and sum(map(len, kept)) + len(text) > most:
            break
        kept.append(text)
    return kept


def _heart(diff: str) -> str:
    """Leave out git's own lines about a file but its name: on a phone each takes two lines."""
    lines = [line for line in diff.rstrip("\n").split("\n") if not line.startswith(HEADS)]
    return "\n".join(_cut(line, 300) for line in lines)


def _excerpt(pieces: Sequence[Piece], before: Sequence[str]) -> list[str]:
    """Return what fits into the budget beside what is there; a long text by its first lines."""
    whole = mrkdwn.sections(pieces)
    room = MOST_CHARACTERS - sum(map(len, before)) - 400
    if sum(map(len, whole)) <= room and len(whole) + len(before) <= MOST_BLOCKS - 4:
        return whole
    lines = [(line, piece.code) for piece in pieces for line in piece.text.split("\n")]
    kept = lines[:EXCERPT_LINES]
    boxed = [Piece(mrkdwn.split(line, 300)[0], code) for line, code in kept]
    shown = mrkdwn.sections(_joined(boxed))
    shown = _within(shown, max(room, mrkdwn.LONGEST))
    return [*shown, f"_{len(lines) - len(kept)} more lines; the whole is in the war room._"]


def _joined(pieces: Sequence[Piece]) -> list[Piece]:
    """Put lines of one kind that follow each other into one piece."""
    made: list[Piece] = []
    for piece in pieces:
        if made and made[-1].code is piece.code:
            made[-1] = Piece(f"{made[-1].text}\n{piece.text}", piece.code)
        else:
            made.append(piece)
    return made


def _section(text: str) -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _button(one: Button) -> Json:
    label = one.label if len(one.label) <= 75 else f"{one.label[:73]} …"
    made: Json = {
        "type": "button",
        "text": {"type": "plain_text", "text": label, "emoji": False},
        "action_id": action_id(one.command),
        "value": one.ref,
    }
    return made | ({"style": STYLES[one.tone]} if one.tone in STYLES else {})
