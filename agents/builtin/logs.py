"""Log triage: gigabytes of logs to templates, counts, request error rates, onset and gaps.

Called by the roles that diagnose, and by the figures of the bench. Big files are read by several
processes. Whatever a file holds, reading ends within its limits and says in `gaps` what it missed.
"""

import contextlib
import dataclasses
import json
import lzma
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO

from agents.builtin import logreading, logscan, logsources, tallies
from agents.builtin.logfields import Request
from agents.builtin.logreading import Limits, LogReading, RequestCounts, Standing, TemplateCount
from agents.builtin.logscan import Part
from agents.builtin.logsources import Source
from agents.builtin.tallies import Failing, Tally

__all__ = [
    "Failing", "Limits", "LogReading", "Request", "RequestCounts", "Standing", "TemplateCount",
    "read",
]  # fmt: skip

ALONE = 32 * 1024 * 1024  # below this another process costs more than it saves
DEALS = 4  # pieces of a big file per process


def read(
    paths: Sequence[str | Path],
    *,
    window: tuple[datetime, datetime] | None = None,
    processes: int = 2,
    limits: Limits | None = None,
) -> LogReading:
    """Read log files, at most a window [since, until) of them, into one reading;
    never raises over them.
    """
    limits = limits or Limits()
    gaps: list[str] = [] if paths else ["no log file was given"]
    sources: list[Source] = []
    for path in paths:
        found = logsources.examine(os.fspath(path))
        if isinstance(found, str):
            gaps.append(found)
        else:
            sources.append(found)
            gaps += found.gaps
    since, until = (moment.timestamp() for moment in window) if window else (None, None)
    width = _width(sources, since, until)
    parts = [part for source in sources for part in _parts(source, width, since, until, limits)]
    tally = _scan(_hands(parts, sources, processes))
    if tally is None:
        tally = Tally(width)
    return logreading.assemble(tally, tuple(gaps), tuple(s.path for s in sources), window)


def _width(sources: Sequence[Source], since: float | None, until: float | None) -> float:
    if any(source.packed for source in sources):
        return tallies.WIDTHS[
            0
        ]  # the end of a packed file is unknown; cells are merged as they grow
    times = [at for s in sources for at in (s.first, s.last) if at is not None]
    if not times:
        return tallies.WIDTHS[0]
    early = max(min(times), since) if since is not None else min(times)
    late = min(max(times), until) if until is not None else max(times)
    return tallies.width_for(max(0.0, late - early))


def _parts(
    source: Source, width: float, since: float | None, until: float | None, limits: Limits
) -> list[Part]:
    try:
        start, stop = logsources.bounds(source, since, until)
        start = logsources.boundary(source, start)
    except OSError:
        start, stop = 0, source.size
    return [
        Part(
            path=source.path, start=0 if source.packed else start,
            stop=None if source.packed else stop, packed=source.packed, needles=source.needles,
            status=source.status, stamped=source.stamped, width=width, year=source.year,
            since=since, until=until, templates=limits.templates, samples=limits.requests,
            full_records=limits.full_records, seconds=limits.seconds, unpacked=limits.unpacked,
        )
    ]  # fmt: skip


def _hands(parts: Sequence[Part], sources: Sequence[Source], processes: int) -> list[list[Part]]:
    """Deal the parts out in turns: failures cluster in time,
    so neighbours go to different hands.
    """
    total = sum(part.stop - part.start for part in parts if part.stop is not None)
    if total < ALONE or processes < 2:
        return [list(parts)] if parts else []
    by_path = {source.path: source for source in sources}
    share = max(ALONE // 4, total // (processes * DEALS))
    pieces = [piece for part in parts for piece in _pieces(part, by_path[part.path], share)]
    packed = [part for part in parts if part.stop is None]
    hands = [pieces[hand::processes] for hand in range(processes)]
    return [packed + hands[0], *(hand for hand in hands[1:] if hand)]


def _pieces(part: Part, source: Source, share: int) -> Iterator[Part]:
    """Cut a part at record boundaries into pieces of about `share` bytes; the packed have none."""
    if part.stop is None:
        return
    start = part.start
    while start < part.stop:
        try:
            stop = min(part.stop, logsources.boundary(source, start + share))
        except OSError:
            stop = part.stop
        if part.stop - stop < share // 2:
            stop = part.stop
        yield dataclasses.replace(part, start=start, stop=stop)
        start = stop


def _scan(hands: Sequence[Sequence[Part]]) -> Tally | None:
    """Scan the first hand here and the others in processes of their own, and merge."""
    merged: Tally | None = None
    children = [(hand, _start(hand)) for hand in hands[1:]]
    try:
        for part in hands[0] if hands else ():
            merged = logscan.join(merged, _scan_part(part))
        for hand, child in children:
            merged = logscan.join(merged, _collect(hand, child))
    finally:
        for _, child in children:
            if child.poll() is None:
                child.kill()
            child.wait()
            if child.stdout is not None:
                child.stdout.close()
    return merged


def _start(hand: Sequence[Part]) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "agents.builtin.logscan"],  # not from where it was typed
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={"PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)},
    )
    if child.stdin is not None:
        _send(child.stdin, json.dumps([dataclasses.asdict(part) for part in hand]))
    return child


def _send(stdin: IO[str], text: str) -> None:
    try:
        stdin.write(text)
        stdin.flush()
        stdin.close()
    except OSError:
        return  # a child that died at once is noticed where its tally is collected


def _collect(hand: Sequence[Part], child: subprocess.Popen[str]) -> Tally:
    """Return a child's tally; what a child that failed or hangs was given is read here instead."""
    child.stdin = None  # closed by `_send`; communicate would flush it again
    try:
        out, _ = child.communicate(timeout=sum(part.seconds for part in hand) + 10)
        return logscan.finished(out)
    except (subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
        merged: Tally | None = None
        for part in hand:
            merged = logscan.join(merged, _scan_part(part))
        return merged or Tally(tallies.WIDTHS[0])


def _scan_part(part: Part) -> Tally:
    """Scan one part in this process; what cannot be read further becomes a gap."""
    scanner = logscan.Scanner(part)
    try:
        if part.packed:
            with contextlib.closing(logsources.Unpacked(part.path, part.packed)) as packed:
                return scanner.scan(packed)
        with Path(part.path).open("rb", buffering=0) as file:
            file.seek(part.start)
            return scanner.scan(file)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        scanner.tally.gaps.append(f"{part.path}: reading ended early ({error})")
        scanner.tally.without_zone = scanner.stamps.without_zone
        return scanner.tally
