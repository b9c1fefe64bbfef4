"""Secrets and personal data replaced by stable tokens such as `<email-3>`.

Pure: `Numbering` remembers which value has which number, so the same address is the same token all
through an incident. Called at the one boundary before the timeline, the model and the transcript.
Prefers a missed oddity to a destroyed log line: digests, versions and timestamps stay as they are.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol


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


def luhn(digits: str) -> bool:
    """Return whether a card number's check digit fits (ISO/IEC 7812)."""
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def iban(text: str) -> bool:
    """Return whether an IBAN's check digits fit (ISO 13616: remainder 1 by 97)."""
    turned = text[4:] + text[:4]
    return int("".join(str(int(char, 36)) for char in turned)) % 97 == 1


def _bare(text: str) -> str:
    return re.sub(r"[^0-9A-Za-z]", "", text)


def _is_card(text: str) -> bool:
    digits = _bare(text)
    return 13 <= len(digits) <= 19 and digits[0] in "3456" and luhn(digits)


def _is_iban(text: str) -> bool:
    bare = _bare(text)
    return 15 <= len(bare) <= 34 and iban(bare.upper())


def _is_phone(text: str) -> bool:
    return 9 <= len(re.sub(r"\D", "", text)) <= 15


def _is_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    # Loopback and "any" are nobody's address, and links to the war room must keep working.
    return not (address.is_loopback or address.is_unspecified)


def _is_secret(text: str) -> bool:
    # A reference to a secret is not a secret: `password=$DB_PASSWORD`, `token: ${{ secrets.T }}`.
    return not re.match(r"[$<{*]|(?i:none|null|true|false|redacted)\b", text)


def _always(_: str) -> bool:
    return True


_NAMES = (
    r"(?:[a-z0-9]{1,40}[_-]){0,6}(?:password|passwd|passphrase|secret"
    r"|api[_-]?key|access[_-]?key|private[_-]?key|auth[_-]?token|access[_-]?token|refresh[_-]?token"
    r"|secret[_-]?key|client[_-]?secret|token|pwd)"
)
TOKEN = re.compile(r"<[a-z]+(?:-[a-z]+)*-\d+>")
SECRET_NAME = re.compile(rf"(?i)\A{_NAMES}\Z")

# (kind, pattern, check); the group `v`, or the whole match, is replaced. The order counts: what
# carries structure (a PEM block, a JWT) goes before what is only a run of signs. Repetitions that
# could overlap are bounded: a hostile log line must not cost quadratic time.
RULES: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    (
        "private-key",
        re.compile(
            r"-----BEGIN (?P<t>[A-Z0-9 ]*PRIVATE KEY)-----.*?(?:-----END (?P=t)-----|\Z)", re.S
        ),
        _always,
    ),
    ("jwt", re.compile(r"\beyJ[\w-]{8,4096}\.eyJ[\w-]{4,4096}\.[\w-]*"), _always),
    ("slack-token", re.compile(r"\bxox[abeoprs]-[\w-]{10,}|\bxapp-[\w-]{10,}"), _always),
    ("slack-hook", re.compile(r"\bhooks\.slack\.com/services/(?P<v>[\w/]{20,})"), _always),
    ("telegram-token", re.compile(r"(?:\b|(?<=bot))\d{8,10}:[\w-]{35}(?![\w-])"), _always),
    (
        "github-token",
        re.compile(r"\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}"),
        _always,
    ),
    ("gitlab-token", re.compile(r"\bgl(?:pat|ptt|rt|dt)-[\w-]{20,}"), _always),
    ("aws-key", re.compile(r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"), _always),
    ("google-key", re.compile(r"\bAIza[\w-]{35}"), _always),
    ("stripe-key", re.compile(r"\b(?:sk|rk|whsec)_(?:live_|test_)?[A-Za-z0-9]{16,}"), _always),
    ("api-key", re.compile(r"\bsk-(?=[\w-]{0,200}\d)[\w-]{20,}"), _always),
    ("npm-token", re.compile(r"\bnpm_[A-Za-z0-9]{36}\b"), _always),
    ("pypi-token", re.compile(r"\bpypi-[\w-]{50,}"), _always),
    ("sendgrid-key", re.compile(r"\bSG\.[\w-]{16,}\.[\w-]{16,}"), _always),
    ("password", re.compile(r"(?<=://)[^\s:/?#@'\"]*:(?P<v>[^\s/?#'\"]+)@"), _is_secret),
    ("bearer", re.compile(r"(?i)\b(?:bearer|basic)\s+(?P<v>[\w+/.~-]{12,}=*)"), _always),
    (
        "secret",
        re.compile(
            rf"(?i)(?<![a-z0-9]){_NAMES}[\"']?\s*(?:=>|:=|=|:)\s*"
            r"(?:\"(?P<v>[^\"\n]{4,4096})\"|'(?P<w>[^'\n]{4,4096})'|(?P<x>[^\s\"',;&)(\]}]{6,}))"
        ),
        _is_secret,
    ),
    (
        "email",
        re.compile(
            r"(?<![\w.+-])[\w.+%-]{1,64}@"
            r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}"
        ),
        _always,
    ),
    ("iban", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), _is_iban),
    ("card", re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])"), _is_card),
    ("phone", re.compile(r"(?<![\w+])\+[1-9]\d{0,2}(?:[ .()/-]{0,2}\d){7,13}(?!\w)"), _is_phone),
    (
        "phone",
        re.compile(r"(?<![\w.-])(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4}(?![\w-])"),
        _is_phone,
    ),
    # "Chrome/120.0.0.0" and "v1.2.3.4" are versions.
    (
        "ip",
        re.compile(r"(?<![\w.])(?<![A-Za-z]/)\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)"),
        _is_address,
    ),
    (
        "ip",
        # A digit in the first group keeps `std::add` and `test_a.py::bad` what they are.
        re.compile(
            r"(?<![\w:.])(?=[0-9a-f]*\d)(?:[0-9a-f]{1,4}:){1,7}(?::?[0-9a-f]{1,4})"
            r"(?::[0-9a-f]{1,4})*"
            r"(?![\w:])",
            re.I,
        ),
        _is_address,
    ),
)


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
    for kind, pattern, check in RULES:
        text = pattern.sub(partial(_replace, kind, check, numbering), text)
    for pattern in extra:
        text = pattern.sub(partial(_replace, "private", _always, numbering), text)
    return text


def _replace(
    kind: str, check: Callable[[str], bool], numbering: Numbering, found: re.Match[str]
) -> str:
    group = next((name for name, got in found.groupdict().items() if got and name in "vwx"), 0)
    value = found[group]
    if not check(value) or TOKEN.fullmatch(value):
        return found[0]
    start, end = (edge - found.start() for edge in found.span(group))
    return f"{found[0][:start]}<{kind}-{numbering.number(kind, value)}>{found[0][end:]}"


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
        named = isinstance(name, str) and SECRET_NAME.match(name)
        if named and isinstance(item, str) and item and _is_secret(item):
            return f"<secret-{numbering.number('secret', item)}>"
        return walk(item)

    return walk(value)
