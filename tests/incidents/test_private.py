"""No kind of private data reaches what is stored, told or sent."""

import json
import random
import re

from agents.outgoing import Outgoing
from agents.untrusted import Fence, Source
from incidents.models import EntryKind, Stage
from incidents.numbering import Numbers
from incidents.redaction import Redactor
from incidents.sent import Sent
from incidents.timeline import Draft
from tests.incidents import private
from tests.incidents.builders import REPORTER, World

RNG = random.Random(7)
ANYWHERE = 6  # a value longer than this is in no random id by chance
SAID = {
    kind: (value := make(RNG), line.format(value))
    for kind, (make, line) in (private.SECRETS | private.PERSONAL).items()
}


def leaks(text: str) -> list[str]:
    """The kinds of which something is left in a text, JSON or not."""
    plain = text + "\n" + text.encode().decode("unicode_escape", "replace")
    return [kind for kind, (value, _) in SAID.items() if holds(plain, value)]


def holds(text: str, value: str) -> bool:
    """Whether a value stands in a text; three digits only by themselves, not in a random id."""
    if len(value) > ANYWHERE:
        return value in text
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text) is not None


def test_none_reaches_the_timeline_or_what_is_posted_from_it(world: World) -> None:
    incident = world.open(title=SAID["password in a setting"][1])
    lines = [line for _, line in SAID.values()]
    world.incidents.note(incident.number, REPORTER, "\n".join(lines[:40]))
    report = Draft(EntryKind.NOTE, {"excerpts": lines, "tried": {"said": "\n".join(lines)}})
    world.timeline.append(incident.number, report, REPORTER)

    told = world.timeline.entries(incident.number)

    assert [] == leaks(json.dumps([entry.content for entry in told], ensure_ascii=False))
    assert [] == leaks(world.incidents.get(incident.number).title)
    assert [] != leaks("\n".join(lines))


def test_none_reaches_a_model_or_the_record_of_what_was_sent(world: World) -> None:
    incident = world.open()
    run = world.stage(incident, Stage.DIAGNOSE)
    record = Sent(world.store).recorder(run.id)
    redactor = Redactor(Numbers(world.store, incident.number))
    door = Outgoing(Fence(), redactor, record, allowed=True)
    lines = [line for _, line in SAID.values()]

    shown = [door.show(Source.LOG, line, line[:100]) for line in lines]
    body = {"messages": [*shown, "past the first wall:\n" + "\n".join(lines)]}
    leaving = door.leave(body)
    kept = Sent(world.store).requests(incident.number)

    assert [] == leaks("\n".join(shown))
    assert [] == leaks(json.dumps(leaving.body, ensure_ascii=False))
    assert [] == leaks(json.dumps([p.content for p in kept[0].parts], ensure_ascii=False))
