"""Every verb of the `halon` command and the module that holds it.

Used by cli/main.py. A module is loaded when one of its verbs is typed, so that a small verb starts
in a fraction of a second and a process holds no code of the others; help loads them all.
"""

import functools
import importlib
from collections import UserDict
from types import MappingProxyType
from typing import Any

import typer
from typer.core import TyperGroup

# In the order of the help; each module has `register(app)`, which adds exactly these.
MODULES: MappingProxyType[str, tuple[str, ...]] = MappingProxyType(
    {
        "cli.up": ("up",),
        "cli.demo": ("demo",),
        "cli.doctor": ("doctor",),
        "cli.manifest": ("manifest",),
        "cli.bot": ("bot",),
        "cli.worker": ("worker",),
        "cli.controller": ("controller",),
        "cli.host": ("host",),
        "cli.diagnose": ("diagnose", "fix"),
        "cli.hotfix": ("hotfix",),
        "cli.roles": ("test", "plan", "review"),
        "cli.judge": ("judge",),
        "cli.desk": ("say", "rollback", "changed", "incident", "token"),
        "cli.people": ("people",),
    }
)


@functools.cache
def registered(module: str) -> typer.Typer:
    """Load a module and return what it registers."""
    app = typer.Typer()
    importlib.import_module(module).register(app)
    return app


class _Loading(UserDict[str, Any]):
    """Verb → module, and on reading the verb's command."""

    def __getitem__(self, verb: str) -> Any:
        return typer.main.get_group(registered(self.data[verb])).commands[verb]


class Verbs(TyperGroup):
    """The verbs of the table, each loaded when it is asked for."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Loading(
            {verb: module for module, verbs in MODULES.items() for verb in verbs}
        )
