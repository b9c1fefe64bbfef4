"""`halon worker`: the process that runs stages, as a container starts it."""

import os
import secrets
import sys
from typing import Annotated

import typer

from agents import sandbox
from cli.settings import read
from incidents import crash, errors, walls
from incidents.settings import load_services
from workers import jobs, keeper, office, vendors
from workers import worker as working
from workers.settings import WorkerSettings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Processes")(worker)


def worker(
    queue: Annotated[
        str, typer.Option(help="urgent (P0, contain) or normal: exactly one per process.")
    ] = jobs.NORMAL,
) -> None:
    """Run stages, one at a time."""
    if queue not in jobs.QUEUES:
        raise typer.BadParameter(f"{queue!r} is not one of {', '.join(jobs.QUEUES)}")
    settings = read(WorkerSettings)
    if settings.redis_url is None:
        raise errors.BadSettings("A worker needs REDIS_URL; `halon up` sets it by itself.")
    crash.arm_from_environment(os.environ)
    _probe(settings)
    # RQ refuses a name that it thinks alive: in a container every life has the same host and pid.
    name = f"{office.owner_of(os.getpid()).replace(':', '-')}-{queue}-{secrets.token_hex(4)}"
    if settings.anthropic_api_key is not None:
        vendors.preload()  # before the fork, so that no stage waits for it
    connection = jobs.connect(settings.redis_url)
    with keeper.kept(_inbox_argv(settings, queue)) as keep:
        working.run(queue, connection, name, settings, keep)


def _inbox_argv(settings: WorkerSettings, queue: str) -> list[str]:
    """Return the process that watches the inboxes: the urgent worker's, where one is set."""
    services = load_services(settings.file) if settings.file.exists() else ()
    if queue != jobs.URGENT or not any(one.inbox for one in services):
        return []
    return [sys.executable, "-m", "cli", "hotfix", "--inbox"]


def _probe(settings: WorkerSettings) -> None:
    """Say which sandbox works here, for /healthz; stages fail with the same reason."""
    try:
        found = walls.Walls(sandbox.choose(settings.sandbox).name)
    except sandbox.SandboxUnavailable as error:
        found = walls.Walls(None, error.message)
    walls.write(settings.folder.absolute(), found)
