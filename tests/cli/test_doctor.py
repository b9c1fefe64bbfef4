"""`halon doctor`: everything at once, one line each, how to mend it, and never a secret."""

import json
import shutil
import socket
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli import services
from cli.finding import Finding, State, shown
from incidents.settings import Settings, parse_services
from incidents.store import Store
from tests import repositories
from tests.cli.plants import Up, halon, here

PASSWORD = "hunter2"


def checks(place: Path, *, code: int, **env: str) -> dict[str, dict[str, Any]]:
    """Run the doctor in a folder and return its checks by their names."""
    done = here("doctor", "--json", env=Up(place, env).env, cwd=place)
    assert (code, "") == (done.returncode, done.stderr), done.stdout
    told = json.loads(done.stdout)
    assert told["ok"] is (code == 0)
    return {one["check"]: one for one in told["checks"]}


def write(place: Path, text: str) -> None:
    (place / "halon.toml").write_text(text, encoding="utf-8")


@pytest.fixture
def service(tmp_path: Path, git_repo: repositories.Repository) -> dict[str, Any]:
    """A service of halon.toml with nothing wrong about it."""
    git_repo.commit("first", {"test.sh": "exit 0\n"})
    (tmp_path / "app.log").write_text("GET / 200\n")
    return {
        "name": "checkout",
        "repository": str(git_repo.path),
        "logs": [str(tmp_path / "*.log")],
        "test": "sh test.sh",
    }


def look(table: dict[str, Any], folder: Path) -> dict[str, Finding]:
    """Look at one service and return the findings by what they are about."""
    (one,) = parse_services({"service": [table]}, where="test")
    told = Settings(folder=folder)
    return {found.what.partition(": ")[2]: found for found in services.look(one, told)}


def test_without_a_settings_file_everything_else_is_still_looked_at(tmp_path: Path) -> None:
    found = checks(tmp_path, code=1)

    wrong = {name for name, one in found.items() if one["state"] == "wrong"}
    assert {"services in halon.toml"} == wrong - {"sandbox bubblewrap", "sandbox namespaces"}
    assert "halon.example.toml" in found["services in halon.toml"]["mend"]
    assert {"Python", "git", "Redis", "kernel", "clock", "engine"} <= set(found)
    assert "the builtin engine plays every role" in found["engine"]["said"]
    assert not (tmp_path / "data").exists()  # it changes nothing


def test_what_is_set_up_rightly_is_fine(tmp_path: Path, service: dict[str, Any]) -> None:
    found = look(service, tmp_path)

    assert [] == [one for one in found.values() if one.state is State.WRONG]


