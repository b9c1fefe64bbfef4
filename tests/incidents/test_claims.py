"""Real processes on one database: each run is claimed once."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from incidents.models import RunState
from tests.incidents.builders import World

ROOT = Path(__file__).parents[2]
CLAIMERS, RUNS = 4, 50

# Each claimer wakes on a line of its standard input, so that all of them start at once.
CLAIMER = """
import json, sys
from datetime import timedelta
from incidents.stages import Stages
from incidents.store import Store

store = Store(sys.argv[1])
stages = Stages(store)
print("ready", flush=True)
sys.stdin.readline()
mine = []
for run in range(1, int(sys.argv[2]) + 1):
    claimed = stages.claim(run, sys.argv[3], timedelta(minutes=5))
    if claimed is not None:
        mine.append([claimed.run.id, claimed.run.fence])
print(json.dumps(mine))
store.close()
"""


def test_four_processes_claim_fifty_runs_once_each(world: World, database: str) -> None:
    for number in range(RUNS):
        world.open(f"k{number}")
    claimers = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER, database, str(RUNS), f"w{number}"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(CLAIMERS)
    ]
    for claimer in claimers:
        assert claimer.stdout is not None
        assert "ready\n" == claimer.stdout.readline()
    for claimer in claimers:
        assert claimer.stdin is not None
        claimer.stdin.write("go\n")
        claimer.stdin.flush()
    said = [claimer.communicate(timeout=60)[0] for claimer in claimers]
    claimed = [tuple(one) for lines in said for one in json.loads(lines)]

    assert [0] * CLAIMERS == [claimer.returncode for claimer in claimers]
    assert Counter({(run, 1): 1 for run in range(1, RUNS + 1)}) == Counter(claimed)
    assert {RunState.LEASED} == {world.stages.get(run).state for run in range(1, RUNS + 1)}
