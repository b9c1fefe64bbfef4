"""A test that somebody writes this minute shows the failure as well as one that git knows."""

from pathlib import Path

import pytest

from agents.hotfix.notebook import State
from tests import repositories
from tests.flows import hotfixes

SHOWS_IT = """import unittest

from app import cart


class GuestTest(unittest.TestCase):
    def test_guest(self):
        self.assertIn("Hello", cart.greeting({"name": None}))
"""
QUIET = hotfixes.CASES.partition("    def test_guest")[0]
NAMES = {
    "a node": "tests/test_guest.py::GuestTest::test_guest",
    "a dotted name": "tests.test_guest.GuestTest.test_guest",
}


@pytest.fixture
def quiet(git_repo: repositories.Repository) -> repositories.Repository:
    """The shop that fails for guests, without a test that shows it."""
    git_repo.commit("Open the shop", hotfixes.FILES | {"tests/test_cart.py": QUIET})
    return git_repo


def naming(test: str) -> str:
    return f"---\ntest: {test}\n---\n{hotfixes.TRACE}"


def test_a_suite_that_passes_is_answered_with_how_to_show_the_failure(
    quiet: repositories.Repository, tmp_path: Path
) -> None:
    path = hotfixes.drop(quiet.path)

    result = hotfixes.made(tmp_path).work(path)

    assert State.NOTHING is result.state
    said = path.read_text("utf-8")
    assert "passes 2 times of 2, so it does not show this failure." in said
    assert "Name a test that fails because of it" in said


@pytest.mark.parametrize("name", NAMES)
def test_a_new_test_that_is_named_is_replayed_as_it_lies_there(
    quiet: repositories.Repository, tmp_path: Path, name: str
) -> None:
    test = quiet.path / "tests/test_guest.py"
    test.write_text(SHOWS_IT, "utf-8")
    path = hotfixes.drop(quiet.path, naming(NAMES[name]))
    protocol = hotfixes.made(tmp_path)

    result = protocol.work(path)
    checked = protocol.verify(path)

    assert State.CONTAINED is result.state
    assert result.report is not None
    assert ("fails in 2 of 2 runs", "passes in 2 of 2 runs") == (
        result.report.before,
        result.report.after,
    )
    assert checked.report is not None
    assert checked.report.contained
    assert "M app/cart.py" in quiet.git("status", "--short")
    assert ["?? tasks/", "?? tests/test_guest.py"] == [
        line for line in quiet.git("status", "--short").splitlines() if line.startswith("??")
    ]
    assert SHOWS_IT == test.read_text("utf-8")


def test_a_test_that_was_added_to_a_tracked_file_is_replayed_too(
    quiet: repositories.Repository, tmp_path: Path
) -> None:
    (quiet.path / "tests/test_cart.py").write_text(hotfixes.CASES, "utf-8")
    path = hotfixes.drop(quiet.path, naming("tests/test_cart.py::CartTest::test_guest"))

    result = hotfixes.made(tmp_path).work(path)

    assert State.CONTAINED is result.state
    assert hotfixes.CASES == (quiet.path / "tests/test_cart.py").read_text("utf-8")


def test_a_named_test_outside_of_the_tree_is_not_read(
    quiet: repositories.Repository, tmp_path: Path
) -> None:
    (quiet.path.parent / "test_guest.py").write_text(SHOWS_IT, "utf-8")
    (quiet.path / "tests/test_guest.py").symlink_to(quiet.path.parent / "test_guest.py")
    protocol = hotfixes.made(tmp_path)
    for number, name in enumerate(
        ("tests/../../test_guest.py::GuestTest::test_guest", *NAMES.values())
    ):
        path = hotfixes.drop(quiet.path, naming(name), f"tasks/hotfix/HOTFIX-{number}.md")

        assert State.NOTHING is protocol.work(path).state
