"""How fast work starts, and starts again after a death, through real Redis and RQ.

`rows()` for `make bench`; the anchor is a stock RQ worker that runs a function of an empty module,
in the same run on the same Redis.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from redis import Redis
from rq import Queue

from cli.plant import Plant
from demo import history
from incidents import policy
from incidents.models import RunState, Severity, Stage, StageRun
from incidents.service import Incidents, Opening
from incidents.settings import Settings
from incidents.stages import Stages
from incidents.store import Store
from workers import jobs

SAMPLES = 20
WAIT_SECONDS = 60.0
POLL_SECONDS = 0.002
KEY = "bench:started"

# The stock worker's job: as empty as a module can be that says when it began.
EMPTY = f"""import time
from redis import Redis
def begin(address):
    Redis.from_url(address).rpush({KEY!r}, time.time())
"""
# One without a test, whose stages end at once, and one whose test never ends, so that a worker can
# be killed in the middle of its diagnosis.
SERVICES = """[[service]]
name = "brief"
repository = "{repository}"
[[service]]
name = "endless"
repository = "{repository}"
test = "sleep 600"
"""


def rows() -> list[dict[str, object]]:
    """Return enqueue → first line, and SIGKILL of a worker with its child → running again."""
    with tempfile.TemporaryDirectory(prefix="halon-bench-") as name:
        folder = Path(name)
        repository = folder / "bench.git"
        history.build(repository, history.Scenario.NO_CODE_CAUSE, datetime.now(UTC), bare=True)
        (folder / "halon.toml").write_text(SERVICES.format(repository=repository), "utf-8")
        settings = Settings(folder=folder / "halon", file=folder / "halon.toml").model_copy(
            update={"database_url": None, "redis_url": None}
        )
        settings.folder.mkdir(mode=0o700)
        plant = Plant(settings, {"HALON_WEB_PORT": "0"})
        try:
            plant.start()
            return _measured(plant, settings, folder)
        finally:
            plant.stop()


def _measured(plant: Plant, settings: Settings, folder: Path) -> list[dict[str, object]]:
    store = Store(settings.database)
    address = f"unix://{settings.folder.absolute() / 'redis.sock'}"
    ours = _ours(plant, store, jobs.Wakeups(jobs.connect(address)))
    stock = _stock(folder, address)
    again = _again(plant, store)
    store.close()
    return [
        {
            "what": "enqueue → first line of the stage, real imports (median)",
            "aim": "≤ 2 × stock",
            "value": f"{ours * 1000:.1f} ms",
            "anchor": f"stock RQ worker, empty module: {stock * 1000:.1f} ms",
            "ratio": f"{ours / stock:.2f}",
        },
        {
            "what": "worker and its child killed → stage running again",
            "aim": "≤ 20 s (stock RQ: over 800 s)",
            "value": f"{again:.1f} s",
            "anchor": "the lease of 15 s that would have to run out",
            "ratio": None,
        },
    ]


def _open(store: Store, service: str, title: str) -> int:
    opening = Opening(title, policy.OPERATOR, title, Severity.P2, service, stage=None)
    return Incidents(store).open(opening).number


def _ours(plant: Plant, store: Store, wakeups: jobs.Wakeups) -> float:
    """Return seconds from the wake-up to the claim, which is the stage's first line."""
    stages, spent = Stages(store), []
    for number in range(SAMPLES):
        run = stages.queue_stage(_open(store, "brief", f"start {number}"), Stage.ESCALATE)
        stages.woken(run.id)
        begun = datetime.now(UTC)
        wakeups.wake(jobs.NORMAL, run)
        done = _until(stages, run, lambda found: found.started_at is not None)
        assert done.started_at is not None  # noqa: S101  # waited for
        spent.append((done.started_at - begun).total_seconds())
        _until(stages, run, lambda found: found.finished_at is not None)
    return statistics.median(spent)


def _stock(folder: Path, address: str) -> float:
    (folder / "bench_empty.py").write_text(EMPTY, "utf-8")
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder)}
    worker = subprocess.Popen(
        [sys.executable, "-m", "rq.cli", "worker", "stock", "--url", address, "-q"],
        env=env, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with Redis.from_url(address) as client:
            queue, spent = Queue("stock", connection=client), []
            for _ in range(SAMPLES + 1):
                begun = time.time()
                queue.enqueue("bench_empty.begin", address)
                answer = client.blpop([KEY], timeout=int(WAIT_SECONDS))
                if answer is None:
                    raise RuntimeError("the stock worker did not start the job")
                spent.append(float(answer[1]) - begun)
        return statistics.median(spent[1:])  # the first one waits for the worker's own start
    finally:
        worker.terminate()
        worker.wait()


def _again(plant: Plant, store: Store) -> float:
    """Kill a worker with its child in the middle of a stage and wait for the next claim."""
    stages = Stages(store)
    run = stages.queue_stage(_open(store, "endless", "killed"), Stage.DIAGNOSE)
    claimed = _until(stages, run, lambda found: found.fence > run.fence, plant.supervisor.look)
    pid = plant.supervisor.pid("worker-normal")
    begun = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    _until(
        stages,
        run,
        lambda found: found.fence > claimed.fence and found.state is RunState.LEASED,
        plant.supervisor.look,
    )
    return time.monotonic() - begun


def _until(
    stages: Stages,
    run: StageRun,
    done: Callable[[StageRun], bool],
    meanwhile: Callable[[], None] = lambda: None,
) -> StageRun:
    deadline = time.monotonic() + WAIT_SECONDS
    while not done(found := stages.get(run.id)):
        if time.monotonic() > deadline:
            raise RuntimeError(f"stage run {run.id} stands at {found.state}")
        meanwhile()
        time.sleep(POLL_SECONDS)
    return found
