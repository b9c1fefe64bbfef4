"""Asks both versions the service's own read-only requests, where users ask too few for a verdict.

Run by the controller while a phase lasts, if people took that offer. GET and HEAD only, at a stated
rate, each version at its own address past the balancer; counted as a source of their own, so that
they are never taken for users' requests. Redirects are not followed; an answer is read and dropped.
"""

import itertools
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Self

import httpx
from pydantic import Field, ValidationError, model_validator

from incidents import errors
from incidents.models import Bucket, Version
from incidents.settings import Service, Table

READ_ONLY = ("GET", "HEAD")
LOGGED = re.compile(r'(?:^|")(GET|HEAD) (/[^\s"]*)')  # a plain line, or one of an access log
MOST_RECORDED = 1000
MARK = "X-Halon-Replay"
UNHEARD_SECONDS = 30.0  # who counts for nobody that long stops
APART = frozenset({"haproxy"})  # sources that see only what goes through the balancer
Address = Annotated[str, Field(pattern=r"^https?://[^\s/]+/?$")]


class Settings(Table):
    """The keys of [service.replay]."""

    canary: Address
    stable: Address
    requests: tuple[str, ...] = ()  # "GET /products", harmless however often it is asked
    recorded: Path | None = None  # lines of an access log, or such requests
    only: tuple[str, ...] = ()  # of the recorded ones those whose path begins so
    per_minute: Annotated[float, Field(gt=0, le=600, allow_inf_nan=False)] = 60.0  # to each version
    headers: dict[str, str] = Field(default_factory=dict)
    timeout: Annotated[float, Field(gt=0, le=30, allow_inf_nan=False)] = 5.0
    apart: bool = False  # the monitor leaves out requests that carry X-Halon-Replay

    @model_validator(mode="after")
    def _is_harmless(self) -> Self:
        if wrong := [one for one in self.requests if not re.fullmatch(LOGGED, one)]:
            raise ValueError(f"{wrong[0]!r} is no GET or HEAD of a path")
        if self.canary == self.stable:
            raise ValueError("both versions have one address; they must be told apart")
        if not self.requests and self.recorded is None:
            raise ValueError("name `requests`, or a file with `recorded` ones")
        if self.recorded is not None and not self.only:
            raise ValueError("`only` must name the paths that may be asked of what is `recorded`")
        return self

    def chosen(self) -> tuple[tuple[str, str], ...]:
        """Return the requests as (method, path); raises `errors.PermanentFailure` without any."""
        found = [(one.partition(" ")[0], one.partition(" ")[2]) for one in self.requests]
        if self.recorded is not None:
            try:
                lines = self.recorded.read_text(encoding="utf-8", errors="replace").splitlines()
            except OSError as error:
                why = f"Recorded requests cannot be read: {error}."
                raise errors.PermanentFailure(why) from error
            logged = (one for line in reversed(lines) if (one := LOGGED.search(line)))
            mine = ((one[1], one[2]) for one in logged if one[2].startswith(self.only))
            found += itertools.islice(mine, MOST_RECORDED)
        if not found:
            raise errors.PermanentFailure("There is no request that may be replayed.")
        return tuple(found)


def settings(service: Service) -> Settings | None:
    """Return the service's own, None without; raises `errors.BadSettings` with every mistake."""
    if service.replay is None:
        return None
    try:
        return Settings.model_validate(service.replay.model_extra or {})
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'together'}: {one['msg']}"
            for one in error.errors(include_url=False, include_input=False)
        )
        raise errors.BadSettings(
            f"Service {service.name!r}: [service.replay] has mistakes: {told}."
        ) from error


