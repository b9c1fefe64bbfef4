"""A team with a deploy tool: its world, its hooks as settings, and what it saw of the calls."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.rollout import plans
from tests.rollout.deployers import hook

HOOKS = ("prepare", "observe", "promote", "take_back")
SECONDS = dict.fromkeys(("prepare", "promote", "take_back"), 60.0)  # a busy machine is no failure
PLAN = plans.made(last_good_revision=None)


@dataclass(frozen=True)
class Team:
    """The world of the hooks; `world` reads it, `change` writes it."""

    folder: Path

    @classmethod
    def begin(cls, folder: Path, **world: Any) -> "Team":
        """Return a team whose production runs the old version."""
        folder.mkdir(parents=True)
        first = {"weight": 0, "stable": plans.OLD, "canary": None, **world}
        (folder / "world.json").write_text(json.dumps(first), encoding="utf-8")
        return cls(folder)

    def argv(self) -> list[str]:
        return [sys.executable, "-I", "-S", str(Path(hook.__file__)), str(self.folder)]

    def hooks(self, *more: str, **keys: Any) -> dict[str, Any]:
        """Return the keys of [service.deploy] that name this team's hooks."""
        named = {name: self.argv() for name in (*HOOKS, *more)}
        return {**named, "seconds": SECONDS, **keys}

    def world(self) -> dict[str, Any]:
        content = json.loads((self.folder / "world.json").read_text(encoding="utf-8"))
        assert isinstance(content, dict)
        return content

    def change(self, **what: Any) -> None:
        hook.change(self.folder, lambda world: world.update(what))

    def calls(self) -> list[str]:
        """Return the names of the hooks that were run, without the many looks."""
        return [c["hook"] for c in self.world().get("calls", []) if c["hook"] != "observe"]

    def last(self, name: str) -> dict[str, str]:
        """Return what a hook saw when it was run last."""
        found = [call for call in self.world()["calls"] if call["hook"] == name]
        assert found
        assert isinstance(found[-1], dict)
        return found[-1]
