"""The load on the demo service, counted from outside: what users see, whatever Halon believes.

`python -m demo.traffic --target http://127.0.0.1:PORT --rate 20 --report FILE`: a steady, seeded
stream over keep-alive connections until SIGTERM (or --seconds). Each second is one JSON line in the
report; `read_report` sums them. Nothing that went wrong is retried into silence.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from demo import customers
from demo.customers import Ask

ANSWER_SECONDS = 15.0  # an answer that takes longer is lost
UNANSWERED = "none"  # stands for the revision where nobody answered


class Outcome(StrEnum):
    """What came of one request, seen by the client."""

    OK = "ok"
    REFUSED = "refused"  # 4xx: the customer's own mistake
    ERROR = "errors"  # 5xx
    LOST = "lost"  # no connection, or it broke before the whole answer was there
    # A kept connection was closed before the first byte of the answer. HTTP lets a server do that
    # (RFC 9112, 9.3.1) and a client repeat a GET, not a POST: it is counted and never repeated.
    STALE = "stale"


@dataclass
class Tally:
    """Requests by outcome."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))

    def add(self, outcome: Outcome, times: int = 1) -> None:
        """Count requests."""
        self.counts[outcome] += times

    @property
    def requests(self) -> int:
        """All requests."""
        return sum(self.counts.values())

    @property
    def error_rate(self) -> float | None:
        """The share of requests that did not get what they should; None without requests."""
        bad = sum(self.counts[one] for one in (Outcome.ERROR, Outcome.LOST, Outcome.STALE))
        return bad / self.requests if self.requests else None


