"""Monitor `haproxy`: differences of the counters that HAProxy's runtime socket shows.

Made by `rollout.wiring` for the controller, which has to ask at least twice per bucket: HAProxy
keeps sums and no history. Counters that began anew, or that nobody read, leave a bucket unmeasured.
There are averages of response times only, so they are not given at all.
"""

import csv
import io
import socket
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from incidents import errors
from incidents.models import Bucket, Version
from incidents.settings import Table

SECONDS = 5.0
MOST_BYTES = 8 << 20
KEPT = timedelta(hours=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
ANSWERS = ("hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other")
# Requests that the server did not answer: HAProxy answers for it with 502, 503 or 504.
UNANSWERED = ("econ", "eresp")

Server = Annotated[str, Field(pattern=r"^[^/\s]+/[^/\s]+$")]
Servers = Annotated[
    tuple[Server, ...],
    BeforeValidator(lambda given: (given,) if isinstance(given, str) else given),
    Field(min_length=1),
]


class Settings(Table):
    """The keys beside `source = "haproxy"`; servers are named `backend/server`."""

    socket: Annotated[str, Field(min_length=1)]
    canary: Servers
    stable: Servers

    @model_validator(mode="after")
    def _two_groups(self) -> Self:
        if both := set(self.canary) & set(self.stable):
            raise ValueError(f"{sorted(both)[0]!r} names both versions; they must be told apart")
        return self


@dataclass(frozen=True)
class Sample:
    """The counters at one moment: (requests, errors) per version, and of which process."""

    at: datetime
    process: str
    counters: dict[Version, tuple[int, int]]


class HAProxy:
    """Buckets start at multiples of `bucket` since the epoch; `now` dates the readings."""

    fingerprints = False

    def __init__(
        self,
        settings: Settings,
        *,
        bucket: timedelta,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._step = bucket
        self._slack = bucket / 2
        self._now = now
        self._samples: list[Sample] = []
        self._breaks: list[datetime] = []  # ends of the intervals in which counters began anew

    def buckets(self, version: Version, since: datetime, until: datetime) -> list[Bucket]:
        """Read the counters once and return the whole buckets inside [since, until)."""
        self._read()
        step = self._step // MICROSECOND
        first = -(-((since - EPOCH) // MICROSECOND) // step)
        last = ((until - EPOCH) // MICROSECOND) // step
        starts = [EPOCH + number * step * MICROSECOND for number in range(first, last)]
        return [self._bucket(version, start) for start in starts]

    def close(self) -> None:
        """Nothing is held open between readings."""

    def _bucket(self, version: Version, start: datetime) -> Bucket:
        seconds = self._step.total_seconds()
        begin, end = self._at(start), self._at(start + self._step)
        if begin is None or end is None or any(begin.at < one <= end.at for one in self._breaks):
            return Bucket(version, start, seconds, None, None)
        (before, failed_before), (after, failed) = (
            begin.counters[version],
            end.counters[version],
        )
        return Bucket(version, start, seconds, after - before, failed - failed_before)

    def _at(self, edge: datetime) -> Sample | None:
        """Return the last reading before an edge, None when it is too old to stand for it."""
        place = bisect_right(self._samples, edge, key=lambda sample: sample.at)
        sample = self._samples[place - 1] if place else None
        return sample if sample is not None and edge - sample.at <= self._slack else None

    def _read(self) -> None:
        shown = self._ask()
        sample = self._sample(shown)
        last = self._samples[-1] if self._samples else None
        if last is not None:
            if sample.at <= last.at:
                return  # our own clock went back; the next readings are after it again
            anew = sample.process != last.process or any(
                new < old
                for one in Version
                for new, old in zip(sample.counters[one], last.counters[one], strict=True)
            )
            if anew:
                self._breaks.append(sample.at)
        self._samples.append(sample)
        limit = sample.at - KEPT
        self._samples = [one for one in self._samples if one.at >= limit]
        self._breaks = [one for one in self._breaks if one >= limit]

    def _ask(self) -> str:
        raw = b""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as wire:
                wire.settimeout(SECONDS)
                wire.connect(self._settings.socket)
                wire.sendall(b"show info;show stat -1 4 -1\n")  # 4: servers
                while piece := wire.recv(65536):
                    raw += piece
                    if len(raw) > MOST_BYTES:
                        raise self._failure("answers with too much")
        except TimeoutError:
            raise self._failure(f"did not answer within {SECONDS:g} s") from None
        except OSError as error:
            raise self._failure(f"cannot be asked: {error.strerror or error}") from None
        return raw.decode("utf-8", "replace")

    def _sample(self, shown: str) -> Sample:
        info, mark, table = shown.partition("# pxname,")
        process = next((x for x in info.splitlines() if x.startswith("Pid: ")), None)
        if not mark or process is None:
            raise self._failure("answers something that is not its statistics")
        rows = {
            f"{row['pxname']}/{row['svname']}": row
            for row in csv.DictReader(io.StringIO("pxname," + table))
            if row.get("svname")
        }
        counters = {
            Version.CANARY: self._sum(rows, self._settings.canary),
            Version.STABLE: self._sum(rows, self._settings.stable),
        }
        return Sample(self._now(), process, counters)

    def _sum(self, rows: dict[str, dict[str, str]], servers: tuple[str, ...]) -> tuple[int, int]:
        requests = failed = 0
        for name in servers:
            row = rows.get(name)
            if row is None:
                raise self._failure(f"has no server {name!r}")
            try:
                answered = sum(int(row[key]) for key in ANSWERS)
                missing = sum(int(row[key] or 0) for key in UNANSWERED)
                failed += int(row["hrsp_5xx"]) + missing
            except (KeyError, ValueError, TypeError):
                raise self._failure(f"shows no counts for {name!r}; is it in mode http?") from None
            requests += answered + missing
        return requests, failed

    def _failure(self, what: str) -> errors.TemporaryFailure:
        return errors.TemporaryFailure(f"HAProxy at {self._settings.socket!r} {what}.")
