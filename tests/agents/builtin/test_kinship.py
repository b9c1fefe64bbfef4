"""A red test convicts only where it can be the incident: files that never meet are strangers."""

from collections.abc import Callable

import pytest

from agents import git
from agents.builtin import kinship, traces
from agents.builtin.failures import Failure
from agents.builtin.source import Source
from tests import repositories

PAY = "from shop import rates\n\n\ndef pay(code):\n    return rates.RATES[code]\n"
REPORT = "def footer(n):\n    return f'{n} item'\n"
TRACE = """\
Traceback (most recent call last):
  File "/srv/app/releases/20260301/shop/pay.py", line 5, in pay
    return rates.RATES[code]
KeyError: 'XK'
"""
FOOTER = Failure("tests/test_report.py::test_footer", "AssertionError", "assert '1 item' == '1'")
Asked = Callable[..., bool]


@pytest.fixture
def asked(git_repo: repositories.Repository) -> Asked:
    """Ask about a commit that changes one file, replayed by a test of these words."""

    def ask(
        changed: str = "shop/report.py",
        test: str = "from shop import report\n",
        trace: str = TRACE,
        target: Failure = FOOTER,
    ) -> bool:
        files: dict[str, str | None] = {
            "shop/__init__.py": "",
            "shop/pay.py": PAY,
            "shop/rates.py": "RATES = {}\n",
            "shop/report.py": REPORT,
            "shop/rates.json": "{}\n",
            "tests/test_report.py": test,
        }
        git_repo.commit("Begin", files)
        culprit = git_repo.commit("Change", {changed: f"{files[changed]}\n"})
        return kinship.strangers(
            Source(git.Repository(git_repo.path)),
            git_repo.head(),
            traces=traces.parse(trace),
            target=target,
            replayed=["tests/test_report.py"],
            culprit=culprit,
        )

    return ask


def test_a_test_of_another_module_that_broke_by_another_change_is_a_stranger(asked: Asked) -> None:
    assert asked()


@pytest.mark.parametrize(
    "known",
    [
        {"test": "from shop import pay, report\n"},
        {"changed": "shop/rates.py"},
        {"changed": "shop/rates.json"},
        {"target": Failure("", "KeyError", "'ZZ'")},
        {"test": "import importlib\nimportlib.import_module('shop.pay')\n"},
        {"trace": TRACE.replace("shop/pay.py", "elsewhere/gone.py")},
        {"trace": "no trace\n"},
    ],
    ids=["imports it", "imported by it", "no code", "same error", "unseen", "no place", "no trace"],
)
def test_whatever_may_be_related_is_no_stranger(asked: Asked, known: dict[str, object]) -> None:
    assert not asked(**known)
