"""What a change steers is read from its trees, for a remedy of either kind."""

import pytest

from agents import git
from agents.builtin import protected
from incidents.reports import RemedyKind
from tests import repositories

BEFORE = {"shop.py": "a = 1\n", "tests/test_shop.py": "1\n", "tests/test_other.py": "1\n"}


@pytest.mark.parametrize(
    ("remedy", "after", "expected"),
    [
        (RemedyKind.REVERT, {"shop.py": "a = 2\n"}, ()),
        (RemedyKind.REVERT, {"tests/test_other.py": "2\n"}, ()),
        (
            RemedyKind.REVERT,
            {"tests/test_shop.py": "2\n"},
            ("tests/test_shop.py (a test that the fix must pass)",),
        ),
        (
            RemedyKind.EDIT,
            {"tests/test_other.py": "2\n", "tests/test_new.py": "1\n"},
            ("tests/test_other.py (a test that the fix must pass)",),
        ),
        (
            RemedyKind.EDIT,
            {"poetry.lock": "x\n", "pay/money.py": "x\n", ".github/workflows/ci.yml": "x\n"},
            (
                ".github/workflows/ci.yml (the team's checks)",
                "pay/money.py (named in halon.toml)",
                "poetry.lock (which dependencies run)",
            ),
        ),
    ],
)
def test_what_needs_a_humans_word(
    git_repo: repositories.Repository,
    remedy: RemedyKind,
    after: dict[str, str],
    expected: tuple[str, ...],
) -> None:
    base = git_repo.commit("before", BEFORE)
    tree = git_repo.commit("after", after)
    with git.Repository(git_repo.path) as repository:
        found = protected.of(
            repository, base, tree, remedy, ["pay/*"], [("pytest", "-q", "tests/test_shop.py::a")]
        )

    assert expected == found
