"""The table of verbs against what its modules register, and what is loaded for one of them."""

import subprocess
import sys

import pytest
import typer

from cli import verbs


@pytest.mark.parametrize("module", verbs.MODULES)
def test_a_module_registers_the_verbs_of_the_table(module: str) -> None:
    group = typer.main.get_group(verbs.registered(module))

    assert verbs.MODULES[module] == tuple(group.commands)


CHATS = {"slack_sdk", "telegram", "starlette", "PIL"}


@pytest.mark.parametrize(
    ("verb", "without"),
    [
        ("judge", {"bot", "workers", "sqlalchemy", "rq", *CHATS}),
        ("diagnose", {"bot", "sqlalchemy", "rq", "anthropic", *CHATS}),
        ("say", {"alembic", "rq", "anthropic", *CHATS}),
    ],
)
def test_a_verb_loads_nothing_that_it_does_not_need(verb: str, without: set[str]) -> None:
    """A person waits for each start, and a process keeps what it has loaded."""
    typed = (
        f"import sys\nfrom cli.main import app\napp(['{verb}', '--help'], standalone_mode=False)\n"
        f"print(*sorted({without!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", typed], capture_output=True, text=True, check=True, timeout=60
    )

    assert "" == done.stdout.splitlines()[-1]


def test_a_verb_that_is_not_there_is_told_its_neighbour() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "doctr"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (2, True) == (done.returncode, "Did you mean 'doctor'?" in done.stderr)
