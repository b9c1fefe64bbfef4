"""A desk over a small repository: what the tools of a run work with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agents import case as cases
from agents import outgoing, telling, untrusted
from agents.builtin import workbench
from agents.builtin.deadline import Deadline
from agents.evidence import Ledger
from agents.sandboxes.bare import Bare
from agents.tools.desk import Desk
from incidents.redaction import Redactor
from tests import repositories

SHOP = 'OWNER = "bob@example.com"\n\n\ndef greeting(name):\n    return "Hello, " + name\n'


@pytest.fixture
def desk(git_repo: repositories.Repository, tmp_path: Path) -> Iterator[Desk]:
    """A desk at the second commit; `link` leads to a file, `outside` to a folder elsewhere."""
    git_repo.commit("Open the shop", {"shop.py": SHOP, "src/cart.py": "items = []\n"})
    (git_repo.path / "link").symlink_to("shop.py")
    (git_repo.path / "outside").symlink_to(tmp_path)
    git_repo.commit("Say what it is", {"README.md": "A shop.\nA shop.\n"})
    log = tmp_path / "shop.log"
    log.write_text("".join(f"line {at}\n" for at in range(500)) + "ERROR for bob@example.com\n")
    case = cases.Case(repository=git_repo.path, logs=(log,))
    redactor = Redactor()
    door = outgoing.Outgoing(untrusted.Fence(), redactor, lambda body: None, allowed=True)
    with workbench.opened(case, Bare(), tmp_path / "work", Deadline(60)) as bench:
        teller = telling.Teller(door, redactor)
        yield Desk(bench, git_repo.head(), teller, Ledger(), tmp_path / "private")
