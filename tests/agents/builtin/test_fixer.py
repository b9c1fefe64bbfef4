"""production-fixer on real repositories: what the first diagnosis cannot solve and it can.

Each repository is made here; the first diagnosis is really made first, and its report is handed on
as the escalation gets it.
"""

import sys
from datetime import UTC, datetime, timedelta

import pytest

from agents import case as cases
from agents import sandbox
from agents.builtin.engine import Builtin
from agents.engine import Budget, Role
from incidents import reports
from incidents.models import Verdict
from tests import repositories
from tests.agents.builtin.conftest import SHOP, Shop

pytestmark = pytest.mark.slow

AT = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
CHECK = cases.Command((sys.executable, "check.py"))
LOAD = cases.Command((sys.executable, "load.py"))
SECONDS = 240.0

SAFE_LEDGER = '''\
"""What was earned."""

import threading


class Ledger:
    def __init__(self):
        self.total = 0
        self._lock = threading.Lock()

    def add(self, amount):
        with self._lock:
            self._put(self._now() + amount)

    def _now(self):
        return self.total

    def _put(self, value):
        self.total = value
'''
RACING_LEDGER = SAFE_LEDGER.replace(
    "        with self._lock:\n            self._put", "        self._put"
)
LEDGER_TEST = """\
import threading

import ledger

made = ledger.Ledger()


def work():
    for _ in range(20):
        made.add(1)


threads = [threading.Thread(target=work) for _ in range(2)]
for one in threads:
    one.start()
for one in threads:
    one.join()
assert made.total == 40, "sales were lost"
"""

PRICES = '''\
"""Prices with a factor from the environment."""

import os


def price(cents):
    return cents * int(os.environ.get("PRICE_FACTOR", "1"))
'''
PRICES_TEST = """\
import prices

assert prices.price(100) == 100
"""

TIDY_CACHE = '''\
"""Pages, the last hundred of them kept."""

KEPT = {}


def page(number):
    text = bytes(20_000)
    KEPT[number % 100] = text
    return len(text)
'''
LEAKING_CACHE = TIDY_CACHE.replace("number % 100", "number")
CACHE_LOAD = """\
import cache

for number in range(1500):
    cache.page(number)
"""
CACHE_TEST = """\
import cache

assert cache.page(1) == 20_000
"""

POOL = '''\
"""Connections, five of them."""


class PoolExhausted(Exception):
    pass


class Pool:
    def __init__(self, size):
        self.size, self.used = size, 0

    def take(self):
        if self.used == self.size:
            raise PoolExhausted(f"all {self.size} connections are in use")
        self.used += 1

    def give_back(self):
        self.used -= 1
'''
ORDERS = '''\
"""Orders, each on a connection."""

import pool

POOL = pool.Pool(5)


def order(item):
    POOL.take()
    try:
        if item is None:
            raise ValueError("no item")
        return item
    finally:
        POOL.give_back()
'''
LEAKING_ORDERS = '''\
"""Orders, each on a connection."""

import pool

POOL = pool.Pool(5)


def order(item):
    POOL.take()
    if item is None:
        raise ValueError("no item")
    POOL.give_back()
    return item
'''
ORDERS_TEST = """\
import orders

assert orders.order("tea") == "tea"
"""
ORDERS_LOAD = """\
import orders

for number in range(40):
    try:
        orders.order(None if number % 4 == 0 else "tea")
    except ValueError:
        pass
"""


def first_look(shop: Shop, **fields: object) -> reports.Diagnosis:
    """Diagnose as the stage before the escalation does, and see that it solves nothing."""
    found = shop.diagnose(test=CHECK, **fields)
    assert found.verdict is Verdict.INCONCLUSIVE
    return found


def escalated(
    shop: Shop, found: reports.Diagnosis, seconds: float = SECONDS, **fields: object
) -> reports.Escalation:
    """Let production-fixer go on from a diagnosis."""
    made = shop.case(diagnosis=found, test=CHECK, **fields)
    report = shop.engine.run(Role.PRODUCTION_FIXER, made, Budget(seconds))
    assert isinstance(report, reports.Escalation)
    return report


def retested(shop: Shop, report: reports.Escalation, **fields: object) -> reports.TestReport:
    """Test the patch of an escalation as the next stage does."""
    made = shop.case(
        diagnosis=report.diagnosis,
        patch=report.patch,
        replaying=report.replaying,
        test=CHECK,
        **fields,
    )
    found = shop.engine.run(Role.HOTFIX_TESTER, made, Budget(SECONDS))
    assert isinstance(found, reports.TestReport)
    return found


def deciding(report: reports.Escalation) -> str:
    """Return the kind of the last experiment that was finished."""
    return [one for one in report.experiments if one.finished][-1].key.partition(":")[0]


def history(shop: Shop, good: dict[str, str], bad: dict[str, str]) -> tuple[str, str, str]:
    """Commit the good files, two harmless changes, the bad one and another harmless one."""
    before = shop.commit("Begin", **good)
    shop.commit("Write notes", notes__txt="1\n")
    culprit = shop.commit("Simplify", **bad)
    head = shop.commit("Write more notes", notes__txt="2\n")
    return before, culprit, head


def test_a_race_too_rare_to_be_seen_is_found_by_switching_threads_all_the_time(shop: Shop) -> None:
    good, culprit, _ = history(
        shop,
        {"ledger__py": SAFE_LEDGER, "check__py": LEDGER_TEST},
        {"ledger__py": RACING_LEDGER},
    )
    report = escalated(shop, first_look(shop, good=good), good=good)

    assert report.diagnosis is not None
    assert (culprit, Verdict.CONFIRMED) == (report.diagnosis.culprit, report.diagnosis.verdict)
    assert report.patch is not None
    assert ("pressure", ("ledger.py",)) == (deciding(report), report.patch.paths)
    assert retested(shop, report, good=good).approve


