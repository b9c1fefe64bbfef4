"""A data folder with its database and services, and an office over it, for the tests of workers."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from incidents.approvals import Approvals
from incidents.models import Incident
from incidents.policy import OPERATOR, Access
from incidents.service import Opening
from incidents.settings import Settings
from workers import office
from workers.office import Office

KEY = b"k" * 32


class Ahead:
    """The real time, or an earlier day to begin with, and as much later as the test says."""

    def __init__(self, back: timedelta = timedelta()) -> None:
        self.back = back
        self.by = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) - self.back + self.by


@dataclass
class Place:
    """A folder that holds all of one Halon."""

    root: Path
    time_scale: float = 120.0  # buckets long enough to be counted on a busy machine

    @property
    def folder(self) -> Path:
        return self.root / "data"

    @property
    def file(self) -> Path:
        return self.root / "halon.toml"

    @property
    def settings(self) -> Settings:
        return Settings(folder=self.folder, file=self.file, time_scale=self.time_scale)

    def write_services(self, **service: Any) -> None:
        """Write halon.toml with one service; the keys are its own."""
        table = {"name": "checkout", "repository": str(self.root / "repository"), **service}
        lines = [f"{key} = {_toml(value)}" for key, value in table.items()]
        self.file.write_text("[[service]]\n" + "\n".join(lines) + "\n", encoding="utf-8")

    @contextmanager
    def opened(self, owner: str = "host:1", clock: Ahead | None = None) -> Iterator[Office]:
        """Open the office as the controller does; `clock` replaces the database's."""
        with office.opened(self.settings, owner, key=KEY) as desk:
            if clock is None:
                yield desk
                return
            desk.store.clock = clock
            yield desk

    def environment(self, redis: str) -> dict[str, str]:
        """Return the variables of a worker or controller on this folder."""
        return {
            "HALON_FOLDER": str(self.folder),
            "HALON_FILE": str(self.file),
            "REDIS_URL": redis,
            "HALON_APPROVAL_KEY": KEY.hex(),
            "HALON_SANDBOX": "none",
        }


def new(root: Path, template: Path) -> Place:
    """Make a data folder with a copy of a migrated database, and a halon.toml with one service."""
    made = Place(root)
    made.folder.mkdir()
    shutil.copy(template, made.folder / "halon.db")
    made.write_services()
    return made


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def open_incident(desk: Office, key: str = "k1", **more: Any) -> Incident:
    """Open an incident of checkout."""
    made = Opening(title="checkout failing", reporter=OPERATOR, key=key, service="checkout", **more)
    return desk.incidents.open(made)


def voting(desk: Office, key: bytes = KEY) -> Approvals:
    """Return what the bot decides with; the controller's own cannot."""
    return Approvals(desk.store, Access(desk.services, chat_configured=False), key)
