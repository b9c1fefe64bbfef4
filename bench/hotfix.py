"""Measures the fire extinguisher: from a HOTFIX file being whole to a verified fix on the disk.

Run by `make bench`. Twelve and more different crashes come from the seeded generator of the tests
(tests/histories.py); each is dropped into its own working tree under a real `halon hotfix --watch`.
The anchor is one run of the test that shows the crash, on the same machine in the same run.
"""

import contextlib
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from agents.hotfix import tracker

ROOT = Path(__file__).resolve().parents[1]
HALON = Path(sys.executable).with_name("halon")
FIRST_SEED, CRASHES, MOST_SEEDS = 7100, 14, 60
LONGEST = 90.0
LINES = 60
END = "<!-- /halon -->"


@dataclass(frozen=True)
class Row:
    """One crash: how it ended, by what, and how long it took from the file being whole."""

    kind: str
    state: str
    remedy: str
    begun: float  # seconds until the watch says that it works on the file
    seconds: float
    test_seconds: float
    said: str


def rows() -> list[dict[str, Any]]:
    """Return the figures as `bench` prints them."""
    with tempfile.TemporaryDirectory(prefix="halon-bench-") as folder:
        done = [measure(made, text) for made, text in crashes(Path(folder))]
    held = [row for row in done if row.state == "contained"]
    seconds = sorted(row.seconds for row in done)
    tests = statistics.median(row.test_seconds for row in done)
    median = statistics.median(seconds)
    begun = sorted(row.begun for row in done)
    by = Counter(row.remedy for row in held)
    missed = "; ".join(f"{row.kind}: {row.said[:110]}" for row in done if row not in held)
    return [
        {
            "what": f"HOTFIX file whole → answered, {len(done)} different crashes",
            "aim": "median < 10 s, worst < 60 s",
            "value": f"median {median:.1f} s, worst {seconds[-1]:.1f} s",
            "anchor": f"one run of the failing test, median {tests:.2f} s",
            "ratio": f"{median / tests:.1f}",
        },
        {
            "what": "HOTFIX file whole → work begins",
            "aim": "< 2 s",
            "value": f"median {statistics.median(begun):.2f} s, worst {begun[-1]:.2f} s",
            "anchor": f"a file counts as whole once it rests for {tracker.QUIET_SECONDS} s",
            "ratio": f"{statistics.median(begun) / tracker.QUIET_SECONDS:.1f}",
        },
        {
            "what": "contained, and by what",
            "aim": "as many as can be without harm",
            "value": f"{len(held)} of {len(done)} "
            f"({', '.join(f'{name} {count}' for name, count in by.most_common())})",
            "anchor": f"not contained: {missed or 'none'}",
            "ratio": None,
        },
    ]


def crashes(room: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield histories of different kinds whose failure printed a traceback, and its words."""
    kinds: set[str] = set()
    for seed in range(FIRST_SEED, FIRST_SEED + MOST_SEEDS):
        if len(kinds) == CRASHES:
            return
        dest = room / str(seed)
        argv = [sys.executable, "tests/histories.py", "--seed", str(seed), "--guilty", "--dest"]
        made = subprocess.run([*argv, str(dest)], cwd=ROOT, capture_output=True, check=True)
        history = json.loads(made.stdout)
        words = _words(history)
        if words and history["kind"] not in kinds:
            kinds.add(history["kind"])
            yield history, words


def _words(history: dict[str, Any]) -> str:
    """Return what a person would paste: the trace, else the log around the last traceback."""
    if history["trace"]:
        return Path(history["trace"]).read_text("utf-8")
    lines = Path(history["logs"][0]).read_text("utf-8", "replace").splitlines()
    begun = [number for number, line in enumerate(lines) if "Traceback (most recent" in line]
    return "\n".join(lines[begun[-1] :][:LINES]) + "\n" if begun else ""


def measure(history: dict[str, Any], words: str) -> Row:
    """Drop the words into the history's tree under a watch and wait for the answer."""
    root = Path(history["repo"])
    place = root / "tasks/hotfix"
    place.mkdir(parents=True)
    path = place / "HOTFIX-bench.md"
    began = time.monotonic()
    subprocess.run(history["test"], cwd=root, capture_output=True, check=False)
    test_seconds = time.monotonic() - began
    subprocess.run(["git", "-C", str(root), "checkout", "--quiet", "."], check=True)
    with _watching(history, root) as said_so:
        path.write_text(words, "utf-8")
        began = time.monotonic()
        said_so.readline()
        begun = time.monotonic() - began
        while END not in (said := _read(path)) and time.monotonic() - began < LONGEST:
            time.sleep(0.02)
        seconds = time.monotonic() - began
    notes = sorted((root / ".git/halon/hotfix").glob("*.json"))
    record = json.loads(notes[0].read_text("utf-8")) if notes else {}
    report = record.get("report") or {}
    patch = report.get("patch") or {}
    return Row(
        history["kind"],
        str(record.get("state", "unanswered" if END not in said else "refused")),
        str(patch.get("remedy", "")),
        begun,
        seconds,
        test_seconds,
        str(report.get("summary", said[-200:])),
    )


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text("utf-8", "replace")
    return ""


@contextlib.contextmanager
def _watching(history: dict[str, Any], root: Path) -> Iterator[IO[str]]:
    """Watch a tree and yield what the watch prints, after its first line."""
    argv = [str(HALON), "hotfix", "--watch", str(root), "--test", shlex.join(history["test"])]
    for folder in history["with"]:
        argv += ["--with", folder]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=root.parent) as watch:
        try:
            if watch.stdout is None:
                raise RuntimeError("the watch has no output")
            watch.stdout.readline()  # "Watching …": what starts up is not measured
            yield watch.stdout
        finally:
            watch.terminate()
            watch.wait(LONGEST)
