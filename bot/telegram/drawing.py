"""Turns a message into what Telegram sends: a text or a picture with a caption, then files.

Called by `bot.telegram.port`. Pure but for reading its template. Everything fits the limits before
it is sent: a long diff is cut, a report that would take too many messages is a file alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bot import texts
from bot.port import Button, File, Message
from bot.telegram import limits, markdown, runs
from bot.telegram.runs import Run, Runs
from bot.verbs import Verb
from incidents.models import Platform

PNG = "image/png"
PICTURES = (PNG, "image/svg+xml")
QUOTE = "blockquote expandable"
MOST_PIECES = 2  # further messages that a report may take; the file has it anyway
VOTES = {Verb.APPROVE.value: "y", Verb.REFUSE.value: "n"}
COMMAND = "c"
SAY = "s"  # says the n-th line of its message
LINES = ("/incident ", "/hotfix ")
MOST_CHOICES = 8  # a thumb has to find one of them
GAP = Run("\n\n")
OURS = f"{Platform.TELEGRAM}:"


class Kind(StrEnum):
    """How a part is sent."""

    TEXT = "text"
    PHOTO = "photo"
    DOCUMENT = "document"


@dataclass(frozen=True)
class Part:
    """One message of Telegram's."""

    kind: Kind
    said: Runs
    file: File | None = None
    keys: tuple[tuple[str, str], ...] = ()  # label and callback data, one button per row


@dataclass(frozen=True)
class Look:
    """What drawing depends on besides the message."""

    yes: str = "👍"
    no: str = "👎"
    reactions: bool = True  # whether they reach us


def parts(message: Message, look: Look) -> tuple[Part, ...]:
    """Return the messages that a message becomes, the one that is answered and edited first."""
    words = _words(message, look)
    picture = next((file for file in message.files if file.media == PNG), None)
    papers = [file for file in message.files if file.media not in PICTURES]
    told, more = _told(message, look, words, bool(papers))
    keys = tuple(_key(button, look) for button in message.buttons)
    made: list[Part] = []
    if picture is not None and not more and runs.units(told) <= limits.CAPTION:
        made.append(Part(Kind.PHOTO, told, picture, keys))
    else:
        made.append(Part(Kind.TEXT, told, None, keys))
        made += [Part(Kind.TEXT, piece) for piece in more]
        if picture is not None:
            made.append(Part(Kind.PHOTO, _caption(picture), picture))
    made += [Part(Kind.DOCUMENT, _caption(file), file) for file in papers]
    return tuple(made)


def answer(
    text: str, try_this: str = "", choices: Sequence[tuple[str, str]] = ()
) -> tuple[Part, ...]:
    """Return an answer to one person, with the lines to type as code that a tap copies.

    Each of the `choices`, a label and its line, is a button too: 64 bytes bear no line, so that a
    button names its place in the message.
    """
    said = markdown.whole(text)
    for line in [line for _, line in choices] or ([try_this] if try_this else []):
        said = (*said, Run("\n"), Run(line, ("code",)))
    made = [Part(Kind.TEXT, piece) for piece in runs.split(said, limits.TEXT)]
    if choices and len(made) == 1:
        labels = [_undone(label) for label, _ in choices[:MOST_CHOICES]]
        keys = tuple((label, f"{SAY}:{place}") for place, label in enumerate(labels))
        return (Part(Kind.TEXT, made[0].said, None, keys),)
    return tuple(made)


def line_at(text: str, place: str) -> str | None:
    """Return the line that a button of a choice says, None where its message has no such line."""
    lines = [one for one in text.split("\n") if one.startswith(LINES)]
    known = place.isascii() and place.isdecimal() and int(place) < len(lines)
    return lines[int(place)] if known else None


def _words(message: Message, look: Look) -> dict[str, str]:
    return texts.blocks(
        "telegram", reactions=look.reactions, yes=look.yes, no=look.no, author=message.author
    )


def _told(
    message: Message, look: Look, words: Mapping[str, str], paper: bool
) -> tuple[Runs, list[Runs]]:
    """Return the first message's text, and those of the report that come after it."""
    told = _head(message, look, words)
    if message.diff:
        told = (*told, GAP, *_diff(message.diff, limits.TEXT - runs.units(told) - 2))
    if not message.markdown:
        return runs.shortened(told, limits.TEXT), []
    if len(message.markdown) > MOST_PIECES * limits.TEXT:
        return _filed(told, words, paper), []
    report = markdown.whole(message.markdown)
    if runs.units(told) + 2 + runs.units(report) <= limits.TEXT:
        return (*told, GAP, *runs.inside(QUOTE, report)), []
    pieces = runs.split(report, limits.TEXT)
    if len(pieces) <= MOST_PIECES:
        return runs.shortened(told, limits.TEXT), [runs.inside(QUOTE, one) for one in pieces]
    return _filed(told, words, paper), []


def _filed(told: Runs, words: Mapping[str, str], paper: bool) -> Runs:
    """Return the news of a report that is too long for messages."""
    hint = markdown.line(words["in_file"]) if paper else ()
    room = limits.TEXT - runs.units(hint) - 2
    return (*runs.shortened(told, room), GAP, *hint)


def _head(message: Message, look: Look, words: Mapping[str, str]) -> Runs:
    sign = words[message.tone.value]
    said = [Run(f"{sign} ")] if sign else []
    said += runs.inside("b", markdown.line(_signed(message.headline, look)))
    called = frozenset(one.removeprefix(OURS) for one in message.calls if one.startswith(OURS))
    for line in message.lines:
        said += [Run("\n"), *markdown.line(_signed(line, look), called)]
    known = " ".join((message.headline, *message.lines))
    if message.author not in ("Halon", "") and message.author not in known:
        said += [Run("\n"), *runs.inside("i", markdown.line(words["by"]))]
    if message.approval and message.reactions:
        said += [Run("\n"), *runs.inside("i", markdown.line(words["answer"]))]
    return tuple(said)


def _signed(text: str, look: Look) -> str:
    """Return a text of ours with the signs that stand for a yes and a no on this platform."""
    return text.replace("✅", look.yes).replace("❌", look.no)


def _diff(diff: str, most: int) -> Runs:
    """Return a diff as far as it fits, whole lines only."""
    lines = diff.rstrip("\n").split("\n")
    kept = list(lines)
    while limits.units("\n".join(kept)) > max(most - 60, 0) and kept:
        kept.pop()
    left = len(lines) - len(kept)
    if left:
        kept.append(f"\\ {left} more lines are in the file")
    return markdown.code("\n".join(kept), "diff")


def _caption(file: File) -> Runs:
    return (Run(limits.shortened(file.title, limits.CAPTION)),)


def _key(button: Button, look: Look) -> tuple[str, str]:
    sign = {Verb.APPROVE.value: f"{look.yes} ", Verb.REFUSE.value: f"{look.no} "}
    label = f"{sign.get(button.command, '')}{_undone(button.label)}"
    vote = VOTES.get(button.command)
    pressed = f"{vote}:{button.ref}" if vote else f"{COMMAND}:{button.command}"
    if len(pressed.encode()) > limits.CALLBACK_BYTES:
        raise ValueError(f"{pressed!r} is too long for a button of Telegram's")
    return label, pressed


def _undone(label: str) -> str:
    """Return a label as plain text: buttons know no marks."""
    return runs.plain(markdown.line(label))