@dataclass
class Second:
    """What was answered in one second; `revisions` as the answers themselves named them."""

    at: datetime
    total: Tally = field(default_factory=Tally)
    revisions: dict[str, Tally] = field(default_factory=dict)
    milliseconds: list[float] = field(default_factory=list)

    def add(self, outcome: Outcome, revision: str, took_ms: float) -> None:
        """Count one answered or unanswered request."""
        self.total.add(outcome)
        self.revisions.setdefault(revision, Tally()).add(outcome)
        self.milliseconds.append(took_ms)

    def as_line(self) -> bytes:
        """Return the second as one line of the report."""
        ordered = sorted(self.milliseconds)
        middle = {f"p{q}": round(ordered[len(ordered) * q // 100], 2) for q in (50, 95)}
        record = {
            "at": self.at.isoformat(),
            "requests": self.total.requests,
            **self.total.counts,
            "ms": middle,
            "revisions": {name: tally.counts for name, tally in self.revisions.items()},
        }
        return json.dumps(record).encode() + b"\n"


@dataclass(frozen=True)
class Summary:
    """A stretch of the report, summed up."""

    total: Tally
    revisions: dict[str, Tally]

    @property
    def lost(self) -> int:
        """Requests that got no whole answer, for whatever reason."""
        return self.total.counts[Outcome.LOST] + self.total.counts[Outcome.STALE]


def read_report(
    path: Path, since: datetime | None = None, until: datetime | None = None
) -> Summary:
    """Sum the seconds of a report from `since` until before `until`; no file is no traffic."""
    total, revisions = Tally(), dict[str, Tally]()
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        record = json.loads(line)
        at = datetime.fromisoformat(record["at"])
        if (since and at < since) or (until and at >= until):
            continue
        for name, counts in record["revisions"].items():
            tally = revisions.setdefault(name, Tally())
            for outcome in Outcome:
                total.add(outcome, counts[outcome])
                tally.add(outcome, counts[outcome])
    return Summary(total, revisions)


@dataclass
class Connection:
    """One keep-alive connection; `used` once an answer came over it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used: bool = False


class Load:
    """Sends at a steady rate, however slow the answers are, and counts them."""

    def __init__(self, target: str, report: Path) -> None:
        address = urlsplit(target)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80
        self._idle: list[Connection] = []
        self._running: set[asyncio.Task[None]] = set()
        self._second: Second | None = None
        self._file = os.open(report, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)

    async def run(self, rate: float, seed: int, stop: asyncio.Event) -> None:
        """Send until told to stop; then wait for the answers that are still out."""
        begin = time.monotonic()
        for number, ask in enumerate(customers.stream(seed)):
            wait = begin + number / rate - time.monotonic()
            if await _stopped(stop, wait):
                break
            task = asyncio.create_task(self._send(ask))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        while self._running:
            await asyncio.gather(*self._running)
        for connection in self._idle:
            connection.writer.close()
        self._write()
        os.close(self._file)

    async def _send(self, ask: Ask) -> None:
        begin = time.monotonic()
        outcome, revision = await self._outcome(ask)
        self._count(outcome, revision, (time.monotonic() - begin) * 1000)

    async def _outcome(self, ask: Ask) -> tuple[Outcome, str]:
        connection: Connection | None = None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                connection = self._kept() or await self._connect()
                outcome, revision, keep = await _exchange(connection, ask, self._host)
        except _NoAnswer:
            return Outcome.STALE, UNANSWERED
        except (OSError, asyncio.IncompleteReadError, ValueError, TimeoutError):
            if connection is not None:
                connection.writer.close()
            return Outcome.LOST, UNANSWERED
        if keep:
            connection.used = True
            self._idle.append(connection)
        else:
            connection.writer.close()
        return outcome, revision

    def _kept(self) -> Connection | None:
        """Return a kept connection; one that the server has closed by now is no longer one."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.reader.at_eof():
                return connection
            connection.writer.close()
        return None

    async def _connect(self) -> Connection:
        return Connection(*await asyncio.open_connection(self._host, self._port))

    def _count(self, outcome: Outcome, revision: str, took_ms: float) -> None:
        now = datetime.now(UTC).replace(microsecond=0)
        if self._second is None or self._second.at != now:
            self._write()
            self._second = Second(now)
        self._second.add(outcome, revision, took_ms)

    def _write(self) -> None:
        if self._second is not None:
            os.write(self._file, self._second.as_line())
            self._second = None


class _NoAnswer(Exception):
    """A connection that had served before was closed without one byte of this answer."""


async def _exchange(connection: Connection, ask: Ask, host: str) -> tuple[Outcome, str, bool]:
    """Send a request and read its answer: outcome, answering revision, may the connection stay."""
    head = (
        f"{ask.method} {ask.path} HTTP/1.1\r\nHost: {host}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(ask.body)}\r\n\r\n"
    )
    first = b""
    try:
        connection.writer.write(head.encode() + ask.body)
        await connection.writer.drain()
        first = await connection.reader.readline()
    except ConnectionError as error:
        if connection.used:
            connection.writer.close()
            raise _NoAnswer from error
        raise
    if not first:
        if connection.used:
            connection.writer.close()
            raise _NoAnswer
        raise ConnectionError("closed before the answer")
    status = int(first.split()[1])
    headers = await _read_headers(connection.reader)
    await connection.reader.readexactly(int(headers.get("content-length", "0")))
    outcome = Outcome.ERROR if status >= 500 else Outcome.REFUSED if status >= 400 else Outcome.OK
    keep = headers.get("connection", "").lower() != "close"
    return outcome, headers.get("x-revision", UNANSWERED), keep


async def _read_headers(reader: asyncio.StreamReader) -> dict[str, str]:
    headers: dict[str, str] = {}
    while line := (await reader.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return headers


async def _stopped(stop: asyncio.Event, wait: float) -> bool:
    try:
        async with asyncio.timeout(max(wait, 0)):
            await stop.wait()
    except TimeoutError:
        return False
    return True


async def _serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.seconds:
        loop.call_later(options.seconds, stop.set)
    await Load(options.target, options.report).run(options.rate, options.seed, stop)


def main(arguments: list[str]) -> int:
    """Load the target until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m demo.traffic", description=__doc__)
    parser.add_argument("--target", required=True, help="http://127.0.0.1:PORT")
    parser.add_argument("--report", type=Path, required=True, help="JSON lines, one per second")
    parser.add_argument("--rate", type=float, default=20.0, help="requests per second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=None, help="stop after so long")
    asyncio.run(_serve(parser.parse_args(arguments)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
