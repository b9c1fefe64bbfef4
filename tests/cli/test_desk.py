"""Stored incidents from a shell: the same words as in a chat, and the same answers."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from incidents.store import Store
from tests.cli.plants import Up, halon, here

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command on one data folder, with no Halon running."""
    up = Up(tmp_path)
    up.write_services()

    def command(*arguments: str, by: Run = here) -> CompletedProcess[str]:
        return by(*arguments, env=up.env, cwd=tmp_path)

    return command


def test_an_incident_opened_from_the_shell_is_listed_shown_and_verified(
    run: Run, tmp_path: Path
) -> None:
    said = run("say", "/incident P0 checkout failing", by=halon)
    assert (0, True) == (said.returncode, "INC-1 is open as P0" in said.stdout), said.stderr

    assert "INC-1" in run("incident", "list").stdout
    shown = json.loads(run("incident", "show", "INC-1", "--json").stdout)
    assert ["INC-1", "opened"] == [shown["incident"], shown["timeline"][0]["kind"]]
    assert "holds" in run("incident", "verify", "INC-1").stdout

    store = Store(f"sqlite:///{tmp_path / 'data' / 'halon.db'}")
    with store.write() as tx:
        tx.connection.exec_driver_sql("DROP TRIGGER timeline_entry_keeps")
        hash_ = "UPDATE timeline_entry SET hash = 'another' WHERE sequence = 1"
        tx.connection.exec_driver_sql(hash_)
    store.close()
    broken = run("incident", "verify", "INC-1", by=halon)
    assert (3, "") == (broken.returncode, broken.stdout)
    assert "the chain breaks at entry 1" in broken.stderr


def test_what_cannot_be_done_is_one_sentence_and_exit_1_or_3(run: Run) -> None:
    missing = run("say", "/incident ack", "--incident", "INC-9")
    unknown = run("incident", "show", "INC-9")

    assert 1 == missing.returncode
    assert (3, 1) == (unknown.returncode, len(unknown.stderr.splitlines()))


def test_a_token_is_shown_once_and_ends_when_revoked(run: Run) -> None:
    made = run("token", "add", "ana")
    secret = made.stdout.strip()
    assert "ana" in run("token", "list").stdout
    assert secret not in run("token", "list").stdout

    assert "1 ended." == run("token", "revoke", "ana").stdout.strip()
    assert "ana" not in run("token", "list").stdout


def test_a_change_of_a_service_that_is_not_configured_is_refused(run: Run) -> None:
    assert 0 == run("changed", "checkout", "moved to the new database").returncode
    refused = run("changed", "nothing", "x")

    assert 3 == refused.returncode
    assert "'nothing'" in refused.stderr


def test_two_accounts_are_linked_listed_and_parted_by_whoever_runs_halon(run: Run) -> None:
    made = run("people", "link", "telegram:7", "slack:U1")
    assert (0, "telegram:7 → slack:U1\n") == (made.returncode, run("people", "list").stdout)

    chain = run("people", "link", "slack:U1", "web:ann")
    assert (3, True) == (chain.returncode, "would make a chain" in chain.stderr)

    run("people", "unlink", "telegram:7")
    assert "" == run("people", "list").stdout


def test_what_is_no_account_is_not_linked(run: Run) -> None:
    said = run("people", "link", "machine:halon", "web:ann")

    assert (3, True) == (said.returncode, "is no account" in said.stderr)