def test_everything_wrong_is_said_at_once_and_no_secret_with_it(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{nobody.getsockname()[1]}"
        write(
            tmp_path,
            f'[[service]]\nname = "checkout"\nrepository = "http://u:{PASSWORD}@{at}/x"\n'
            'test = "no-such-program -q"\nlogs = ["/none/*.log"]\n',
        )
        env = Up(
            tmp_path,
            {
                "REDIS_URL": f"redis://:{PASSWORD}@{at}/0",
                "DATABASE_URL": f"postgresql://u:{PASSWORD}@{at}/halon",
                "ANTHROPIC_API_KEY": PASSWORD,
            },
        ).env
        done = halon("doctor", env=env, cwd=tmp_path)

    assert (1, "") == (done.returncode, done.stderr)
    assert PASSWORD not in done.stdout
    broken = [line for line in done.stdout.splitlines() if line.startswith("✗ wrong")]
    for about in ("REDIS_URL", "database", "repository", "no-such-program", "/none/*.log"):
        assert [line for line in broken if about in line and "→" in line], about


def test_a_port_that_is_taken_or_none_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = checks(tmp_path, code=1, HALON_WEB_PORT=str(port))
    assert "HALON_WEB_PORT" in found[f"war room 127.0.0.1:{port}"]["mend"]

    found = checks(tmp_path, code=1, HALON_WEB_PORT="99999")
    assert "HALON_WEB_PORT" in found["settings of the bot"]["said"]


def test_a_database_is_told_with_its_schema(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    store = Store(f"sqlite:///{folder / 'halon.db'}")
    store.migrate()
    current, newest = store.schema()
    store.close()
    name = f"database sqlite:///{folder / 'halon.db'}"

    assert current == newest
    assert f"schema {newest}" in checks(tmp_path, code=1)[name]["said"]


def test_an_open_folder_is_told_with_its_mend(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)

    found = checks(tmp_path, code=1)[f"data folder {tmp_path / 'data'}"]

    assert ("note", True) == (found["state"], "chmod 700" in found["mend"])


def test_a_branch_that_is_not_there(tmp_path: Path, service: dict[str, Any]) -> None:
    found = look({**service, "branch": "release"}, tmp_path)

    assert State.WRONG is found[f"repository {service['repository']}"].state


def test_an_inbox_that_can_be_watched_and_mended_is_fine(
    tmp_path: Path, service: dict[str, Any]
) -> None:
    found = look({**service, "inbox": service["repository"]}, tmp_path)

    assert State.FINE is found[f"inbox {service['repository']}"].state


@pytest.mark.parametrize("kind", ["gone", "no tree", "bare", "without a commit"])
def test_an_inbox_that_holds_nothing_to_mend(
    tmp_path: Path, service: dict[str, Any], kind: str
) -> None:
    place = tmp_path / "inbox"
    if kind == "no tree":
        place.mkdir()
    if kind in ("bare", "without a commit"):
        options = ["--bare"] if kind == "bare" else []
        subprocess.run(["git", "init", "--quiet", *options, str(place)], check=True)

    found = look({**service, "inbox": str(place)}, tmp_path)[f"inbox {place}"]

    assert (State.WRONG, True) == (found.state, bool(found.mend))


def test_hooks_that_are_not_there_or_may_not_be_run_are_named(
    tmp_path: Path, service: dict[str, Any]
) -> None:
    plain = tmp_path / "switch.sh"
    plain.write_text("exit 0\n")
    here = {"argv": ["sh", "-c", "exit 0"], "away": ["no-such-hook", "x"], "file": [str(plain)]}
    deploy = dict.fromkeys(("prepare", "observe", "promote", "take_back"), here["argv"])
    found = look(
        service
        | {
            "mitigations": {"flag-off": {"run": here["file"], "risk": "r", "undo": here["away"]}},
            "captures": {"threads": here["away"], "pools": here["argv"]},
            "deploy": {"driver": "command", **deploy, "set_weight": here["away"]},
        },
        tmp_path,
    )

    told = {
        name.partition(" `")[0]: one
        for name, one in found.items()
        if name.startswith(("mitigations", "captures", "deploy."))
    }
    wrong = {name for name, one in told.items() if one.state is State.WRONG}
    assert {
        "mitigations.flag-off.run",
        "mitigations.flag-off.undo",
        "captures.threads",
        "deploy.set_weight",
    } == wrong
    assert "chmod +x" in told["mitigations.flag-off.run"].mend
    assert {"captures.pools", "deploy.prepare"} < set(told)


def test_a_shallow_clone_is_a_note(tmp_path: Path, git_repo: repositories.Repository) -> None:
    for number in range(3):
        git_repo.commit(f"{number}", {"a": f"{number}"})
    shallow = tmp_path / "shallow"
    git_repo.git("clone", "--quiet", "--depth", "1", f"file://{git_repo.path}", str(shallow))

    found = look({"name": "checkout", "repository": str(shallow)}, tmp_path)

    assert State.NOTE is found[f"repository {shallow}"].state
    assert "--unshallow" in found[f"repository {shallow}"].mend


def test_a_remote_is_asked_for_its_branch(tmp_path: Path, service: dict[str, Any]) -> None:
    address = f"file://{service['repository']}"
    there = look({**service, "repository": address}, tmp_path)
    away = look({**service, "repository": address, "branch": "none"}, tmp_path)

    assert State.FINE is there[f"repository {shown(address)}"].state
    assert State.WRONG is away[f"repository {shown(address)}"].state


def test_a_change_record_with_lines_that_say_nothing(
    tmp_path: Path, service: dict[str, Any]
) -> None:
    record = tmp_path / "deploys.jsonl"
    record.write_text('{"revision": "a", "at": "2026-01-05T09:00:00+00:00"}\nnot json\n')

    found = look({**service, "changes": {"record": str(record)}}, tmp_path)

    assert f"1 of 2 lines of {record} cannot be read" == found["changes"].said


def test_a_dependency_that_does_not_answer(tmp_path: Path, service: dict[str, Any]) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        probe = f"http://127.0.0.1:{nobody.getsockname()[1]}/healthz"
        found = look({**service, "depends_on": [{"name": "payment", "probe": probe}]}, tmp_path)

    assert State.WRONG is found["depends on payment"].state


def test_a_host_that_is_down_names_its_command(tmp_path: Path, service: dict[str, Any]) -> None:
    found = look({**service, "deploy": {"driver": "processes"}}, tmp_path)

    assert f"halon host {tmp_path / 'hosts' / 'checkout'}" in found["deploy by processes"].mend


def test_a_monitor_is_asked_for_the_last_minutes(tmp_path: Path, service: dict[str, Any]) -> None:
    log = tmp_path / "access.json"
    lines = [
        {"ts": (datetime.now(UTC) - timedelta(seconds=s)).isoformat(), "version": "v1",
         "status": 200, "ms": 5}
        for s in range(90, 0, -1)
    ]  # fmt: skip
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    monitor = {"source": "accesslog", "path": str(log), "canary": "v2", "stable": "v1"}
    deploy = {"driver": "processes"}

    found = look({**service, "deploy": deploy, "monitor": monitor}, tmp_path)
    other = look({**service, "deploy": deploy, "monitor": {**monitor, "stable": "v0"}}, tmp_path)

    assert State.FINE is found["monitor"].state
    assert State.NOTE is other["monitor accesslog"].state


def test_an_experimental_driver_is_said_to_be_one(tmp_path: Path, service: dict[str, Any]) -> None:
    keys = {
        "rollout": "shop",
        "container": "shop",
        "image": "shop:{revision}",
        "kubectl": ["false"],
    }
    found = look({**service, "deploy": {"driver": "argo", **keys}}, tmp_path)

    assert "experimental" in found["deploy by argo, which is young"].said


def test_a_driver_that_is_not_known(tmp_path: Path, service: dict[str, Any]) -> None:
    found = look({**service, "deploy": {"driver": "pigeon"}}, tmp_path)

    assert State.WRONG is found["deploy by pigeon"].state


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "nobody but the operator of the war room, as long as no chat is configured"),
        ({"approvers": {"slack": ["U1", "U2"]}}, "2"),
        (
            {"approvers": {"web": ["a", "b"]}, "quorum": {"P0": 2, "P1": 1}},
            "2; quorum: 2 for P0, 1 for P1",
        ),
        (
            {"approvers": {"web": ["a"]}, "quorum": {"P0": 2}},
            "a quorum asks for 2, and the list names 1: nothing could be approved",
        ),
        ({"run_mode": "read_only"}, "none needed: its run mode is read_only"),
    ],
)
def test_who_may_approve(
    tmp_path: Path, service: dict[str, Any], more: dict[str, Any], said: str
) -> None:
    assert said == look({**service, **more}, tmp_path)["approvers"].said


def test_commands_are_split_without_a_shell(tmp_path: Path, service: dict[str, Any]) -> None:
    found = look({**service, "prepare": "sh setup.sh"}, tmp_path)

    assert shutil.which("sh") == found["prepare `sh setup.sh`"].said


@pytest.mark.parametrize(("network", "said"), [(False, "none"), (True, "it has the host's")])
def test_what_installs_says_whether_it_has_a_network(
    tmp_path: Path, service: dict[str, Any], network: bool, said: str
) -> None:
    prepare = {"run": "sh setup.sh", "network": network}
    found = look({**service, "prepare": prepare}, tmp_path)["prepare's network"]

    assert (State.NOTE, True) == (found.state, found.said.startswith(said))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("redis://:p@h:6379/0", "redis://h:6379/0"),
        ("https://u:p@h/x.git?token=p", "https://h/x.git"),
        ("sqlite:////data/halon.db", "sqlite:////data/halon.db"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("/srv/git/checkout", "/srv/git/checkout"),
        ("http://[bad", "an address that cannot be read"),
    ],
)
def test_addresses_are_shown_without_their_secrets(address: str, expected: str) -> None:
    assert expected == shown(address)
