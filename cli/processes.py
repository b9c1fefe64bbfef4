"""The single processes, as containers start them: `halon bot`, `worker`, `controller`, `host`."""

import os
import secrets
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError

from bot import app as bot_app
from bot.settings import BotSettings
from incidents import crash, errors
from incidents.settings import Settings
from rollout import host as hosting
from workers import controller as controlling
from workers import jobs, office
from workers import worker as working
from workers.settings import ControllerSettings, WorkerSettings

S = TypeVar("S", bound=Settings)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(rich_help_panel="Processes")(bot)
    app.command(rich_help_panel="Processes")(worker)
    app.command(rich_help_panel="Processes")(controller)
    app.command(rich_help_panel="Processes")(host)


def read(kind: type[S], **given: Any) -> S:
    """Return the settings of a process; raises `errors.BadSettings` naming each variable.

    `given` are fields that do not come from the environment.
    """
    try:
        return kind(**given)
    except ValidationError as error:
        lines = [
            f"  {_variable(kind, str(item['loc'][0]))}: {item['msg']}" for item in error.errors()
        ]
        raise errors.BadSettings("The environment has mistakes:\n" + "\n".join(lines)) from error


def _variable(kind: type[Settings], name: str) -> str:
    known = set(kind.variables())
    return next((v for v in (name.upper(), f"HALON_{name.upper()}") if v in known), name)


def bot() -> None:
    """Serve the war room and post what happens."""
    settings = read(BotSettings)
    crash.arm_from_environment(os.environ)
    bot_app.run(settings)


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
    # RQ refuses a name that it thinks alive: in a container every life has the same host and pid.
    name = f"{office.owner_of(os.getpid()).replace(':', '-')}-{queue}-{secrets.token_hex(4)}"
    working.run(queue, jobs.connect(settings.redis_url), name)


def controller() -> None:
    """Wake work, watch the clocks, move traffic."""
    settings = read(ControllerSettings)
    crash.arm_from_environment(os.environ)
    controlling.run(settings)


def host(
    folder: Annotated[Path, typer.Argument(help="Its folder, with host.json in it.")],
) -> None:
    """Host a service on this machine: one port, exact weights, nothing lost."""
    hosting.serve(folder)
