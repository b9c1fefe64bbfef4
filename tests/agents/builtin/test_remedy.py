"""Remedies on real repositories: what is offered, in which order, and what is refused."""

import subprocess
from pathlib import Path

import pytest

from agents import case as cases
from agents.builtin import regression
from agents.engine import Budget, Role
from incidents import reports
from incidents.models import Verdict
from incidents.reports import RemedyKind
from tests.agents.builtin.conftest import SHOP, TEST, Shop, edited

pytestmark = pytest.mark.slow

BROKEN = ('RATES = {"DE": 490, "AT": 690}', 'RATES = {"DE": 490}')


def patch_of(found: tuple[reports.Report, ...]) -> reports.Patch:
    patch = found[1]
    assert isinstance(patch, reports.Patch), patch
    return patch


def test_the_guilty_commit_alone_is_taken_back_and_the_test_approves(shop: Shop) -> None:
    good = shop.repository.head()
    shop.commit("Tidy the rates", shop__py=edited(BROKEN))
    shop.commit("Later", notes__txt="1\n")
    found = shop.fix(good=good)
    patch, tests = patch_of(found), found[2]
    assert isinstance(tests, reports.TestReport)
    assert (patch.remedy, patch.paths, tests.approve) == (RemedyKind.REVERT, ("shop.py",), True)


def test_the_diff_applies_with_git_and_mends_the_service(shop: Shop) -> None:
    good = shop.repository.head()
    shop.commit("Tidy the rates", shop__py=edited(BROKEN))
    patch = patch_of(shop.fix(good=good))
    subprocess.run(
        ["git", "-C", str(shop.repository.path), "apply", "-"],
        input=patch.diff.encode(),
        check=True,
    )
    assert (shop.repository.path / "shop.py").read_text() == SHOP


def test_an_existing_test_that_shows_the_failure_is_named(shop: Shop) -> None:
    good = shop.repository.head()
    shop.commit("Tidy the rates", shop__py=edited(BROKEN))
    test = patch_of(shop.fix(good=good)).regression_test
    assert test is not None
    assert (test.path, test.existing) == ("tests/test_shop.py", True)


def test_the_test_that_shows_the_failure_survives_the_revert_of_its_own_commit(shop: Shop) -> None:
    shop.commit("Drop the tests", tests___test_shop__py=None)
    good = shop.repository.head()
    shop.commit("Tidy the rates, with a test", shop__py=edited(BROKEN), tests___test_shop__py=TEST)
    patch = patch_of(shop.fix(good=good))
    assert patch.paths == ("shop.py",)


CONFIG_SHOP = '''\
"""The shop."""

import json
from pathlib import Path

RATES = json.loads(Path(__file__).with_name("rates.json").read_text())


def total(lines, country):
    return sum(count * cents for count, cents in lines) + RATES[country]


def greeting(customer):
    return "Hello " + customer["name"]
'''


def test_settings_are_restored_where_the_code_of_the_change_has_moved_on(shop: Shop) -> None:
    good = shop.commit("Settings", shop__py=CONFIG_SHOP, rates__json='{"DE": 490, "AT": 690}\n')
    louder = CONFIG_SHOP.replace('"Hello "', '"Hello " ""')
    guilty = shop.commit("Raise rates", shop__py=louder, rates__json='{"DE": 510}\n')
    shop.commit("Greet on", shop__py=louder.replace('"Hello " ""', '"Hel" "lo "'))
    patch = patch_of(shop.fix(good=good))
    assert (patch.remedy, patch.paths, patch.culprit) == (
        RemedyKind.CONFIG,
        ("rates.json",),
        guilty,
    )


GUARDED = '''\
"""Names of customers."""


def label(customer):
    """Return how a customer is called in a list."""
    nick = customer.nick.upper()
    return nick or "guest"
'''
GUARD_TEST = """\
import names


class Guest:
    nick = None


def test_guest():
    assert names.label(Guest()) == "guest"
"""


def test_a_crash_without_a_culprit_is_contained_by_a_labelled_guard(shop: Shop) -> None:
    shop.commit("Names", names__py=GUARDED, tests___test_names__py=GUARD_TEST)
    patch = patch_of(shop.fix())
    assert (patch.remedy, patch.containment, patch.title.startswith("containment:")) == (
        RemedyKind.GUARD,
        True,
        True,
    )
    assert ".error('containment" in patch.diff


def test_no_guard_is_placed_on_a_protected_path(shop: Shop) -> None:
    shop.commit("Names", names__py=GUARDED, tests___test_names__py=GUARD_TEST)
    found = shop.fix(protected=("names.py",))
    assert isinstance(found[1], reports.NoPatch)
    assert any("protected" in why for why in found[1].tried)


@pytest.mark.parametrize("name", ["charge", "save_name", "login"])
def test_no_guard_is_placed_where_data_money_or_access_is_handled(shop: Shop, name: str) -> None:
    writes = GUARDED.replace("label", name).replace("    return", "    customer.save()\n    return")
    shop.commit("Names", names__py=writes, tests___test_names__py=GUARD_TEST.replace("label", name))
    assert isinstance(shop.fix()[1], reports.NoPatch)


