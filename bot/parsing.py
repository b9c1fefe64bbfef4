"""What a typed line means: one pure parser for every chat, over the words of `bot.verbs`.

Called by `bot.commands` and for acts that a crash left. Never touches the store: it is given the
names of the services. A line that is not understood becomes `Misunderstood`: what to type instead.
"""

import difflib
import re
from dataclasses import dataclass

from bot import verbs
from bot.verbs import ALIASES, OFFERS, ROLES, USAGE, Verb
from incidents.models import Severity


@dataclass(frozen=True)
class Command:
    """A line that was understood."""

    verb: Verb
    incident: str | None = None
    text: str = ""
    severity: Severity | None = None
    service: str | None = None
    emergency: bool = False
    place: str | None = None  # the conversation it was said in; the parser does not know it


@dataclass(frozen=True)
class Misunderstood:
    """A line that was not: what is wrong, and the line to type instead."""

    reason: str
    try_this: str
    choices: tuple[str, ...] = ()  # services, where a button may ask
    lines: tuple[tuple[str, str], ...] = ()  # the same as a button's label and its line


HOTFIX_ACTIONS = ("verify", "ship", "drop")
_HOTFIX = re.compile(r"^\s*(?:/hotfix\b|(?:/incident|@halon)\s+hotfix(?![\w-]))\s*", re.IGNORECASE)
_SLASH = re.compile(r"^\s*(?:/incident\b|@halon\b)\s*", re.IGNORECASE)
_NUMBER = re.compile(r"^(?:INC-)(\d{1,9})$", re.IGNORECASE)
_SEVERITY = re.compile(r"^(P[0-9]+)(!?)[:,]?$", re.IGNORECASE)
_SERVICE = re.compile(r"^service:(\S*)$", re.IGNORECASE)
TITLE_LIMIT = 300
LINE_LIMIT = 8000
HOTFIX_LIMIT = 32_000


def parse(
    line: str, services: dict[str, str], thread: str | None = None
) -> Command | Misunderstood:
    """Return what a line means; `services` maps names and aliases to names, `thread` is INC-n."""
    if match := _HOTFIX.match(line):
        line = _cleaned(_both_ends(line), HOTFIX_LIMIT)
        return _hotfix(line[match.end() :].strip(), services, thread)
    line = _cleaned(line)
    if re.match(r"^\s*/(?!incident\b)\S+", line, re.IGNORECASE):
        return _other_slash(line)
    words = _SLASH.sub("", line).split()
    if not words:
        return Misunderstood("There was nothing after the command.", USAGE[Verb.OPEN].example)
    if not _SLASH.match(line):
        return _talk(" ".join(words), thread)
    verb = verbs.named(words[0])
    if verb in ROLES and (thread is not None or (len(words) > 1 and _NUMBER.match(words[1]))):
        return _role(verb, _SLASH.sub("", line), thread)
    if verb is None or _reads_as_title(verb, words):
        return _near(words, thread) or _open(words, services)
    if verb is Verb.OPEN:
        return _open(words[1:], services)
    return _other(verb, words[1:], thread)


def _cleaned(line: str, limit: int = LINE_LIMIT) -> str:
    """Return a line without what no one can type and no database keeps, and not without end."""
    return "".join(char for char in line if char.isprintable() or char.isspace())[:limit]


def _both_ends(text: str) -> str:
    """Return a long text without its middle: a traceback says at its end what it is about."""
    if len(text) <= HOTFIX_LIMIT:
        return text
    head = HOTFIX_LIMIT // 8
    return f"{text[:head]}\n…\n{text[head + 3 - HOTFIX_LIMIT :]}"


def _talk(text: str, thread: str | None) -> Command | Misunderstood:
    """What is no command is a note in a thread, and never opens an incident by itself."""
    if thread is not None:
        return Command(Verb.NOTE, thread, text)
    return Misunderstood("A command starts with /incident.", f"/incident {text[:TITLE_LIMIT]}")


def _reads_as_title(verb: Verb, words: list[str]) -> bool:
    """`status page is down` opens an incident; `status` and `status INC-4` do not.

    Words that act are never read so: `rollback now` must not open an incident at 2 a.m.
    """
    rest = [word for word in words[1:] if not _NUMBER.match(word)]
    return bool(rest) and verb in (Verb.STATUS, Verb.LIST, *ROLES)