def offered(service: Service) -> tuple[float | None, str]:
    """Return the rate per version at which requests can be replayed, or None and why they cannot.

    Without settings there is neither.
    """
    try:
        given = settings(service)
        if given is None:
            return None, ""
        given.chosen()
    except errors.HalonError as error:
        return None, error.message
    source = service.monitor.source if service.monitor else "accesslog"
    if source not in APART and not given.apart:
        return None, (
            f"Monitor {source!r} would count replayed requests as users': let it leave out those "
            f"that carry {MARK}, and set apart = true in [service.replay]."
        )
    return given.per_minute, ""


@dataclass
class _Cell:
    requests: int = 0
    errors: int = 0
    times: list[float] = field(default_factory=list)


class Replaying:
    """Asks from `start` to `close`; one thread per version, each at its own steady pace."""

    def __init__(self, given: Settings, rollout: str, bucket: timedelta) -> None:
        self._given, self._rollout = given, rollout
        self._requests = given.chosen()
        self._bucket = max(bucket.total_seconds(), 0.1)
        self._cells: dict[tuple[Version, int], _Cell] = {}
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._next = 0  # the first bucket that was not handed out
        self._looked = 0.0  # when somebody last took what was counted

    def start(self) -> None:
        """Begin to ask."""
        self._looked = time.monotonic()
        self._next = self._index(time.time()) + 1  # the one that has begun is not whole
        for version, address in (
            (Version.CANARY, self._given.canary), (Version.STABLE, self._given.stable),
        ):  # fmt: skip
            thread = threading.Thread(
                target=self._ask, args=(version, address), name=f"replay {version}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    @property
    def alive(self) -> bool:
        """Whether both versions are still asked."""
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """Ask nothing more."""
        self._stop.set()
        for thread in self._threads:
            thread.join(self._given.timeout + 1)

    def taken(self, until: datetime) -> list[Bucket]:
        """Return the whole buckets before a moment that were not returned yet, oldest first."""
        end = self._index(until.timestamp())
        self._looked = time.monotonic()
        found = []
        with self._guard:
            for index in range(self._next, end):
                for version in (Version.CANARY, Version.STABLE):
                    cell = self._cells.pop((version, index), _Cell())
                    found.append(self._counted(version, index, cell))
            self._next = max(self._next, end)
        return found

    def _counted(self, version: Version, index: int, cell: _Cell) -> Bucket:
        return Bucket(
            version,
            datetime.fromtimestamp(index * self._bucket, UTC),
            self._bucket,
            cell.requests,
            cell.errors,
            latencies_ms=tuple(cell.times),
        )

    def _index(self, at: float) -> int:
        return int(at // self._bucket)

    def _ask(self, version: Version, address: str) -> None:
        pause, due = 60 / self._given.per_minute, time.monotonic()
        headers = {"User-Agent": "halon-replay", **self._given.headers, MARK: self._rollout}
        client: Callable[[], httpx.Client] = lambda: httpx.Client(  # noqa: E731
            base_url=address, headers=headers, timeout=self._given.timeout, trust_env=False
        )
        with client() as asking:
            for method, path in itertools.cycle(self._requests):
                # Who answers slowly is asked less often, never many times at once.
                due = max(due + pause, time.monotonic())
                if self._stop.wait(max(0.0, due - time.monotonic())):
                    return
                if time.monotonic() - self._looked > UNHEARD_SECONDS:
                    return  # another controller leads by now, and asks for itself
                self._count(version, *_answered(asking, method, path))

    def _count(self, version: Version, failed: bool, seconds: float) -> None:
        with self._guard:
            cell = self._cells.setdefault((version, self._index(time.time())), _Cell())
            cell.requests += 1
            cell.errors += failed
            cell.times.append(seconds * 1000)


def _answered(asking: httpx.Client, method: str, path: str) -> tuple[bool, float]:
    """Return whether a request failed, as a user would say, and how long it took in seconds."""
    begun = time.monotonic()
    try:
        with asking.stream(method, path) as answer:
            for _ in answer.iter_raw():
                pass
        failed = answer.status_code >= 500
    except (httpx.HTTPError, httpx.InvalidURL):
        failed = True
    return failed, time.monotonic() - begun