def test_without_a_code_cause_nothing_is_patched(shop: Shop) -> None:
    good = shop.commit("Fail", tests___test_region__py="def test_it():\n    assert 0\n")
    shop.commit("Later", notes__txt="1\n")
    found = shop.fix(good=good)
    assert isinstance(found[0], reports.Diagnosis)
    assert (found[0].verdict, type(found[1])) == (Verdict.NO_CODE_CAUSE, reports.NoPatch)


def test_a_remedy_that_was_taken_back_is_not_offered_again(shop: Shop) -> None:
    good = shop.repository.head()
    guilty = shop.commit("Tidy the rates", shop__py=edited(BROKEN))
    tried = cases.Tried(RemedyKind.REVERT, "0" * 64, "taken back at 10 %", guilty)
    found = shop.fix(good=good, tried=(tried,))
    assert isinstance(found[1], reports.NoPatch)
    assert any("taken back at 10 %" in why for why in found[1].tried)


def test_a_revert_that_breaks_other_tests_is_refused(shop: Shop) -> None:
    good = shop.repository.head()
    both = edited(BROKEN) + "\n\ndef currency():\n    return 'EUR'\n"
    shop.commit("Tidy the rates and name the currency", shop__py=both)
    uses = "import shop\n\n\ndef test_currency():\n    assert shop.currency() == 'EUR'\n"
    shop.commit("Use the currency", tests___test_currency__py=uses)
    found = shop.fix(good=good)
    assert isinstance(found[1], reports.NoPatch)
    assert any("suite is worse" in why for why in found[1].tried)


def test_a_patch_that_does_not_mend_is_rejected_by_the_test_stage(shop: Shop) -> None:
    good = shop.repository.head()
    shop.commit("Tidy the rates", shop__py=edited(BROKEN))
    found = shop.fix(good=good)
    diff = (
        "diff --git a/README.md b/README.md\n--- a/README.md\n+++ b/README.md\n"
        "@@ -1 +1 @@\n-A shop.\n+A fine shop.\n"
    )
    idle = patch_of(found).model_copy(update={"diff": diff, "paths": ("README.md",)})
    case = shop.case(good=good, diagnosis=found[0], patch=idle)
    report = shop.engine.run(Role.HOTFIX_TESTER, case, Budget(100))
    assert isinstance(report, reports.TestReport)
    assert (report.approve, report.categories[0].passed) == (False, False)


def test_the_test_report_has_all_five_categories_with_figures(shop: Shop) -> None:
    good = shop.repository.head()
    shop.commit("Tidy the rates", shop__py=edited(BROKEN))
    report = shop.fix(good=good)[2]
    assert isinstance(report, reports.TestReport)
    assert [item.category for item in report.categories] == list(reports.Category)
    assert all(item.figures for item in report.categories)


REPLAY = '''\
"""Ask recorded requests again."""

import json
import os
import sys

import shop

failed = 0
for line in open(os.environ["HALON_REQUESTS"], encoding="utf-8"):
    body = json.loads(line)["body"]
    shop.total([(1, 100)], body["country"])
'''
LOG = (
    '{"ts": "2026-03-01T10:00:%02dZ", "level": "ERROR", "event": "failed", "status": 500, '
    '"exception": "KeyError", "traceback": "Traceback (most recent call last):\\n  File '
    '\\"shop.py\\",'
    ' line 7, in shipping\\n    return RATES[country]\\nKeyError: \'AT\'\\n", "request": {"method":'
    ' "POST", "path": "/orders", "body": {"country": "AT", "email": "ann@shop.example"}}}\n'
)


def test_captured_requests_become_a_regression_test_without_personal_data(
    shop: Shop, tmp_path: Path
) -> None:
    shop.commit("Replay", replay__py=REPLAY)
    unaware = TEST.replace('"AT") == 890', '"DE") == 690')
    good = shop.commit("Test Germany only", tests___test_shop__py=unaware)
    guilty = shop.commit("Tidy the rates", shop__py=edited(BROKEN))
    log = tmp_path / "error.log"
    log.write_text("".join(LOG % second for second in range(30)))
    command = cases.Command(("python", "replay.py"))
    found = shop.fix(good=good, logs=(log,), reproduce=command, incident="INC-7")
    assert isinstance(found[0], reports.Diagnosis)
    patch = patch_of(found)
    assert patch.regression_test is not None, patch.gaps
    assert (found[0].culprit, patch.regression_test.path, patch.regression_test.existing) == (
        guilty,
        "tests/test_inc_7.py",
        False,
    )
    assert ("ann@shop.example" in patch.diff, "example.invalid" in patch.diff) == (False, True)


def test_private_values_are_replaced_by_the_name_they_stand_under() -> None:
    line = '{"body": {"card": "tok_1", "email": "ann@shop.example", "sku": "mug"}}'
    assert regression.harmless([line]) == [
        '{"body": {"card": "card-1", "email": "person1@example.invalid", "sku": "mug"}}'
    ]
