"""Counts of what the scanner meets, of bounded size whatever the log holds; merged across
processes.

Used by the log scanner and the log reading. The only mutable state of the triage. Templates beyond
the cap push the rarest ones out into the entry `OTHER`, so a flood of noise cannot hide a fault.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields

from agents.builtin.logfields import Request

OTHER = "other"
# Each width divides the next, so that counts can be made coarser but never have to be made finer.
WIDTHS = (0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0)
AIM = 240  # buckets of a reading, at most
MAX_CELLS = 200_000
MAX_NAMES = 8  # files and revisions remembered per template
PER_KEY = 10  # failing requests remembered per template


def width_for(span: float) -> float:
    """Return the narrowest width in seconds that covers a span by at most `AIM` buckets."""
    return next((width for width in WIDTHS if span <= width * AIM), WIDTHS[-1])


@dataclass(slots=True)
class Entry:
    """The counts of one template."""

    text: str
    exception: str | None
    frame: str | None
    count: int = 0
    first: float = math.inf
    last: float = -math.inf
    cells: dict[int, int] = field(default_factory=dict)
    sample: str = ""
    trace: str = ""
    where: str = ""
    request: Request | None = None
    files: list[str] = field(default_factory=list)
    revisions: list[str] = field(default_factory=list)

    def absorb(self, other: "Entry") -> None:
        """Add the counts of the same template from elsewhere; the earlier sample stays."""
        if other.sample and (not self.sample or other.first < self.first):
            self.sample, self.trace, self.where = other.sample, other.trace, other.where
            self.request = other.request or self.request
        self.count += other.count
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        for cell, count in other.cells.items():
            self.cells[cell] = self.cells.get(cell, 0) + count
        self.files = _few(self.files + other.files)
        self.revisions = _few(self.revisions + other.revisions)
        self.request = self.request or other.request


@dataclass(frozen=True, slots=True)
class Failing:
    """A request that failed, as replayable as the log allows;
    `key` is the template of its error line.
    """

    at: float | None
    request: Request
    key: str | None
    revision: str | None


@dataclass(slots=True)
class Tally:
    """Everything counted in one part of the logs; cells are counts per `width` seconds since the
    epoch.
    """

    width: float
    cap: int = 2000
    samples: int = 50
    bytes: int = 0
    lines: int = 0
    continued: int = 0
    errors: int = 0
    untimed: int = 0
    cut: int = 0
    estimated: int = 0
    first: float = math.inf
    last: float = -math.inf
    cells: Counter[int] = field(default_factory=Counter)
    requests: Counter[int] = field(default_factory=Counter)
    failures: Counter[int] = field(default_factory=Counter)
    entries: dict[str, Entry] = field(default_factory=dict)
    failing: dict[tuple[str, str, str | None], Failing] = field(default_factory=dict)
    spilled: int = 0
    without_zone: bool = False
    gaps: list[str] = field(default_factory=list)
    _made: int = 0
    _kept: dict[str | None, int] = field(default_factory=dict)

    def see(self, at: float) -> None:
        """Widen the span that the reading covers."""
        self.first, self.last = min(self.first, at), max(self.last, at)

    def entry(self, key: str, text: str, exception: str | None, frame: str | None) -> Entry:
        """Return the entry of a template, making room for it if it is new."""
        found = self.entries.get(key)
        if found is None:
            if len(self.entries) >= self.cap:
                self._spill()
            found = self.entries[key] = Entry(text, exception, frame)
        return found

    def count(self, entry: Entry, at: float | None, weight: int) -> None:
        """Count an error record at a time; without one it counts, but in no bucket."""
        self.errors += weight
        entry.count += weight
        if at is None:
            self.untimed += weight
            return
        self.see(at)
        entry.first, entry.last = min(entry.first, at), max(entry.last, at)
        cell = int(at // self.width)
        self.cells[cell] += weight
        if cell not in entry.cells:
            self._made += 1
            if self._made > MAX_CELLS:
                self._coarsen_once()
                cell = int(at // self.width)
        entry.cells[cell] = entry.cells.get(cell, 0) + weight

    def wants(self, key: str | None) -> bool:
        """Tell whether another failing request of a template could still be remembered."""
        return self._kept.get(key, 0) < PER_KEY and (
            len(self.failing) < self.samples or key is not None
        )

    def keep(self, failing: Failing) -> None:
        """Remember a failing request if it is a new one and there is room,
        by template and in all.
        """
        request = failing.request
        key = (request.method, request.path, request.body)
        held = self.failing.get(key)
        if held is not None:
            if held.key is None and failing.key is not None:
                self.failing[key] = failing
                self._kept[failing.key] = self._kept.get(failing.key, 0) + 1
            return
        if len(self.failing) < self.samples and self.wants(failing.key):
            self.failing[key] = failing
            self._kept[failing.key] = self._kept.get(failing.key, 0) + 1

    def coarsen(self, width: float) -> None:
        """Restate all cells at a greater width of `WIDTHS`."""
        if width <= self.width:
            return
        step = width / self.width
        self.cells = Counter(_fold(self.cells, step))
        self.requests = Counter(_fold(self.requests, step))
        self.failures = Counter(_fold(self.failures, step))
        for entry in self.entries.values():
            entry.cells = _fold(entry.cells, step)
        self._made = sum(len(entry.cells) for entry in self.entries.values())
        self.width = width

    def merge(self, other: "Tally") -> None:
        """Add the tally of another part; both end at the coarser of their widths."""
        width = max(self.width, other.width)
        self.coarsen(width)
        other.coarsen(width)
        for name in ("bytes", "lines", "continued", "errors", "untimed", "cut", "estimated"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.spilled += other.spilled
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.cells.update(other.cells)
        self.requests.update(other.requests)
        self.failures.update(other.failures)
        for key, entry in other.entries.items():
            self.entry(key, entry.text, entry.exception, entry.frame).absorb(entry)
        for failing in other.failing.values():
            self.keep(failing)
        self.without_zone |= other.without_zone
        self.gaps += other.gaps

    def to_json(self) -> dict[str, object]:
        """Return plain values for the parent process."""
        names = (f.name for f in fields(self) if not f.name.startswith("_"))
        plain: dict[str, object] = {name: getattr(self, name) for name in names}
        plain["entries"] = {key: asdict(entry) for key, entry in self.entries.items()}
        plain["failing"] = [asdict(failing) for failing in self.failing.values()]
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, object]) -> "Tally":
        """Return the tally that `to_json` gave away."""
        values: dict[str, object] = dict(plain)
        for name in ("cells", "requests", "failures"):
            values[name] = Counter(_cells(values[name]))
        entries, failing = values["entries"], values["failing"]
        if not isinstance(entries, dict) or not isinstance(failing, list):
            raise ValueError("not a tally")
        values["entries"] = {key: _entry(value) for key, value in entries.items()}
        values["failing"] = {}
        tally = cls(**values)  # type: ignore[arg-type]
        for value in failing:
            tally.keep(Failing(**{**value, "request": Request(**value["request"])}))
        return tally

    def _spill(self) -> None:
        """Fold the rarest quarter into `OTHER`."""
        rare = sorted(self.entries, key=lambda key: (key == OTHER, self.entries[key].count))
        gone = [self.entries.pop(key) for key in rare[: max(2, self.cap // 4)]]
        other = self.entries.setdefault(
            OTHER, Entry("(rare templates beyond the limit)", None, None)
        )
        for entry in gone:
            self.spilled += 1
            entry.files, entry.revisions, entry.request = [], [], None
            other.absorb(entry)

    def _coarsen_once(self) -> None:
        wider = [width for width in WIDTHS if width > self.width]
        if wider:
            self.coarsen(wider[0])
        else:
            self._made = 0


def add_name(names: list[str], name: str | None) -> None:
    """Add a file or revision to the few that an entry remembers."""
    if name and name not in names and len(names) < MAX_NAMES:
        names.append(name)


def _few(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))[:MAX_NAMES]


def _fold(cells: Mapping[int, int], step: float) -> dict[int, int]:
    folded: dict[int, int] = {}
    for cell, count in cells.items():
        to = int(cell // step)
        folded[to] = folded.get(to, 0) + count
    return folded


def _cells(value: object) -> dict[int, int]:
    return {int(k): v for k, v in value.items()} if isinstance(value, dict) else {}


def _entry(value: dict[str, object]) -> Entry:
    request = value["request"]
    return Entry(
        **{
            **value,
            "cells": _cells(value["cells"]),
            "request": Request(**request) if isinstance(request, dict) else None,
        }  # type: ignore[arg-type]
    )
