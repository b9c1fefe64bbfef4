"""A shop with a short history, and the builtin engine in a real sandbox."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from agents import case as cases
from agents import sandbox
from agents.builtin.engine import Builtin
from agents.engine import Budget, Role
from incidents import reports
from tests import repositories, services

SHOP = '''\
"""The shop."""

RATES = {"DE": 490, "AT": 690}


def shipping(country):
    return RATES[country]


def total(lines, country, customer=None):
    goods = sum(count * cents for count, cents in lines)
    return goods + shipping(country)


def greeting(customer):
    return "Hello " + customer["name"]
'''
TEST = """\
import shop


def test_total():
    assert shop.total([(2, 100)], "AT") == 890


def test_greeting():
    assert shop.greeting({"name": "Ann"}) == "Hello Ann"
"""
PYTEST = (sys.executable, "-m", "pytest", "-q")
# Without what no test here uses, which each of a hunt's many runs would load again.
PYTEST_INI = "[pytest]\naddopts = -p no:anyio -p no:timeout -p no:xdist -p no:xdist.looponfail\n"
SECONDS = 100.0


@dataclass
class Shop:
    """A repository that begins well, and the engine that looks at it."""

    repository: repositories.Repository
    engine: Builtin

    def commit(self, message: str, **files: str | None) -> str:
        """Commit files, named with `__` for `.` and `___` for `/`."""
        named = {name.replace("___", "/").replace("__", "."): text for name, text in files.items()}
        return self.repository.commit(message, named)

    def case(self, **fields: object) -> cases.Case:
        """A case of this repository with its tests as the command."""
        known: dict[str, object] = {
            "repository": self.repository.path,
            "test": cases.Command(PYTEST),
        }
        return cases.Case(**(known | fields))  # type: ignore[arg-type]

    def diagnose(self, **fields: object) -> reports.Diagnosis:
        """Diagnose the head."""
        found = self.engine.run(Role.BUG_DIAGNOSTICIAN, self.case(**fields), Budget(SECONDS))
        assert isinstance(found, reports.Diagnosis)
        return found

    def fix(self, **fields: object) -> tuple[reports.Report, ...]:
        """Diagnose, mend and test."""
        return self.engine.fix(self.case(**fields), Budget(SECONDS))


@pytest.fixture(scope="session")
def box() -> sandbox.Sandbox:
    """The best sandbox that works here."""
    try:
        return sandbox.choose()
    except sandbox.SandboxUnavailable:
        services.missing("a sandbox")


@pytest.fixture
def engine(box: sandbox.Sandbox, tmp_path: Path) -> Builtin:
    """The engine with a folder of its own."""
    return Builtin(box, tmp_path / "engine")


@pytest.fixture
def shop(git_repo: repositories.Repository, engine: Builtin) -> Shop:
    """A shop whose first commits are good."""
    made = Shop(git_repo, engine)
    made.commit("Open the shop", shop__py=SHOP, tests___test_shop__py=TEST, pytest__ini=PYTEST_INI)
    made.commit("Say what it is", README__md="A shop.\n")
    return made


def edited(*edits: tuple[str, str], text: str = SHOP) -> str:
    """Return the shop's source with these replacements, each of which must fit."""
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return text


Edited = Callable[..., str]