def _near(words: list[str], thread: str | None) -> Misunderstood | None:
    """A word close to a command is a slip of the finger where a command makes sense."""
    first, rest = words[0].lower(), words[1:]
    if verbs.named(first) or _SEVERITY.match(first) or _SERVICE.match(first):
        return None
    about_one = thread is not None or bool(rest and _NUMBER.match(rest[0]))
    if rest and not about_one:
        return None  # several words outside a thread are a title
    known = [*Verb, *ALIASES]
    close = difflib.get_close_matches(first, known, n=1, cutoff=0.8 if rest else 0.6)
    if not close:
        return None
    verb = ALIASES.get(close[0]) or Verb(close[0])
    meant = " ".join(["/incident", verb.value, *rest]) if rest else USAGE[verb].example
    return Misunderstood(
        f"I do not know {words[0]!r}; the nearest is {verb.value!r}. "
        "To open an incident of that title, say `/incident open` before it.",
        meant,
    )


def _open(words: list[str], services: dict[str, str]) -> Command | Misunderstood:
    severity: Severity | None = None
    service: str | None = None
    emergency = False
    title: list[str] = []
    for position, word in enumerate(words):
        if (match := _SEVERITY.match(word)) and severity is None and position < 2:
            if match[1].upper() not in set(Severity):
                return Misunderstood(
                    f"{match[1]!r} is no severity: P0 (critical) to P3 (low).",
                    "/incident P1 " + " ".join(words[position + 1 :]),
                )
            severity, emergency = Severity(match[1].upper()), bool(match[2])
        elif match := _SERVICE.match(word):
            if match[1].lower() not in services:
                return _no_service(match[1], services, words[:position], words[position + 1 :])
            service = services[match[1].lower()]
        else:
            title.append(word)
    if not title:
        return Misunderstood("Say what fails, in a few words.", USAGE[Verb.OPEN].example)
    return _with_service(
        Command(
            Verb.OPEN,
            text=" ".join(title)[:TITLE_LIMIT],
            severity=severity,
            service=service,
            emergency=emergency,
        ),
        services,
    )


def _with_service(command: Command, services: dict[str, str]) -> Command | Misunderstood:
    """Let the one configured service, or a word of the text that names one, decide."""
    if command.service is not None:
        return command
    names = sorted(set(services.values()))
    if len(names) == 1:
        return _on(command, names[0])
    said = {word.strip(".,:;!?'\"").lower() for word in command.text.split()}
    found = sorted({services[word] for word in said if word in services})
    if len(found) == 1:
        return _on(command, found[0])
    if not names:
        return Misunderstood(
            "No service is configured, so there is nothing to look into.",
            "add a [[service]] to halon.toml",
        )
    choices = tuple(found or names)
    lines = tuple(
        (name, f"/incident open {_again(command)}service:{name} {command.text}") for name in choices
    )
    return Misunderstood(
        f"Which service is it: {', '.join(choices)}?",
        f"/incident {_again(command)}service:{choices[0]} {command.text}",
        choices,
        lines,
    )


def _on(command: Command, service: str) -> Command:
    return Command(command.verb, None, command.text, command.severity, service, command.emergency)


def _again(command: Command) -> str:
    if command.severity is None:
        return ""
    return f"{command.severity}{'!' if command.emergency else ''} "


def _no_service(
    name: str, services: dict[str, str], before: list[str], after: list[str]
) -> Misunderstood:
    close = difflib.get_close_matches(name.lower(), services, n=1, cutoff=0.5)
    names = tuple(sorted(set(services.values())))
    nearest = services[close[0]] if close else (names[0] if names else "NAME")
    return Misunderstood(
        f"There is no service {name!r}; configured: {', '.join(names) or 'none'}.",
        f"/incident service:{nearest} …",
        names,
        tuple(
            (one, " ".join(["/incident", "open", *before, f"service:{one}", *after]))
            for one in names
            if before or after
        ),
    )


