"""Asks a metrics server over HTTP, for the monitors that have one: one question, one JSON object.

Whatever goes wrong out there becomes one `errors.TemporaryFailure` with one sentence; no secret and
no more than a line of the server's answer gets into it. Buckets are laid on a fixed grid, and the
newest ones, which the server may still be filling, are not asked for.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Self

import httpx
from pydantic import Field, model_validator

from incidents import errors
from incidents.models import Bucket, Version
from incidents.settings import Table

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
MOST_BYTES = 16 << 20
MOST_BUCKETS = 360  # asked for at once; the next call asks for those after them
SKEW = timedelta(seconds=10)  # by which a server's clock may differ from ours
ROUNDING = 0.02  # by which two counts of one thing may differ

Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:/@+-]+$")]  # needs no escape in any query


class WebSettings(Table):
    """The keys of every monitor that asks a server; `$group` in a query becomes the version's."""

    address: Annotated[str, Field(pattern=r"^https?://[^\s/]")]
    canary: Name = Version.CANARY.value
    stable: Name = Version.STABLE.value
    step: Seconds = 60.0  # length of a bucket
    delay: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 60.0  # until it is whole
    timeout: Annotated[float, Field(gt=0, le=30, allow_inf_nan=False)] = 30.0
    sparse_errors: bool = False  # "no errors" comes as no answer at all

    @model_validator(mode="after")
    def _two_groups(self) -> Self:
        if self.canary == self.stable:
            raise ValueError(f"{self.canary!r} names both versions; they must be told apart")
        return self

    def group(self, version: Version) -> str:
        """Return the name of a version in the source."""
        return self.canary if version is Version.CANARY else self.stable


def grid(since: datetime, until: datetime, settings: WebSettings) -> list[datetime]:
    """Return the starts of the whole buckets inside [since, until - delay), oldest first."""
    step = timedelta(seconds=settings.step) // MICROSECOND
    end = until - timedelta(seconds=settings.delay)
    first = -(-((since - EPOCH) // MICROSECOND) // step)
    last = ((end - EPOCH) // MICROSECOND) // step
    return [EPOCH + n * step * MICROSECOND for n in range(first, min(last, first + MOST_BUCKETS))]


def count(value: object) -> int | None:
    """Return a number, or its text, as a count; None for what is none: null, NaN, below zero."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return round(number) if isfinite(number) and number >= 0 else None


@dataclass(frozen=True)
class Counts:
    """What a server said of one bucket; None: it said nothing."""

    requests: int | None
    errors: int | None
    histogram: tuple[tuple[float, int], ...] | None = None


def bucket(version: Version, start: datetime, seconds: float, counts: Counts) -> Bucket:
    """Return the bucket; requests and errors are measured together or not at all."""
    requests, failed = counts.requests, counts.errors
    if requests is None or failed is None or failed > requests + max(1.0, ROUNDING * requests):
        return Bucket(version, start, seconds, None, None)  # what contradicts itself is no count
    histogram = counts.histogram and tuple((le, min(n, requests)) for le, n in counts.histogram)
    return Bucket(version, start, seconds, requests, min(failed, requests), histogram=histogram)


def secret(path: str | None) -> str | None:
    """Return a secret from its file, read anew each time: secrets are rotated.

    Raises `errors.TemporaryFailure` when the file cannot be read or holds no line of text.
    """
    if path is None:
        return None
    try:
        text = Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.TemporaryFailure(f"The secret file {path!r} cannot be read.") from error
    if not text.isascii() or not text.isprintable() or not text:
        raise errors.TemporaryFailure(f"The secret file {path!r} does not hold one line of text.")
    return text


class Web:
    """One server. `name` opens every sentence; `headers` are made anew for every question."""

    def __init__(
        self, name: str, settings: WebSettings, headers: Callable[[], Mapping[str, str]]
    ) -> None:
        self._name = name
        self._timeout = settings.timeout
        self._address = settings.address.rstrip("/")
        self._headers = headers
        self._client: httpx.Client | None = None

    def deadline(self) -> float:
        """Return the end, on the monotonic clock, of all questions of one reading together."""
        return time.monotonic() + self._timeout

    def post(self, path: str, deadline: float, **body: Any) -> dict[str, Any]:
        """Return the answer's JSON object; `body` is httpx's `data=` or `json=`."""
        raw = self._answer(path, deadline, body)
        try:
            content = json.loads(raw, parse_constant=_no_number)
        except (ValueError, RecursionError):
            raise self.failure("answers something that is not JSON") from None
        if not isinstance(content, dict):
            raise self.failure("answers something that is not a JSON object")
        return content

    def failure(
        self, what: str, retry_after: timedelta = timedelta(seconds=5)
    ) -> errors.TemporaryFailure:
        """Return the one sentence for what went wrong, ready to be raised."""
        text = " ".join("".join(c if c.isprintable() else " " for c in what).split())
        return errors.TemporaryFailure(f"{self._name} {text[:300]}.", retry_after=retry_after)

    def close(self) -> None:
        """Close the connections; the next question opens new ones."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _answer(self, path: str, deadline: float, body: dict[str, Any]) -> bytes:
        left = deadline - time.monotonic()
        late = self.failure(f"did not answer within {self._timeout:g} s")
        if left <= 0:
            raise late
        self._client = self._client or httpx.Client(follow_redirects=False)
        ask = self._client.stream(
            "POST", self._address + path, headers=dict(self._headers()), timeout=left, **body
        )
        try:
            with ask as answer:
                skew = _skew(answer.headers.get("date"))
                raw = b""
                for piece in answer.iter_bytes():
                    raw += piece
                    if time.monotonic() > deadline:
                        raise late
                    if len(raw) > MOST_BYTES:
                        raise self.failure("answers with too much to be counts")
        except httpx.TimeoutException:
            raise late from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self.failure(f"cannot be asked: {type(error).__name__}") from None
        self._check(answer, raw)
        if skew is not None and abs(skew) > SKEW:
            seconds = skew.total_seconds()
            raise self.failure(f"has a clock that differs from ours by {seconds:.0f} s")
        return raw

    def _check(self, answer: httpx.Response, raw: bytes) -> None:
        code = answer.status_code
        if 200 <= code < 300:
            return
        if code in (401, 403):
            raise self.failure(f"refuses our credentials ({code})")
        if code == 429:
            asked = answer.headers.get("retry-after", "")
            wait = min(int(asked), 300) if asked.isdecimal() and len(asked) < 6 else 30
            raise self.failure("asks us to ask less often (429)", timedelta(seconds=wait))
        if 300 <= code < 400:
            raise self.failure(f"sends us elsewhere ({code}); set the final address")
        raise self.failure(f"answers {code}{_said(raw)}")


def messages(found: object) -> Iterator[str]:
    """Yield the texts of an `errors` field: a text, a list, or objects with a message."""
    for item in found if isinstance(found, list) else [found]:
        text = item.get("message") or item.get("detail") if isinstance(item, dict) else item
        if isinstance(text, str) and text:
            yield text


def _said(raw: bytes) -> str:
    """Return what an error's body says, as `: text`."""
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        return ""
    found = content.get("error") or content.get("errors") if isinstance(content, dict) else None
    text = next(messages(found), "")
    return f": {text[:200]}" if text else ""


def _skew(date: str | None) -> timedelta | None:
    """Return how far a server's clock is ahead of ours, None when it does not say."""
    try:
        return parsedate_to_datetime(date) - datetime.now(UTC) if date else None
    except (ValueError, TypeError, OverflowError):
        return None


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is not JSON")
