"""Secrets and personal data replaced by stable tokens such as `<email-3>`.

Pure: `Numbering` remembers which value has which number, so the same address is the same token all
through an incident. Called at the one boundary before the timeline, the model and the transcript.
Prefers a missed oddity to a destroyed log line: digests, versions and timestamps stay as they are.
"""

import re
from collections.abc import Iterable
from functools import partial
from typing import Any, Protocol

from incidents import redaction_rules
from incidents.redaction_lines import Lines
from incidents.redaction_rules import Rule


class Numbering(Protocol):
    """Gives each value of a kind its number, the same one every time."""

    def number(self, kind: str, value: str) -> int:
        """Return the number of a value."""


class Counting:
    """A numbering that lives as long as the object; for one text or one transcript."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], int] = {}
        self._last: dict[str, int] = {}

    def number(self, kind: str, value: str) -> int:
        """Return the number of a value, counting from 1 per kind."""
        if (kind, value) not in self._known:
            self._last[kind] = self._known[kind, value] = self._last.get(kind, 0) + 1
        return self._known[kind, value]


TOKEN = re.compile(r"<[a-z]+(?:-[a-z]+)*-\d+>")


class Redactor:
    """One incident's redaction: its numbering, its service's patterns, Halon's own secrets.

    Remembers, in memory alone, what it replaced, so that a tool may put values back (`restore`).
    """

    def __init__(
        self,
        numbering: Numbering | None = None,
        *,
        private: Iterable[re.Pattern[str]] = (),
        secrets: Iterable[str] = (),
    ) -> None:
        self._numbering = numbering or Counting()
        self._private = tuple(private)
        # The longest first: one secret may be part of another.
        self._secrets = sorted({one for one in secrets if len(one) >= 8}, key=len, reverse=True)
        self._values: dict[str, str] = {}

    def text(self, text: str) -> str:
        """Return a text with secrets and personal data replaced."""
        for secret in self._secrets:
            text = text.replace(secret, "<secret-of-halon>")
        return redact(text, self._Remembering(self), self._private)

    def json(self, value: Any) -> Any:
        """Return a JSON value with all its texts redacted."""
        for secret in self._secrets:
            value = _replaced(value, secret)
        return redact_json(value, self._Remembering(self), self._private)

    def restore(self, text: str) -> str:
        """Return a text with the tokens that this redactor gave turned back into their values.

        For what is written into a workspace and searched there; never for what is shown.
        """
        return TOKEN.sub(lambda found: self._values.get(found[0], found[0]), text)

    class _Remembering:
        def __init__(self, owner: "Redactor") -> None:
            self._owner = owner

        def number(self, kind: str, value: str) -> int:
            number = self._owner._numbering.number(kind, value)
            self._owner._values[f"<{kind}-{number}>"] = value
            return number


def _replaced(value: Any, secret: str) -> Any:
    if isinstance(value, str):
        return value.replace(secret, "<secret-of-halon>")
    if isinstance(value, dict):
        return {_replaced(name, secret): _replaced(item, secret) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(item, secret) for item in value]
    return value


def redact(text: str, numbering: Numbering, extra: Iterable[re.Pattern[str]] = ()) -> str:
    """Return the text with secrets and personal data replaced; `extra` are a service's own."""
    pem = redaction_rules.PEM
    if any(sign.text in text for sign in pem.signs):
        text = pem.pattern.sub(partial(_replace, pem, numbering), text)
    lines = Lines(text)
    _by_rules(lines, redaction_rules.SECRETS, numbering)
    lines.lines = _by_names(lines.text(), numbering).split("\n")
    _by_rules(lines, redaction_rules.PERSONAL, numbering)
    text = lines.text()
    for pattern in extra:
        text = pattern.sub(partial(_replace, Rule("private", pattern, ()), numbering), text)
    return text


def _by_rules(text: Lines, rules: tuple[Rule, ...], numbering: Numbering) -> None:
    for rule in rules:
        replace = partial(_replace, rule, numbering)
        for number in text.holding(rule.signs):
            end = _end(text.lines, number, rule.reach)
            piece = "\n".join(text.lines[number:end])
            text.lines[number:end] = rule.pattern.sub(replace, piece).split("\n")


def _end(lines: list[str], number: int, reach: int) -> int:
    """Return where a piece ends that may go over so many further lines with something in them."""
    end = number + 1
    while reach and end < len(lines):
        reach -= bool(lines[end].strip())
        end += 1
    return end


def _replace(rule: Rule, numbering: Numbering, found: re.Match[str]) -> str:
    group = next((name for name, got in found.groupdict().items() if got and name in "vw"), 0)
    value = found[group]
    if not rule.check(value) or TOKEN.fullmatch(value):
        return found[0]
    start, end = (edge - found.start() for edge in found.span(group))
    return f"{found[0][:start]}<{rule.kind}-{numbering.number(rule.kind, value)}>{found[0][end:]}"


def _by_names(text: str, numbering: Numbering) -> str:
    """Replace what its name gives away: `password=…`, `"first_name": "…"`."""
    pieces, done = [], 0
    for named in redaction_rules.NAMED.finditer(text):
        kind = redaction_rules.kind_of(named[1])
        value = redaction_rules.VALUE.match(text, named.end()) if kind else None
        if value is None or value.start() < done or redaction_rules.is_code(named[2], value):
            continue
        group = value.lastgroup if value.lastgroup != "call" else "x"
        said = value[group or 0]
        if TOKEN.fullmatch(said) or not redaction_rules.is_private(kind, said, bare=group == "x"):
            continue
        start, end = value.span(group or 0)
        pieces += [text[done:start], f"<{kind}-{numbering.number(kind, said)}>"]
        done = end
    return "".join([*pieces, text[done:]]) if pieces else text


def redact_json(value: Any, numbering: Numbering, extra: Iterable[re.Pattern[str]] = ()) -> Any:
    """Return a JSON value with all its texts redacted, whole values under names of secrets too."""
    patterns = tuple(extra)

    def walk(part: Any) -> Any:
        if isinstance(part, str):
            return redact(part, numbering, patterns)
        if isinstance(part, dict):
            return {walk(name): _member(name, item) for name, item in part.items()}
        if isinstance(part, list | tuple):
            return [walk(item) for item in part]
        return part

    def _member(name: Any, item: Any) -> Any:
        texts = isinstance(name, str) and isinstance(item, str)
        kind = redaction_rules.kind_of(name) if texts else ""
        # Under the name of a secret even one sign is a secret.
        private = (
            item and redaction_rules.is_secret(item)
            if kind == "secret"
            else kind and (redaction_rules.is_private(kind, item))
        )
        if private and not TOKEN.fullmatch(item):
            return f"<{kind}-{numbering.number(kind, item)}>"
        return walk(item)

    return walk(value)
