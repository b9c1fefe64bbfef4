"""Working trees for the hotfix tests: a shop that crashes, and pictures of what may not move.

Real repositories; the engine is the builtin one in its real sandbox.
"""

import hashlib
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from agents import case as cases
from agents import sandbox
from agents.builtin import engine
from agents.engine import Budget, Engine, Role
from agents.hotfix import protocol
from incidents import reports
from tests import repositories

TEST = f"{sys.executable} -m unittest"
CART = '''"""Carts."""

PRICES = {"tea": 3, "milk": 2}


def total(cart):
    """Return what a cart costs."""
    return sum(PRICES[name] for name in cart)


def greeting(user):
    """Return a line for a user."""
    name = user["name"].strip()
    return f"Hello {name}"
'''
CASES = """import unittest

from app import cart


class CartTest(unittest.TestCase):
    def test_total(self):
        self.assertEqual(cart.total(["tea", "milk"]), 5)

    def test_greeting(self):
        self.assertEqual(cart.greeting({"name": " Ann "}), "Hello Ann")

    def test_guest(self):
        self.assertIn("Hello", cart.greeting({"name": None}))
"""
FILES = {
    "app/__init__.py": "",
    "app/cart.py": CART,
    "tests/__init__.py": "",
    "tests/test_cart.py": CASES,
    "README": "A shop.\n",
}
TRACE = """The greeting fails for guests.

Traceback (most recent call last):
  File "/srv/shop/app/web.py", line 41, in handle
    return greeting(user)
  File "/srv/shop/app/cart.py", line 13, in greeting
    name = user["name"].strip()
AttributeError: 'NoneType' object has no attribute 'strip'
"""
TRACKER = "tasks/hotfix/HOTFIX-guests.md"


@dataclass(frozen=True)
class Remembering:
    """The real engine, asked once for each question: equal revisions fail in equal ways."""

    engine: Engine
    name: str = "builtin"

    def plays(self, role: Role) -> bool:
        """Tell what the engine plays."""
        return self.engine.plays(role)

    def run(self, role: Role, case: cases.Case, budget: Budget) -> reports.Report:
        """Return what the engine says, or has said to the same before."""
        known = replace(case, repository=Path())
        if (role, known) not in _said:
            _said[role, known] = self.engine.run(role, case, budget)
        return _said[role, known]


_said: dict[tuple[Role, cases.Case], reports.Report] = {}


def shop(repository: repositories.Repository) -> repositories.Repository:
    """Fill a repository with the shop, whose greeting fails for guests."""
    repository.commit("Open the shop", FILES)
    return repository


def made(folder: Path, test: str | None = TEST) -> protocol.Protocol:
    """Return the protocol with the builtin engine and one configured test command."""
    builtin = Remembering(engine.Builtin(sandbox.choose(), folder))
    case = cases.Case(repository=Path(), test=cases.command(test))
    return protocol.Protocol(builtin, lambda here, front: case)


def drop(root: Path, text: str | bytes = TRACE, name: str = TRACKER) -> Path:
    """Put a tracker into a tree."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def picture(root: Path, but: tuple[str, ...] = ()) -> dict[str, tuple[int, str]]:
    """Return mode and hash of all in a tree, folders and git's own included, but for ours."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        ours = name.startswith(".git/halon") or name in but
        if path.is_symlink():
            found[name] = (0, str(path.readlink()))
        elif path.is_dir() and not ours:
            found[name] = (path.stat().st_mode, "folder")
        elif path.is_file() and not ours:
            content = path.read_bytes()
            found[name] = (path.stat().st_mode, hashlib.sha256(content).hexdigest())
    return found