def test_a_wrong_variable_is_found_among_those_that_changed(shop: Shop) -> None:
    good, _, head = history(
        shop, {"prices__py": PRICES, "check__py": PRICES_TEST}, {"a__txt": "1\n"}
    )
    found = first_look(shop, good=good)
    before = {"PRICE_FACTOR": "1", "REGION": "eu", "API_KEY": "s3cret-one"}
    after = {"PRICE_FACTOR": "1,0", "REGION": "us", "API_KEY": "s3cret-two"}
    environments = (
        cases.Environment(good, AT, tuple(before.items())),
        cases.Environment(head, AT + timedelta(days=1), tuple(after.items())),
    )

    report = escalated(shop, found, good=good, environments=environments)

    assert report.diagnosis is not None
    assert report.diagnosis.root_cause is not None
    assert (Verdict.NO_CODE_CAUSE, "the environment variable PRICE_FACTOR", None) == (
        report.diagnosis.verdict,
        report.diagnosis.root_cause.dependency,
        report.patch,
    )
    assert "s3cret" not in report.model_dump_json()


def test_a_leak_is_found_by_measuring_good_and_bad_under_the_same_load(shop: Shop) -> None:
    good, culprit, _ = history(
        shop,
        {
            "cache__py": TIDY_CACHE,
            "load__py": CACHE_LOAD,
            "check__py": CACHE_TEST,
        },
        {"cache__py": LEAKING_CACHE},
    )
    report = escalated(shop, first_look(shop, good=good), good=good, load=LOAD)

    assert report.bottleneck is not None
    assert "peak memory" in report.bottleneck.what
    assert report.bottleneck.places[0].startswith("cache.py:7 ")
    assert report.diagnosis is not None
    assert (culprit, Verdict.CONFIRMED) == (report.diagnosis.culprit, report.diagnosis.verdict)
    assert report.patch is not None
    assert retested(shop, report, good=good, load=LOAD).approve


def test_a_pool_that_runs_dry_is_found_under_load(shop: Shop) -> None:
    good, culprit, _ = history(
        shop,
        {
            "pool__py": POOL,
            "orders__py": ORDERS,
            "load__py": ORDERS_LOAD,
            "check__py": ORDERS_TEST,
        },
        {"orders__py": LEAKING_ORDERS},
    )
    live = cases.Capture("pools", ("pools",), AT, '{"name": "db", "in_use": 5, "size": 5}')
    report = escalated(shop, first_look(shop, good=good), good=good, load=LOAD, captures=(live,))

    assert report.diagnosis is not None
    assert (culprit, "load") == (report.diagnosis.culprit, deciding(report))
    assert report.bottleneck is not None
    assert "db: 5 of 5 in use" == report.bottleneck.bad
    assert report.patch is not None
    assert retested(shop, report, good=good, load=LOAD).approve


def test_a_race_as_old_as_the_good_revision_says_nothing_about_this_incident(shop: Shop) -> None:
    """Neither a commit nor "no code cause": it may never have happened in production."""
    files = {"ledger__py": RACING_LEDGER, "check__py": LEDGER_TEST}
    good, _, _ = history(shop, files, {"a__txt": "1\n"})
    report = escalated(shop, first_look(shop, good=good), seconds=20.0, good=good)

    assert (None, False) == (report.diagnosis, report.solved)


@pytest.fixture(scope="module")
def quiet(box: sandbox.Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop of which nothing shows here what production shows."""
    folder = tmp_path_factory.mktemp("quiet")
    made = Shop(repositories.new(folder / "repository"), Builtin(box, folder / "engine"))
    made.commit("Open the shop", shop__py=SHOP)
    return made


@pytest.fixture(scope="module")
def unknowable(quiet: Shop) -> tuple[reports.Diagnosis, reports.Escalation, str]:
    """A failure that only production shows, with an innocent change before it."""
    shop = quiet
    good = shop.commit("Begin", check__py="import shop\n")
    shop.commit("Write notes", notes__txt="1\n")
    found = first_look(shop, good=good)
    return found, escalated(shop, found, seconds=16.0, good=good), good


def test_what_cannot_be_known_is_not_claimed(
    unknowable: tuple[reports.Diagnosis, reports.Escalation, str],
) -> None:
    _, report, _ = unknowable

    assert (None, None, False, None) == (
        report.diagnosis,
        report.patch,
        report.solved,
        report.bottleneck,
    )
    assert report.needs


def test_each_experiment_changes_one_variable_and_has_a_decisive_test(
    unknowable: tuple[reports.Diagnosis, reports.Escalation, str],
) -> None:
    _, report, _ = unknowable

    assert len({one.variable for one in report.experiments}) == len(report.experiments) >= 2
    assert all(one.test for one in report.experiments)


def test_nothing_is_done_twice(
    quiet: Shop, unknowable: tuple[reports.Diagnosis, reports.Escalation, str]
) -> None:
    found, report, good = unknowable
    keys = tuple(one.key for one in report.experiments if one.finished)
    attempts = (cases.Attempt("escalate 1", "nothing", keys),)
    again = escalated(quiet, found, seconds=12.0, good=good, attempts=attempts)

    assert len(keys) == len(again.not_repeated) > 0
    assert set(keys).isdisjoint(one.key for one in again.experiments)
    assert len(again.experiments) >= reports.LEAST_HYPOTHESES