def _other(verb: Verb, words: list[str], thread: str | None) -> Command | Misunderstood:
    if verb is Verb.MERGE:
        return _merge(words, thread)
    usage = USAGE[verb]
    incident = thread
    rest = []
    for position, word in enumerate(words):
        if position == 0 and (match := _NUMBER.match(word)):
            incident = f"INC-{int(match[1])}"
        else:
            rest.append(word)
    text = " ".join(rest)
    if usage.incident and incident is None:
        return Misunderstood(
            f"{verb.value!r} belongs to an incident: type it in its thread, or name it.",
            f"/incident {verb.value} INC-1 {usage.words}".rstrip(),
        )
    if verb is Verb.BREAK_GLASS and (not text or not _NUMBER.match(words[0])):
        # Typed whole even in its thread: nobody breaks the glass by a slip of the finger.
        return Misunderstood(
            f"{verb.value!r} needs the incident's number and the reason.",
            f"/incident {verb.value} {incident} {text or 'WHY'}",
        )
    if usage.text and not text:
        return Misunderstood(f"{verb.value!r} needs {usage.words}.", usage.example)
    if verb is Verb.APPROVE and text.lower() not in ("", *OFFERS):
        # "approve not yet" is no yes.
        return Misunderstood(
            f"{verb.value!r} takes no further words but {', '.join(OFFERS)}, so nothing was done.",
            usage.example,
        )
    if text and not usage.words:
        return Misunderstood(
            f"{verb.value!r} takes no further words, so nothing was done. "
            "To open an incident of that title, say `/incident open` before it.",
            f"/incident {verb.value}",
        )
    if verb is Verb.SEVERITY:
        return _severity(incident, text)
    return Command(verb, incident if usage.incident else None, text)


def _hotfix(text: str, services: dict[str, str], thread: str | None) -> Command | Misunderstood:
    """Read the words as they are: a traceback is its lines."""
    words = text.split()
    if not words:
        return Misunderstood("Say what fails, best with the traceback.", USAGE[Verb.HOTFIX].example)
    named = _NUMBER.match(words[1]) if len(words) == 2 else None
    if words[0].lower() in HOTFIX_ACTIONS and (len(words) == 1 or named):
        action = words[0].lower()
        incident = f"INC-{int(named[1])}" if named else thread
        if incident is None:
            return Misunderstood(
                f"{action!r} belongs to a hotfix: type it in its thread, or name it.",
                f"/hotfix {action} INC-1",
            )
        return Command(Verb.HOTFIX, incident, action)
    head = _open(words, services)
    if isinstance(head, Misunderstood):
        again = re.sub(r"^/incident\b", "/hotfix", head.try_this)
        lines = tuple(
            (label, re.sub(r"^/incident\b", "/hotfix", line)) for label, line in head.lines
        )
        return Misunderstood(head.reason, again, head.choices, lines)
    body = re.sub(r"^(?:(?:P\d+!?[:,]?|service:\S*)\s+)+", "", text, flags=re.IGNORECASE)
    return Command(Verb.HOTFIX, thread, body, head.severity, head.service)


def _role(verb: Verb, line: str, thread: str | None) -> Command:
    """Read a role's line: the incident if it is named, and what is pasted, line by line."""
    rest = line.strip().split(None, 1)[1:]
    text = rest[0] if rest else ""
    first = text.split(None, 1)
    if first and (match := _NUMBER.match(first[0])):
        return Command(verb, f"INC-{int(match[1])}", first[1] if len(first) > 1 else "")
    return Command(verb, thread, text)


def _severity(incident: str | None, text: str) -> Command | Misunderstood:
    if text.upper() not in set(Severity):
        return Misunderstood(
            f"{text!r} is no severity: P0 (critical) to P3 (low).", "/incident severity P1"
        )
    return Command(Verb.SEVERITY, incident, severity=Severity(text.upper()))


def _merge(words: list[str], thread: str | None) -> Command | Misunderstood:
    """In its thread one number says into what; elsewhere the first says which one ends."""
    named = [f"INC-{int(found[1])}" for word in words if (found := _NUMBER.match(word))]
    told = named if thread is None else [thread, *named[-1:]]
    if len(named) != len(words) or len(named) not in (1, 2) or len(told) != 2:
        return Misunderstood(
            "'merge' needs the incident that goes on.",
            "/incident merge INC-4" if thread else "/incident merge INC-5 INC-4",
        )
    return Command(Verb.MERGE, named[0] if len(named) == 2 else told[0], told[1])


def _other_slash(line: str) -> Misunderstood:
    word = line.split()[0]
    return Misunderstood(
        f"I do not know {word!r}; every command starts with /incident.", "/incident help"
    )
