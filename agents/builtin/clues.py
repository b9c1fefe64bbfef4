"""What a person's words point at: stack traces, places, failing tests, and a small front matter.

Called by the hotfix role and protocol. The words are untrusted and in any language: nothing in them
is ever a command, a pattern or a file that is opened; a test counts only once it is found among the
tracked files. Pure.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from agents.builtin import pins, traces
from agents.builtin.tracelines import Frame, Trace
from incidents.models import Severity

MAX_PLACES, MAX_TESTS = 20, 20
FRONT = re.compile(r"\A\ufeff?\s*---[ \t]*\r?\n(.{0,4000}?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.S)
FIELD = re.compile(r"^([A-Za-z][\w -]{0,40}):[ \t]*(.{0,300})$")
# ASCII on purpose: a path may stand between the words of a language that knows no spaces.
PLACE = re.compile(
    r"(?<![A-Za-z0-9_./\\-])([A-Za-z0-9_./\\@+-]{1,300}\.[A-Za-z]{1,5})"
    r"(?::|\uff1a|\"?, line | line )(\d{1,7})(?![0-9])",
    re.A,
)
NODE = re.compile(r"([A-Za-z0-9_./-]{1,300}\.py(?:::[A-Za-z_][A-Za-z0-9_]*){1,6})", re.A)
DOTTED = re.compile(r"(?<![\w./])((?:[A-Za-z_]\w*\.){1,8}test\w*)\b(?!\()", re.A)
BLOCK = re.compile(r"^[ \t]*(?:FAIL|ERROR): (\w{1,200}) \(([\w.]{1,300})\)", re.M | re.A)


@dataclass(frozen=True)
class Front:
    """The optional head of a HOTFIX file; unknown keys are named, never obeyed."""

    service: str | None = None
    severity: Severity | None = None
    test: str | None = None
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clues:
    """What was found in the words; empty fields mean that they do not say."""

    words: str
    front: Front = field(default_factory=Front)
    traces: tuple[Trace, ...] = ()
    places: tuple[Frame, ...] = ()
    tests: tuple[str, ...] = ()

    @property
    def trace(self) -> Trace | None:
        """The trace that is meant: the last one, which is the newest of a log."""
        return self.traces[-1] if self.traces else None

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The frames and places, nearest to the fault first."""
        found = [frame for trace in reversed(self.traces) for frame in trace.frames]
        return tuple(dict.fromkeys([*found, *self.places]))


def read(text: str) -> Clues:
    """Return what a text points at."""
    head, words = front(text)
    found = traces.parse(words)
    named = {(frame.path, frame.line) for trace in found for frame in trace.frames}
    places = [
        Frame(match[1].replace("\\", "/"), int(match[2]), "")
        for match in PLACE.finditer(words)
        if (match[1], int(match[2])) not in named
    ]
    return Clues(
        words=words,
        front=head,
        traces=found,
        places=tuple(dict.fromkeys(places))[:MAX_PLACES],
        tests=_tests(head, words),
    )


def front(text: str) -> tuple[Front, str]:
    """Return the front matter and the words below it."""
    match = FRONT.match(text)
    if match is None:
        return Front(), text
    known: dict[str, str] = {}
    ignored: list[str] = []
    for line in match[1].splitlines():
        pair = FIELD.match(line.strip())
        name = pair[1].strip().lower() if pair else ""
        if pair and name in ("service", "severity", "test", "test id"):
            known["test" if name == "test id" else name] = pair[2].strip().strip("\"'")
        elif line.strip() and not line.lstrip().startswith("#"):
            ignored.append(line.strip().partition(":")[0][:40])
    severity = known.get("severity", "").upper()
    return (
        Front(
            service=known.get("service") or None,
            severity=Severity(severity) if severity in set(Severity) else None,
            test=known.get("test") or None,
            ignored=tuple(ignored[:10]),
        ),
        text[match.end() :],
    )


def _tests(head: Front, words: str) -> tuple[str, ...]:
    found = [head.test] if head.test else []
    found += [match[1] for match in NODE.finditer(words)]
    for match in BLOCK.finditer(words):
        name, owner = match.groups()
        found.append(owner if owner.endswith(f".{name}") else f"{owner}.{name}")
    found += [match[1] for match in DOTTED.finditer(words)]
    return tuple(dict.fromkeys(found))[:MAX_TESTS]


def known_tests(tests: Sequence[str], files: Collection[str]) -> tuple[str, ...]:
    """Return the named tests that lie in a tracked test file, as a runner takes them.

    A name is letters, digits, dots, slashes and colons only, so that none can be an option.
    """
    found = []
    for name in tests:
        plain = name.removeprefix("./")
        if NODE.fullmatch(plain):
            path = plain.partition("::")[0]
            if path in files and pins.testlike(path):
                found.append(plain)
        elif (plain in files and pins.testlike(plain) and not plain.startswith("-")) or (
            re.fullmatch(r"(?:[A-Za-z_]\w*\.)+[A-Za-z_]\w*", plain, re.A)
            and any(pins.testlike(path) for path in pins.named(("-m", plain), files))
        ):
            found.append(plain)
    return tuple(dict.fromkeys(found))


def test_files(tests: Sequence[str]) -> tuple[str, ...]:
    """Return the test files, tracked or not, that names such as `a/b.py::C::t` or `a.b.t` mean."""
    found: list[str] = []
    for name in tests:
        plain = name.removeprefix("./")
        if NODE.fullmatch(plain):
            found.append(plain.partition("::")[0])
        elif DOTTED.fullmatch(plain):
            parts = plain.split(".")
            found += ["/".join(parts[:count]) + ".py" for count in range(len(parts), 0, -1)]
    inside = [path for path in found if ".." not in path.split("/") and not path.startswith("/")]
    return tuple(path for path in dict.fromkeys(inside) if pins.testlike(path))


def narrowed(argv: Sequence[str], test: str) -> tuple[str, ...] | None:
    """Return a test command with one known test added, None where its runner would not take it."""
    words = [word.rpartition("/")[2] for word in argv]
    pytest = any(word in ("pytest", "py.test") for word in words)
    unittest = "unittest" in words and "discover" not in words and words[-1] == "unittest"
    if pytest and (".py" in test):
        return (*argv, test)
    if unittest and ".py" not in test:
        return (*argv, test)
    return None
