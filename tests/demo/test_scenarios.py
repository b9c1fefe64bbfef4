"""What each scenario claims, shown by running the code of its revisions."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from demo import story
from demo.customers import Ask
from demo.history import History
from tests.demo import revisions
from tests.demo.production import Production

Histories = dict[str, History]


@pytest.mark.slow
def test_the_services_own_tests_pass_at_every_deployed_revision(
    histories: Histories, production: Production
) -> None:
    trees: dict[str, Path] = {}
    for built in histories.values():
        for deploy in built.deploys:
            if deploy.revision not in trees and (
                built.scenario in ("guest-crash", "bad-fix", "no-code-cause")
                or deploy.revision in (built.culprit, built.newest)
            ):
                trees[deploy.revision] = production.tree(built.repository, deploy.revision)
    with ThreadPoolExecutor(2) as pool:
        outcomes = dict(zip(trees, pool.map(production.tests, trees.values()), strict=True))

    assert {} == {revision: said for revision, (code, said) in outcomes.items() if code}


@pytest.mark.parametrize("name", ["guest-crash", "bad-fix"])
def test_every_guest_crashes_at_the_newest_revision_and_nobody_else(
    histories: Histories, production: Production, name: str
) -> None:
    built = histories[name]
    answers = production.ask(production.tree(built.repository, built.newest))
    records = revisions.read_lines(production.errors)

    assert {"guest": answers.asked["guest"]} == answers.failed
    assert 0.40 < answers.rate() < 0.50
    assert {"AttributeError"} == {record["exception"] for record in records}
    assert "'NoneType' object has no attribute 'token'" in str(records[0]["traceback"])


@pytest.mark.parametrize("name", ["guest-crash", "bad-fix"])
def test_the_last_good_revision_serves_everybody(
    histories: Histories, production: Production, name: str
) -> None:
    built = histories[name]
    answers = production.ask(production.tree(built.repository, built.last_good))

    assert {} == answers.failed


@pytest.mark.parametrize("name", ["guest-crash", "bad-fix"])
def test_without_the_culprit_the_tests_and_the_recorded_requests_pass(
    histories: Histories, production: Production, name: str
) -> None:
    built = histories[name]
    broken = production.tree(built.repository, built.newest)
    production.ask(broken)
    assert built.culprit is not None
    mended = production.tree(built.repository, revisions.revert(built.repository, built.culprit))
    before, traceback = production.replay(broken, production.errors)

    assert (1, True) == (before, "in place\n" in traceback)
    assert 0 == production.replay(mended, production.errors)[0]
    assert 0 == production.tests(mended)[0]
    last_good = production.tree(built.repository, built.last_good)
    assert 0 == production.replay(last_good, production.errors)[0]


def test_guest_crash_without_its_culprit_serves_everybody(
    histories: Histories, production: Production
) -> None:
    built = histories["guest-crash"]
    assert built.culprit is not None
    tree = revisions.revert(built.repository, built.culprit)

    assert {} == production.ask(production.tree(built.repository, tree)).failed


def test_bad_fix_without_its_culprit_fails_every_express_order(
    histories: Histories, production: Production
) -> None:
    built = histories["bad-fix"]
    assert built.culprit is not None
    tree = revisions.revert(built.repository, built.culprit)
    answers = production.ask(production.tree(built.repository, tree))
    records = revisions.read_lines(production.errors)

    assert {"express": answers.asked["express"]} == answers.failed
    assert 0.30 < answers.rate() < 0.40
    assert "'Customer' object has no attribute 'has_account'" in str(records[0]["traceback"])


def test_no_code_cause_serves_everybody_until_the_provider_is_gone(
    histories: Histories, production: Production
) -> None:
    built = histories["no-code-cause"]
    tree = production.tree(built.repository, built.newest)
    assert {} == production.ask(tree).failed

    with revisions.refused_port() as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        newest = production.ask(tree, payment=url)
        good = production.ask(production.tree(built.repository, built.last_good), payment=url)
    records = revisions.read_lines(production.errors)

    assert newest.failed == good.failed
    assert {"cart": 0.0, "guest": 1.0, "express": 1.0, "member": 1.0} == {
        kind: newest.rate(kind) for kind in newest.asked
    }
    assert {"ConnectionRefusedError"} == {record["exception"] for record in records}
    assert "payment provider at http" in str(records[0]["traceback"])
    assert 0 == production.replay(tree, production.errors)[0]


@pytest.mark.parametrize("name", story.bug_names())
def test_a_bug_shows_from_its_culprit_on_and_not_before(
    histories: Histories, production: Production, name: str
) -> None:
    built, bug = histories[name], story.read_bug(name)
    assert built.culprit is not None
    asks = [
        Ask(str(index), str(one["method"]), str(one["path"]), json.dumps(one.get("body")).encode())
        for index, one in enumerate(bug.triggers)
    ]
    rates = [
        revisions.ask(production.serve(production.tree(built.repository, revision)), asks).rate()
        for revision in (built.last_good, built.culprit, built.newest)
    ]

    assert [0.0, 1.0, 1.0] == rates
    assert {bug.exception} == {
        record["exception"] for record in revisions.read_lines(production.errors)
    }


@pytest.mark.parametrize("name", sorted(set(story.bug_names()) - {"bad-fix"}))
def test_the_usual_customers_run_into_every_bug(
    histories: Histories, production: Production, name: str
) -> None:
    built = histories[name]
    answers = production.ask(production.tree(built.repository, built.newest))

    assert answers.rate() > 0.02


def test_the_variants_differ_in_exception_function_and_commit() -> None:
    bugs = [story.read_bug(name) for name in story.bug_names()]
    others = [bug for bug in bugs if bug.name not in ("guest-crash", "bad-fix")]

    assert {"TypeError", "KeyError", "ValueError"} <= {bug.exception for bug in others}
    assert len(others) == len({bug.culprit for bug in others})
    assert len(others) == len({bug.plants[0][1].path for bug in others})
