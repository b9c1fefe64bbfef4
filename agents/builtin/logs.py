"""Log triage: gigabytes of logs to templates, counts, request error rates, onset and gaps.

Called by the roles that diagnose, and by the figures of the bench. Big files are read by several
processes. Whatever a file holds, reading ends within its limits and says in `gaps` what it missed.
"""

import dataclasses
import json
import lzma
import os
import subprocess
import sys
import zlib
from collections.abc import Sequence
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
    "Failing", "Limits", "LogReading", "Request", "RequestCounts", "Standing", "TemplateCount", "read",
]  # fmt: skip

ALONE = 32 * 1024 * 1024  # below this another process costs more than it saves


def read(
    paths: Sequence[str | Path],
    *,
    window: tuple[datetime, datetime] | None = None,
    processes: int = 2,
    limits: Limits | None = None,
) -> LogReading:
    """Read log files, at most a window [since, until) of them, into one reading; never raises over them."""
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
    tally = _scan(_cut(parts, sources, processes))
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


def _cut(parts: Sequence[Part], sources: Sequence[Source], processes: int) -> list[list[Part]]:
    """Deal the parts out to at most `processes` hands of about equal bytes, big files cut."""
    total = sum((part.stop or 0) - part.start for part in parts if part.stop is not None)
    hands: list[list[Part]] = [[] for _ in range(max(1, processes) if total >= ALONE else 1)]
    share, hand, room = total / len(hands), 0, total / len(hands)
    by_path = {source.path: source for source in sources}
    for part in parts:
        if part.stop is None:
            hands[0].append(part)
            continue
        rest = part
        while hand < len(hands) - 1 and (rest.stop or 0) - rest.start > room:
            try:
                at = logsources.boundary(by_path[rest.path], rest.start + int(room))
            except OSError:
                break
            if at >= (rest.stop or 0):
                break
            hands[hand].append(dataclasses.replace(rest, stop=at))
            rest = dataclasses.replace(rest, start=at)
            hand, room = hand + 1, share
        hands[hand].append(rest)
        room -= (rest.stop or 0) - rest.start
    return [hand for hand in hands if hand]


def _scan(hands: Sequence[Sequence[Part]]) -> Tally | None:
    """Scan the first hand here and the others in processes of their own, and merge."""
    if not hands:
        return None
    children = [[(part, _start(part)) for part in hand[:1]] for hand in hands[1:]]
    merged: Tally | None = None
    try:
        for part in hands[0]:
            merged = _merged(merged, _scan_part(part))
        for hand, started in zip(hands[1:], children, strict=True):
            for part, child in started:
                merged = _merged(merged, _collect(part, child))
            for part in hand[1:]:
                merged = _merged(merged, _scan_part(part))
    finally:
        for started in children:
            for _, child in started:
                if child.poll() is None:
                    child.kill()
                child.communicate()
    return merged


def _merged(merged: Tally | None, tally: Tally) -> Tally:
    if merged is None:
        return tally
    merged.merge(tally)
    return merged


def _start(part: Part) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-m", "agents.builtin.logscan"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={"PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)},
    )
    if child.stdin is not None:
        _send(child.stdin, json.dumps(dataclasses.asdict(part)))
    return child


def _send(stdin: IO[str], text: str) -> None:
    try:
        stdin.write(text)
        stdin.flush()
        stdin.close()
    except OSError:
        return  # a child that died at once is noticed where its tally is collected


def _collect(part: Part, child: subprocess.Popen[str]) -> Tally:
    """Return a child's tally; a child that failed or hangs is replaced by reading here."""
    if child.stdin is not None:
        child.stdin = None  # closed by `_send`; communicate would flush it again
    try:
        out, _ = child.communicate(timeout=part.seconds + 10)
        return logscan.finished(out)
    except (subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
        child.kill()
        return _scan_part(part)


def _scan_part(part: Part) -> Tally:
    """Scan one part in this process; what cannot be read further becomes a gap."""
    scanner = logscan.Scanner(part)
    try:
        if part.packed:
            with logsources.unpack(part.path, part.packed) as packed:
                return scanner.scan(packed)  # type: ignore[arg-type]
        with Path(part.path).open("rb", buffering=0) as file:
            file.seek(part.start)
            return scanner.scan(file)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        scanner.tally.gaps.append(f"{part.path}: reading ended early ({error})")
        scanner.tally.without_zone = scanner.stamps.without_zone
        return scanner.tally
