"""LogQuery: lines of the service's logs that hold some text, counted, first and last shown.

Reads only the files that the case names, plain or gzip, in blocks, within a time limit; the model
names no path.
"""

import gzip
import time
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Annotated

from pydantic import Field

from agents.tools.contract import Answer, Arguments, Tool
from agents.tools.desk import Desk
from incidents import errors
from incidents.models import EvidenceKind

BLOCK = 4 * 1024 * 1024
SECONDS = 15.0
SHOWN = 25  # hits from the head, and as many from the tail
MOST_LINES = 4 * SHOWN  # of the head, with the lines after its hits
LINE = 600
GZIP = b"\x1f\x8b"


class LogArguments(Arguments):
    """What to look for."""

    contains: str = Field(min_length=1, max_length=300, description="Text that the line holds.")
    without: Annotated[str | None, Field(description="Leave out lines that hold this.")] = None
    around: Annotated[int, Field(ge=0, le=20, description="Lines to show after each hit.")] = 0


@dataclass
class Hits:
    """What one query found."""

    count: int = 0
    first: int = 0  # how many of them stand in `head`
    head: list[str] = field(default_factory=list)
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=SHOWN))
    gaps: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        """Count a line and keep it if it is among the first or the last."""
        self.count += 1
        if self.first < SHOWN:
            self.first += 1
            self.head.append(line)
        else:
            self.tail.append(line)

    def follow(self, line: str) -> None:
        """Keep a line that stands after one of the first hits; a log is longer than our memory."""
        if not self.tail and len(self.head) < MOST_LINES:
            self.head.append(line)

    @property
    def left_out(self) -> int:
        """Say how many hits are neither among the first nor among the last."""
        return self.count - self.first - len(self.tail)


def tools(desk: Desk) -> list[Tool]:
    """Return the tool that queries logs."""

    def query(given: LogArguments) -> Answer:
        logs = desk.bench.case.logs
        if not logs:
            raise errors.ToolRefused("No log of this service was given; that is a gap to name.")
        until = time.monotonic() + min(SECONDS, max(1.0, desk.bench.deadline.left))
        hits = Hits()
        for path in logs:
            _scan(path, given, desk.teller.meant(given.contains), hits, until)
        if not hits.count and not hits.gaps:
            return Answer(f"No line of {len(logs)} log files holds {given.contains!r}.")
        between = [f"[… {hits.left_out} lines …]"] if hits.left_out else []
        lines = [*hits.head, *between, *hits.tail]
        lines += [f"gap: {gap}" for gap in hits.gaps]
        where = f"{hits.count} lines hold {given.contains!r}"
        return desk.record(EvidenceKind.LOG, "log query", where, "\n".join(lines))

    described = (
        "Find lines of the service's logs by a text that they hold (no pattern). Says how many "
        "there are, and shows the first and the last. The answer begins with its evidence id."
    )
    return [Tool("LogQuery", described, LogArguments, query, restore=desk.restore_evidence)]


def _scan(path: Path, given: LogArguments, contains: str, hits: Hits, until: float) -> None:
    needle = contains.encode()
    unwanted = given.without.encode() if given.without else None
    after = 0
    try:
        with _opened(path) as file:
            for block in _blocks(file):
                if time.monotonic() > until:
                    hits.gaps.append(f"{path.name} was not read to its end: the time was up")
                    return
                if not after and needle not in block:
                    continue
                for line in block.split(b"\n"):
                    hit = needle in line and (unwanted is None or unwanted not in line)
                    if hit or after:
                        after = given.around if hit else after - 1
                        text = line[:LINE].decode("utf-8", "replace")
                        hits.add(f"{path.name}: {text}") if hit else hits.follow(f"  {text}")
    except (OSError, EOFError, zlib.error) as error:
        hits.gaps.append(f"{path.name} cannot be read whole ({type(error).__name__})")


def _opened(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Yield blocks that end where a line ends; a line longer than a block is cut there."""
    rest = b""
    while block := file.read(BLOCK):
        whole, newline, tail = (rest + block).rpartition(b"\n")
        if not newline and len(tail) < 2 * BLOCK:
            rest = tail
            continue
        yield whole if newline else tail
        rest = tail if newline else b""
    if rest:
        yield rest
