"""Monitor `accesslog`: counts from an access log that it follows through rotation.

Made by `rollout.wiring` for the controller. It reads every line once, keeps counts and not lines,
and leaves a line that is not finished for later. A file that is missing or silent is a gap.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from incidents.models import Bucket, Version
from incidents.settings import Table
from rollout.monitors.errorlog import ErrorLog
from rollout.monitors.following import Follower, find
from rollout.monitors.lines import Line, json_line

KEPT = timedelta(hours=3)
MOST_TIMES = 2000  # response times kept per bucket and version; the counts stay exact
AHEAD = 60.0  # seconds by which a writer's clock may be ahead of ours
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def _is_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("is no time zone; a name is, for example, 'Europe/Berlin'") from error
    return name


Names = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(lambda given: (given,) if isinstance(given, str) else given),
    Field(min_length=1),
]


class Settings(Table):
    """The keys beside `source = "accesslog"`."""

    path: Annotated[str, Field(min_length=1)] | None = None  # None: the log of `halon host`
    format: Literal["json", "haproxy", "nginx", "combined", "common"] = "json"
    field: Annotated[str, Field(min_length=1)] | None = None  # where the version's name stands
    canary: Names = (Version.CANARY.value,)
    stable: Names = (Version.STABLE.value,)
    zone: Annotated[str, AfterValidator(_is_zone)] | None = None
    silence: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] = 120.0  # seconds
    errors: Annotated[str, Field(min_length=1)] | None = None  # the service's JSON error log

    @model_validator(mode="after")
    def _two_groups(self) -> Self:
        if both := set(self.canary) & set(self.stable):
            raise ValueError(f"{sorted(both)[0]!r} names both versions; they must be told apart")
        if self.format == "haproxy" and self.field is not None:
            raise ValueError("'field' has no meaning here: the version is the server's name")
        if self.path is None and self.model_fields_set - {"errors"}:
            raise ValueError("needs the path of the access log")
        return self


@dataclass
class Cell:
    """The counts of one version in one bucket."""

    requests: int = 0
    errors: int = 0
    times: list[float] = field(default_factory=list)
    fingerprints: dict[str, int] = field(default_factory=dict)

    def add(self, line: Line) -> None:
        """Count one request. Only answers are timed: a crash is often the fastest answer."""
        self.requests += 1
        if line.status >= 500:
            self.errors += 1
            if line.fingerprint is not None:
                key = line.fingerprint[:300]
                self.fingerprints[key] = self.fingerprints.get(key, 0) + 1
        elif line.milliseconds is not None and len(self.times) < MOST_TIMES:
            self.times.append(max(0.0, line.milliseconds))


NOTHING = Cell()


class AccessLog:
    """Follows one log. Buckets start at multiples of `bucket` since the epoch.

    `silence`: the longest pause between two lines, or after the last one, that still means "nobody
    asked". A longer one means that nobody measured. `errors`: where errors are told apart.
    """

    def __init__(
        self,
        path: Path,
        *,
        bucket: timedelta,
        silence: timedelta,
        parse: Callable[[bytes], Line | None] = json_line,
        errors: ErrorLog | None = None,
    ) -> None:
        self._bucket_us = bucket // MICROSECOND  # whole numbers: float edges would skip buckets
        self._seconds = bucket.total_seconds()
        self._silence = silence.total_seconds()
        self._parse = parse
        self._errors = errors
        self._follower = Follower(
            path,
            lambda file, since: find(
                file, since - 2 * self._silence - self._seconds, self._time_of
            ),
        )
        self._cells: dict[tuple[Version, int], Cell] = {}
        self._unreadable: dict[int, int] = {}
        self._first: float | None = None
        self._last: float | None = None
        self._gaps: list[tuple[float, float]] = []
        self._lost = False  # lines may have been missed before the next one

    @property
    def fingerprints(self) -> bool:
        """Whether there is an error log that tells errors apart."""
        return self._errors is not None

    def buckets(self, version: Version, since: datetime, until: datetime) -> list[Bucket]:
        """Return the whole buckets inside [since, until), oldest first."""
        if self._errors is not None:
            self._errors.follow(since, until)
        self._follow(since.timestamp())
        first = -(-((since - EPOCH) // MICROSECOND) // self._bucket_us)
        last = ((until - EPOCH) // MICROSECOND) // self._bucket_us
        self._forget(until - KEPT)
        return [self._bucket(version, number) for number in range(first, last)]

    def close(self) -> None:
        """Close the files."""
        self._follower.close()
        if self._errors is not None:
            self._errors.close()

    def _bucket(self, version: Version, number: int) -> Bucket:
        start = EPOCH + number * self._bucket_us * MICROSECOND
        if not self._measured(number):
            return Bucket(version, start, self._seconds, None, None)
        cell = self._cells.get((version, number), NOTHING)
        told = dict(cell.fingerprints)
        if self._errors is not None:
            told |= self._errors.counts(version, number)
        return Bucket(
            version,
            start,
            self._seconds,
            cell.requests,
            cell.errors,
            latencies_ms=tuple(cell.times),
            fingerprints=tuple(sorted(told.items())),
        )

    def _measured(self, number: int) -> bool:
        """Return whether somebody was writing all through a bucket."""
        if self._first is None or self._last is None:
            return False
        begin, end = (edge * self._bucket_us / 1e6 for edge in (number, number + 1))
        # Lines carry the time of the answer, so the first ones after a start may be partial.
        if begin < self._first - self._silence or end > self._last + self._silence:
            return False
        if any(begin < gap_end and end > gap_begin for gap_begin, gap_end in self._gaps):
            return False
        seen = sum(self._cells.get((one, number), NOTHING).requests for one in Version)
        return self._unreadable.get(number, 0) <= seen

    def _follow(self, since: float) -> None:
        """Count what was added since the last call."""
        for raw in self._follower.lines(since):
            if raw is None:
                self._lost = True
            else:
                self._take(raw)

    def _time_of(self, raw: bytes) -> float | None:
        line = self._parse(raw)
        return None if line is None else line.at

    def _take(self, raw: bytes) -> None:
        line = self._parse(raw)
        if line is None or line.at > time.time() + AHEAD:
            # A line from the future would make all the silence until then look watched.
            place = self._place(self._last or 0.0)
            self._unreadable[place] = self._unreadable.get(place, 0) + 1
            return
        if self._first is None:
            self._first = line.at
        last = self._last
        if last is not None and (self._lost or line.at - last > self._silence):
            self._gaps.append((last, line.at))
        self._lost = False
        self._last = line.at if last is None else max(last, line.at)
        if line.version is not None:
            key = (line.version, self._place(line.at))
            self._cells.setdefault(key, Cell()).add(line)

    def _place(self, at: float) -> int:
        return round(at * 1e6) // self._bucket_us

    def _forget(self, before: datetime) -> None:
        limit = self._place(before.timestamp())
        for key in [key for key in self._cells if key[1] < limit]:
            del self._cells[key]
        for place in [place for place in self._unreadable if place < limit]:
            del self._unreadable[place]
        self._gaps = [gap for gap in self._gaps if gap[1] >= before.timestamp()]
