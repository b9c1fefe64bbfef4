"""Measures how often the diagnosis is right, on histories of the day made by tests/histories.py.

Run by `make eval`, which fails below 95 % right or when an innocent is convicted. It talks to
Halon through `halon diagnose --json` only. The anchor is a plain rule on the same histories: the
most recent commit that blame finds on the in-app lines of the trace.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
HALON = Path(sys.executable).with_name("halon")
AT_ONCE = 2
AIM = 0.95
GUILTY_OF_TEN = 7
FRAME = re.compile(r'File \\?"([^"\\]+)\\?", line (\d+), in ')
LONGEST = 300.0  # seconds a diagnosis may take before it counts as none


@dataclass(frozen=True)
class Row:
    """One history and what was said of it."""

    seed: int
    kind: str
    twist: str
    guilty: str | None
    verdict: str
    culprit: str | None
    blamed: str | None
    seconds: float
    note: str = ""

    @property
    def right(self) -> bool:
        """A guilty commit is proved, an innocent one is never named."""
        if self.guilty is None:
            return self.culprit is None and self.verdict in ("INCONCLUSIVE", "NO_CODE_CAUSE")
        return self.verdict == "CONFIRMED" and self.culprit == self.guilty


def arguments(made: dict[str, Any]) -> list[str]:
    """Return the arguments of `halon diagnose` for a history, as anybody would type them."""
    args = ["--repo", made["repo"], "--test", shell_words(made["test"]), "--json"]
    for log in made["logs"]:
        args += ["--log", log]
    if made["trace"]:
        args += ["--trace", made["trace"]]
    if made["good"]:
        args += ["--good", made["good"]]
    for folder in made["with"]:
        args += ["--with", folder]
    return args


def shell_words(argv: list[str]) -> str:
    """Return an argv as one line that splits into it again."""
    return shlex.join(argv)


def examine(seed: int, *, guilty: bool, room: Path) -> Row:
    """Make the history of a seed, have it diagnosed, and apply the plain rule beside it."""
    folder = room / str(seed)
    side = "--guilty" if guilty else "--innocent"
    made = json.loads(
        subprocess.run(
            [sys.executable, "tests/histories.py", "--seed", str(seed), side, "--dest", folder],
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout
    )
    blamed = most_recent_blamed(made)
    begin = time.monotonic()
    verdict, culprit, note = diagnose(arguments(made))
    seconds = time.monotonic() - begin
    shutil.rmtree(folder)
    return Row(
        seed, made["kind"], made["twist"], made["guilty"], verdict, culprit, blamed, seconds, note
    )


def diagnose(args: list[str]) -> tuple[str, str | None, str]:
    """Return verdict, culprit and a note; whatever breaks the contract is the verdict NONE."""
    try:
        done = subprocess.run(
            [HALON, "diagnose", *args], capture_output=True, timeout=LONGEST, check=False
        )
        said = json.loads(done.stdout) if done.returncode == 0 else None
    except (subprocess.TimeoutExpired, json.JSONDecodeError) as problem:
        return "NONE", None, type(problem).__name__
    if said is None:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return "NONE", None, f"exit {done.returncode}: {' '.join(last)[:90]}"
    return said["verdict"], said["culprit"], ""


def most_recent_blamed(made: dict[str, Any]) -> str | None:
    """Return the newest commit that blame finds on the frames of the trace, as deployed."""
    source = made["trace"] or made["logs"][0]
    frames = FRAME.findall(Path(source).read_text(encoding="utf-8"))[:60]

    def git(*args: str) -> str:
        done = subprocess.run(["git", "-C", made["repo"], *args], capture_output=True, check=False)
        return done.stdout.decode()

    deployed = git("tag", "--list", "deploy-*", "--sort=-taggerdate").split("\n")[0]
    tracked = git("ls-tree", "-r", "--name-only", deployed).splitlines()
    found: list[tuple[int, str]] = []
    for path, line in dict.fromkeys(frames):
        matching = [each for each in tracked if path.endswith("/" + each)]
        if matching:
            at = max(matching, key=len)
            said = git("blame", "--porcelain", "-L", f"{line},{line}", deployed, "--", at)
            when = re.search(r"^committer-time (\d+)$", said, re.MULTILINE)
            if when:
                found.append((int(when[1]), said.split(" ", 1)[0]))
    return max(found)[1] if found else None


def share(rows: list[Row], holds: Callable[[Row], bool]) -> str:
    """Return how many rows satisfy a condition, as a count and in percent."""
    if not rows:
        return "none examined"
    count = sum(1 for row in rows if holds(row))
    return f"{count} of {len(rows)} ({100 * count / len(rows):.1f} %)"


def found(row: Row) -> bool:
    """Say whether the guilty commit was proved."""
    return row.right


def misnamed(row: Row) -> bool:
    """Say whether another commit than the guilty one was named."""
    return row.culprit not in (None, row.guilty)


def show_row(row: Row) -> None:
    """Print one line of the table."""
    print(
        f"{row.seed:>11}  {row.kind:<24} {row.verdict:<13} {'right' if row.right else 'WRONG':<6}"
        f" {row.seconds:6.1f}  {row.twist} {row.note}",
        flush=True,
    )


def show_totals(rows: list[Row]) -> bool:
    """Print the figures beside those of the plain rule; say whether they are good enough."""
    guilty = [row for row in rows if row.guilty]
    innocent = [row for row in rows if not row.guilty]
    seconds = [row.seconds for row in rows]
    print(f"\n{'':<34} {'halon':<24} newest commit blamed on the trace")
    for name, of, ours, anchor in (
        ("guilty commit found (top-1)", guilty, found, lambda r: r.blamed == r.guilty),
        ("wrong commit named", guilty, misnamed, lambda r: r.blamed not in (None, r.guilty)),
        ("abstained, one was guilty", guilty, lambda r: not r.culprit, lambda r: not r.blamed),
        ("innocent convicted", innocent, lambda r: bool(r.culprit), lambda r: bool(r.blamed)),
    ):
        print(f"{name:<34} {share(of, ours):<24} {share(of, anchor)}")
    print(
        f"{'seconds, median and longest':<34} {statistics.median(seconds):.1f}, {max(seconds):.1f}"
    )
    print(f"{'cost':<34} $0.00")
    right = sum(row.right for row in guilty) >= AIM * len(guilty)
    return right and not any(row.culprit or not row.right for row in innocent)


def main() -> None:
    """Examine the seeds and exit with 1 if the aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="first seed; the default follows from the date")
    parser.add_argument("--count", type=int, default=40)
    chosen = parser.parse_args()
    first = chosen.seed
    if first is None:
        first = int(f"{datetime.now(UTC):%Y%m%d}") * 100
    print(f"seeds {first} to {first + chosen.count - 1}; again: make eval ARGS='--seed {first}'")
    print("one history: python tests/histories.py --seed SEED --guilty|--innocent\n")
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="evaluation-") as room,
        ThreadPoolExecutor(AT_ONCE) as at,
    ):
        jobs = [
            at.submit(examine, seed, guilty=seed % 10 < GUILTY_OF_TEN, room=Path(room))
            for seed in range(first, first + chosen.count)
        ]
        for job in jobs:
            rows.append(job.result())
            show_row(rows[-1])
    sys.exit(0 if show_totals(rows) else 1)


if __name__ == "__main__":
    main()
