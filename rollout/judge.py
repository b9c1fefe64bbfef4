"""`halon judge FILE`: the gate over a file of buckets, for people, scripts and replays.

Called by the shell. Reads one JSON object, checks every value, and answers with the gate's own
verdict; it never guesses at a value that is missing or makes no sense.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from incidents import errors
from incidents.models import Bucket, Version
from rollout import gate


def _no_truth(value: object) -> object:
    """Refuse true, false and text where a number is meant; 200.0 is 200."""
    if isinstance(value, bool | str):
        raise ValueError("a number is meant")
    return value


def _aware(value: datetime) -> datetime:
    """Return a time; one without a zone is UTC, as all times of ours are."""
    return value if value.tzinfo else value.replace(tzinfo=UTC)


Count = Annotated[int, BeforeValidator(_no_truth), Field(ge=0)]
Time = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Seen(BaseModel):
    """What others wrote: labels of theirs are ignored, a misspelt key of ours is not."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @model_validator(mode="after")
    def _spells_ours(self) -> Self:
        for name in self.model_extra or {}:
            for ours in get_close_matches(name, type(self).model_fields, n=1, cutoff=0.8):
                raise ValueError(f"{name!r} is unknown; did you mean {ours!r}?")
        return self


class _Gates(_Part):
    max_error_rate: Annotated[float, Field(gt=0, lt=0.9, allow_inf_nan=False)] | None = 0.05
    max_latency_ratio: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    latency_floor_ms: Time = 0.0
    max_relative: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    min_requests: Count = 0


class _Histogram(_Seen):
    le: tuple[Annotated[float, Field(ge=0)], ...]
    count: tuple[Count, ...]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.le) != len(self.count):
            raise ValueError("'le' and 'count' differ in length")
        if any(bound != bound for bound in self.le):
            raise ValueError("'le' holds NaN")
        if list(self.le) != sorted(set(self.le)):
            raise ValueError("'le' does not grow")
        return self

    @property
    def falls(self) -> bool:
        """Whether a count is under the one before it, which no cumulative count can be."""
        return list(self.count) != sorted(self.count)

    def cumulative(self) -> "_Histogram":
        """Return the same times for a file that counts each range by itself."""
        return _Histogram(le=self.le, count=tuple(accumulate(self.count)))


class _Bucket(_Seen):
    version: Version
    start: Annotated[datetime, AfterValidator(_aware)]
    requests: Count | None
    errors: Count | None
    latencies_ms: tuple[Time, ...] | None = None
    histogram: _Histogram | None = None
    fingerprints: dict[str, Count] | None = None

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.requests is not None and self.errors is not None and self.errors > self.requests:
            raise ValueError(f"{self.errors} errors of {self.requests} requests")
        timed = len(self.latencies_ms or ())
        if self.histogram is not None and self.histogram.count:
            timed = max(timed, max(self.histogram.count))
        if self.requests is not None and timed > self.requests:
            raise ValueError(f"{timed} response times of {self.requests} requests")
        return self

    def told_apart(self) -> "_Bucket":
        """Return the bucket with its times as cumulative counts; refuses more than requests."""
        if self.histogram is None:
            return self
        return _Bucket.model_validate(
            {**self.model_dump(), "histogram": self.histogram.cumulative().model_dump()}
        )


class _File(_Seen):
    gates: _Gates = _Gates()
    planned_buckets: Annotated[int, Field(gt=0, le=1_000_000, strict=True)]
    bucket_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    canary_weight: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = None
    hotfix: Annotated[bool, Field(strict=True)] = False
    buckets: tuple[_Bucket, ...]

    @field_validator("buckets")
    @classmethod
    def _read_one_way(cls, buckets: tuple[_Bucket, ...]) -> tuple[_Bucket, ...]:
        """Read all histograms of a file one way: by range as soon as one count falls."""
        if not any(bucket.histogram and bucket.histogram.falls for bucket in buckets):
            return buckets
        return tuple(bucket.told_apart() for bucket in buckets)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        seen = set()
        for bucket in self.buckets:
            key = (bucket.version, bucket.start)
            if key in seen:
                raise ValueError(f"two buckets of {bucket.version} start at {bucket.start}")
            seen.add(key)
        return self


def judge_file(path: Path) -> dict[str, Any]:
    """Return `{"result", "reason", "missing_requests", "gates"}` for a file of buckets.

    Raises `errors.PermanentFailure` with every mistake of the file when it cannot be judged.
    """
    return judge_content(_content(path), where=str(path))


def stored_buckets(path: Path) -> tuple[tuple[Bucket, ...], bool]:
    """Return the buckets of such a file, and whether they tell errors apart.

    Raises `errors.PermanentFailure` with every mistake of the file.
    """
    file = _parsed(_content(path), where=str(path))
    told = any(bucket.fingerprints is not None for bucket in file.buckets)
    return tuple(_bucket(item, file.bucket_seconds) for item in file.buckets), told


def _why(error: OSError | UnicodeDecodeError) -> str:
    return str(error.strerror) if isinstance(error, OSError) else "it is no text in UTF-8"


def _content(path: Path) -> object:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.PermanentFailure(f"{str(path)!r} cannot be read: {_why(error)}.") from error
    try:
        content: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise errors.PermanentFailure(f"{str(path)!r} is not JSON: {error}") from error
    return content


def judge_content(content: object, *, where: str) -> dict[str, Any]:
    """Return the verdict over parsed content; `where` names it in the error."""
    file = _parsed(content, where)
    limits = gate.Gates(
        **file.gates.model_dump(),
        new_errors=any(bucket.fingerprints is not None for bucket in file.buckets),
        hotfix=file.hotfix,
    )
    buckets = [_bucket(item, file.bucket_seconds) for item in file.buckets]
    try:
        report = gate.judge(
            buckets, limits, file.planned_buckets, gate.Look(weight=file.canary_weight)
        )
    except ValueError as error:
        raise errors.PermanentFailure(f"{where!r} cannot be judged: {error}") from error
    return {
        "result": report.result.value,
        "reason": report.reason.value,
        "missing_requests": report.missing_requests,
        "gates": [
            {"name": line.name, "result": line.result.value, "detail": line.detail}
            for line in report.gates
        ],
    }


def _parsed(content: object, where: str) -> _File:
    try:
        return _File.model_validate(content)
    except ValidationError as error:
        raise errors.PermanentFailure(
            f"{where!r} cannot be judged:\n" + "\n".join(_mistakes(error))
        ) from error


def _mistakes(error: ValidationError) -> Iterable[str]:
    found = error.errors(include_url=False, include_input=False)
    for item in found[:20]:
        place = ".".join(str(part) for part in item["loc"]) or "the file"
        yield f"  {place}: {item['msg'].removeprefix('Value error, ')}"
    if len(found) > 20:
        yield f"  and {len(found) - 20} more"


def _bucket(item: _Bucket, seconds: float) -> Bucket:
    """Return a bucket; requests without errors, or the other way round, measure nothing."""
    histogram = item.histogram
    measured = item.requests is not None and item.errors is not None
    return Bucket(
        version=item.version,
        start=item.start.astimezone(UTC),
        seconds=seconds,
        requests=item.requests if measured else None,
        errors=item.errors if measured else None,
        latencies_ms=item.latencies_ms,
        histogram=tuple(zip(histogram.le, histogram.count, strict=True)) if histogram else None,
        fingerprints=tuple((item.fingerprints or {}).items()),
    )
