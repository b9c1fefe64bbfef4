"""A small broken shop, a scripted model's server and the real engine over both.

Used by the tests of the claude engine; everything but the model's words is the real thing.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from agents import case as cases
from agents import sandbox
from agents.allowance import Clock
from agents.claude import Claude, Limits, Place
from agents.engine import Budget, Role
from agents.messages_api import MessagesApi
from agents.model import Tier
from agents.prices import Prices
from agents.purse import Pocket
from agents.scripted.server import KEY, Script, Scripted
from incidents import reports
from tests import repositories

SHOP = '''\
"""A shop."""


def greeting(customer):
    if customer is None:
        return "Hello, guest"
    return "Hello, " + customer["name"]


def total(lines):
    return sum(line["price"] for line in lines)
'''
BROKEN = SHOP.replace('    if customer is None:\n        return "Hello, guest"\n', "")
TEST = """\
import unittest

from shop import greeting, total


class ShopTest(unittest.TestCase):
    def test_guests_are_greeted(self):
        self.assertEqual("Hello, guest", greeting(None))

    def test_total(self):
        self.assertEqual(2, total([{"price": 2}]))
"""
# Starts in a tenth of the time that pytest takes.
UNITTEST = (sys.executable, "-m", "unittest", "-q", "tests.test_shop")
SECONDS = 120.0
STRONG, FAST = "claude-opus-5-5", "claude-haiku-5-5"


@dataclass
class Stage:
    """The shop, the server, and what one run of the engine is made of."""

    repository: repositories.Repository
    server: Scripted
    folder: Path
    box: sandbox.Sandbox
    good: str
    culprit: str
    pocket: Pocket = field(default_factory=lambda: Pocket(Decimal("1.55")))
    limits: Limits = field(default_factory=Limits)
    clock: Clock = field(default_factory=Clock)
    prices: Prices = field(default_factory=Prices)
    key: str = KEY

    def engine(self) -> Claude:
        """Return a new life of the engine on the same folder."""
        return Claude(
            box=self.box,
            folder=self.folder / "workspaces",
            models={
                Tier.STRONG: MessagesApi(STRONG, self.key, self.server.url),
                Tier.FAST: MessagesApi(FAST, self.key, self.server.url),
            },
            prices=self.prices,
            purse=self.pocket,
            place=Place(self.folder / "transcripts", "run-1"),
            limits=self.limits,
            clock=self.clock,
        )

    def case(self, **more: object) -> cases.Case:
        """Return the case of the shop."""
        fields: dict[str, object] = {
            "repository": self.repository.path,
            "good": self.good,
            "test": cases.Command(UNITTEST),
            "title": "greeting fails",
        }
        return cases.Case(**(fields | more))  # type: ignore[arg-type]

    def diagnose(self, **more: object) -> reports.Diagnosis:
        """Play the diagnostician."""
        found = self.engine().run(Role.BUG_DIAGNOSTICIAN, self.case(**more), Budget(SECONDS))
        assert isinstance(found, reports.Diagnosis)
        return found

    def transcript(self, role: Role, tier: Tier = Tier.STRONG) -> Path:
        """Return where a run is recorded."""
        return self.folder / "transcripts" / f"run-1-{role.value}-{tier.value}.jsonl"


@contextmanager
def opened(folder: Path, box: sandbox.Sandbox, script: Script) -> Iterator[Stage]:
    """Make the shop, break it with its third commit, and serve the script."""
    repository = repositories.new(folder / "shop")
    repository.commit("Open the shop", {"shop.py": SHOP, "tests/test_shop.py": TEST,
                                        "tests/__init__.py": ""})  # fmt: skip
    good = repository.commit("Say what it is", {"README.md": "A shop.\n"})
    culprit = repository.commit("Greet by name only", {"shop.py": BROKEN})
    repository.commit("Say more", {"README.md": "A shop with greetings.\n"})
    with Scripted(script).serving() as server:
        yield Stage(repository, server, folder, box, good, culprit)
