"""Makes a small git history with one guilty commit, or with none, to examine a diagnosis by.

Run as `python tests/histories.py --seed N --guilty|--innocent [--dest DIR]`; prints one object:
repo, logs, trace, test (argv), good, with, kind, guilty, twist. Used by tests/test_histories.py and
bench/evaluation.py. It knows nothing of Halon; what it says of a history it has checked by running
the test itself, at HEAD, at the good revision, before the guilty commit and with it reverted.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, not only imported

from tests.history import build, check, logs, repository
from tests.history.base import World, draw_world, spell
from tests.history.exam import draw_exam
from tests.history.fault import Fault
from tests.history.faults import KINDS, draw_fault
from tests.history.innocents import INNOCENTS, Innocent, draw_innocent
from tests.history.plan import Plan, draw_plan
from tests.history.tree import Misplaced

ATTEMPTS = 12  # a draw whose edits do not fit together, or whose check fails, is drawn anew


@dataclass(frozen=True)
class Made:
    """What the examiner knows of a history, and what a diagnosis may be told (`test` to `with`)."""

    repo: str
    logs: list[str]
    trace: str | None
    test: list[str]
    good: str | None
    with_: list[str]
    kind: str
    guilty: str | None
    twist: str
    seed: int

    def printed(self) -> dict[str, object]:
        """Return the object that the command prints."""
        shown = dict(self.__dict__)
        shown["with"] = shown.pop("with_")
        return shown


def make(seed: int, *, guilty: bool, dest: Path, kind: str | None = None) -> Made:
    """Make the history of a seed below `dest`, which must be empty or absent."""
    rng = random.Random(f"{seed}/{guilty}/{kind}")
    problems = []
    for attempt in range(ATTEMPTS):
        folder = dest / (f"try {attempt} ü" if rng.random() < 0.1 else f"try-{attempt}")
        folder.mkdir(parents=True)
        try:
            made = _attempt(rng, seed, folder, guilty=guilty, kind=kind)
        except (Misplaced, check.Unfit) as problem:
            problems.append(str(problem))
            shutil.rmtree(folder)
            continue
        shutil.rmtree(folder / "scratch")
        return made
    raise SystemExit(f"seed {seed}: no history fits together: {problems}")


def _attempt(
    rng: random.Random, seed: int, folder: Path, *, guilty: bool, kind: str | None
) -> Made:
    world = draw_world(rng)
    case = draw_fault(rng, world, kind) if guilty else draw_innocent(rng, world, kind)
    plan = draw_plan(rng, case)
    history = build.grow(world, case, plan)
    exam = draw_exam(world, case, plan, folder)
    build.finish(history, exam)
    repo = folder / "repo"
    shas = repository.write_repository(history, repo)
    for name, text in exam.outside.items():
        (folder / "outside").mkdir(exist_ok=True)
        (folder / "outside" / name).write_text(text, encoding="utf-8")
    facts = check.examine(history, exam, case, repo, shas, folder / "scratch")
    if plan.dirty:
        (repo / "todo.txt").write_text("try the new layout\n", encoding="utf-8")
        with (repo / "README.md").open("a", encoding="utf-8") as readme:
            readme.write("\nNot committed yet.\n")
    raised = check.raise_for_real(history, case, folder / "scratch") if case.drive else None
    log_paths, trace_path = _write_logs(world, case, plan, history, raised, folder)
    far = ["far"] if raised and check.is_far(history, raised) else []
    twists = [*plan.twists(), *far, *facts]
    return Made(
        repo=str(repo),
        logs=log_paths,
        trace=trace_path,
        test=exam.argv,
        good=repository.name_of_good(history, shas, plan),
        with_=[str(folder / "outside")] if exam.outside else [],
        kind=f"{case.kind}/{case.name}",
        seed=seed,
        guilty=shas[history.guilty] if history.guilty is not None else None,
        twist="+".join(twists) or "plain",
    )


def _write_logs(
    world: World,
    case: Fault | Innocent,
    plan: Plan,
    history: build.History,
    raised: str | None,
    folder: Path,
) -> tuple[list[str], str | None]:
    """Write the log and, where there is one, the trace; return their paths."""
    rng = world.rng
    deployed = rng.choice(
        (
            "/app",
            "/srv/{}/current",
            "/opt/{}/releases/20260212",
            "/home/deploy/{}",
            "/usr/local/lib/python3.11/site-packages",
        )
    ).format(world.names["xpkg"])
    trace = raised.replace("@ROOT@", deployed) if raised else None
    if trace and rng.random() < 0.5:  # as an older interpreter writes it
        trace = "\n".join(
            line for line in trace.split("\n") if line.strip(" ^~") or not line.strip()
        )
    style = rng.choice(logs.STYLES)
    inside = trace if rng.random() < 0.75 or plan.trace == "log" else None
    records = logs.entries(
        rng,
        history.onset,
        spell(world, case.symptom),
        inside,
        share=rng.choice((0.25, 0.5, 0.9)),
        injected=plan.injected,
    )
    logger = f"{world.names['xpkg']}.worker"
    log = folder / rng.choice(
        ("service.log", "app.jsonl" if style.startswith("json") else "app.log")
    )
    log.write_text(
        "".join(logs.write(style, logger, each) + "\n" for each in records), encoding="utf-8"
    )
    if trace is None or plan.trace == "log":
        return [str(log)], None
    path = folder / "trace.txt"
    path.write_text(trace, encoding="utf-8")
    return [str(log)], str(path)


def main() -> None:
    """Make one history and print what it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    side = parser.add_mutually_exclusive_group(required=True)
    side.add_argument("--guilty", action="store_true")
    side.add_argument("--innocent", action="store_true")
    parser.add_argument("--dest", type=Path, help="an empty folder; a temporary one otherwise")
    parser.add_argument("--kind", choices=sorted({*KINDS, *INNOCENTS}), help="draw within one kind")
    chosen = parser.parse_args()
    dest = chosen.dest or Path(tempfile.mkdtemp(prefix="history-"))
    made = make(chosen.seed, guilty=chosen.guilty, dest=dest.resolve(), kind=chosen.kind)
    sys.stdout.write(json.dumps(made.printed(), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
