"""The host under real load: exact shares, nothing lost, nobody left behind."""

import json
import signal
import socket
import subprocess
import sys
from collections import Counter
from urllib.parse import urlsplit

import pytest

from tests.rollout.production import ROOT, Load, Production, alive, kill, until

pytestmark = pytest.mark.slow


def test_ten_percent_is_exactly_ten_of_a_hundred(production: Production) -> None:
    old, new = production.revision("old"), production.revision("new")
    production.start(old)
    production.settle(stable=old, canary=new, weight=10)
    connection = production.connect()
    answered: Counter[str] = Counter()
    for _ in range(100):
        connection.request("GET", "/")
        answered[connection.getresponse().read().decode().strip()] += 1
    connection.close()
    assert {old: 90, new: 10} == answered
    until(lambda: len(production.lines()) == 100)  # a line follows the answer it is about
    versions = Counter(line["version"] for line in production.lines())
    assert {"stable": 90, "canary": 10} == versions
    assert {(line["version"], line["revision"]) for line in production.lines()} == {
        ("stable", old),
        ("canary", new),
    }


@pytest.mark.parametrize("keep_alive", [True, False])
def test_no_request_is_lost_from_0_to_promotion_and_back(
    production: Production, keep_alive: bool
) -> None:
    old, new = production.revision("old"), production.revision("new")
    production.start(old)
    with Load(production, keep_alive=keep_alive).running() as load:
        load.at_least(50)
        for weight in (0, 10, 50, 100):
            production.settle(stable=old, canary=new, weight=weight)
            load.at_least(100)
        production.settle(stable=new)
        load.at_least(100)
        production.settle(stable=old)
        until(lambda: not production.seen()["draining"])
        load.at_least(100)
    assert {"200": sum(load.statuses.values())} == load.statuses
    deploys = [
        json.loads(line) for line in (production.folder / "deploys.jsonl").read_text().splitlines()
    ]
    assert [("stable", old), ("canary", new), ("stable", new), ("stable", old)] == [
        (deploy["version"], deploy["revision"]) for deploy in deploys
    ]


def test_a_killed_replica_costs_only_the_requests_inside_it_and_comes_back(
    production: Production,
) -> None:
    production.start(production.revision("old"))
    victim = production.seen()["stable"]["pids"][0]
    with Load(production).running() as load:
        load.at_least(50)
        kill(victim)
        until(lambda: victim not in production.seen()["stable"]["pids"])
        until(lambda: production.seen()["stable"]["healthy"] == 2)
        load.at_least(100)
    lost = sum(count for status, count in load.statuses.items() if status != "200")
    assert lost <= load.clients


def test_a_canary_that_is_not_healthy_gets_no_traffic_and_is_named(production: Production) -> None:
    old, bad = production.revision("old"), production.revision("bad", dies=1)
    production.start(old)
    production.want(stable=old, canary=bad, weight=10)
    until(lambda: "exit 7" in (production.seen()["error"] or ""))
    seen = production.seen()
    assert (0, False) == (seen["weight"], seen["settled"])


def test_a_canary_that_dies_in_service_hands_its_traffic_to_stable(production: Production) -> None:
    old, new = production.revision("old"), production.revision("new")
    production.start(old)
    production.settle(stable=old, canary=new, weight=50)
    connection = production.connect()
    for _ in range(4):  # both replicas of the canary are among the next four requests
        connection.request("POST", "/die", body=b"now")
        connection.getresponse().read()
        connection.close()
    until(lambda: production.seen()["stable"]["healthy"] == 2)
    errors = {line["version"] for line in production.lines() if line["status"] == 502}
    assert {"canary", "stable"} == errors
    until(lambda: production.seen()["settled"] and production.seen()["weight"] == 50)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("[1, 2]", "wrong"),
        ('{"stable": "HEAD"}', "stable"),
        ('{"stable": "%s", "weight": 10}', "a weight needs a canary"),
        ('{"stable": "%s", "weight": 101}', "weight"),
        ('{"stable": "%s", "fence": NaN}', "fence"),
        ("\x00\xff" * 100, "want.json"),
    ],
)
def test_garbage_is_refused_with_a_sentence_and_changes_nothing(
    production: Production, text: str, said: str
) -> None:
    old = production.revision("old")
    production.start(old)
    before = production.seen()["obeying"]
    path = production.folder / "want.json"
    path.write_text(text % old if "%s" in text else text, encoding="latin-1")
    until(lambda: said in (production.seen()["error"] or ""))
    assert before == production.seen()["obeying"]


def test_an_older_fence_is_refused_also_by_a_host_that_restarted(production: Production) -> None:
    old, new = production.revision("old"), production.revision("new")
    production.start(old)
    production.settle(stable=old, canary=new, weight=10, fence=7)
    production.end()
    production.want(stable=old, fence=6)
    production.process = subprocess.Popen(
        [sys.executable, "-m", "rollout.host", str(production.folder)], cwd=ROOT
    )
    until(lambda: "older" in (production.seen().get("error") or ""))
    until(lambda: production.seen()["weight"] == 10)
    assert 7 == production.seen()["fence"]


def test_an_unknown_revision_is_named_and_traffic_stays(production: Production) -> None:
    old = production.revision("old")
    production.start(old)
    production.want(stable="0" * 40)
    until(lambda: "cannot be checked out" in (production.seen()["error"] or ""))
    assert old == production.seen()["stable"]["revision"]


def test_a_second_host_on_the_folder_is_refused(production: Production) -> None:
    production.start(production.revision("old"))
    second = subprocess.run(
        [sys.executable, "-m", "rollout.host", str(production.folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert second.returncode == 1
    assert "Another host already serves" in second.stderr


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_replicas_end_with_their_host(production: Production, how: signal.Signals) -> None:
    production.start(production.revision("old"))
    pids = production.seen()["stable"]["pids"]
    assert [True, True] == [alive(pid) for pid in pids]
    assert production.process is not None
    production.process.send_signal(how)
    production.process.wait(20)
    until(lambda: not any(alive(pid) for pid in pids))


def test_a_host_that_was_killed_goes_on_where_it_was(production: Production) -> None:
    old, new = production.revision("old"), production.revision("new")
    production.start(old)
    production.settle(stable=old, canary=new, weight=50)
    kill(production.process_id())
    assert production.process is not None
    production.process.wait(20)
    production.launch()
    assert (50, new) == (production.seen()["weight"], production.seen()["canary"]["revision"])


def test_on_the_way_back_from_a_dead_stable_the_canary_serves_until_the_good_one_is_there(
    production: Production,
) -> None:
    good, broken = production.revision("good"), production.revision("broken")
    new = production.revision("new")
    production.start(broken)
    production.settle(stable=broken, canary=new, standby=good, weight=50)
    with Load(production).running() as load:
        load.at_least(50)
        production.settle(stable=good)
        load.at_least(50)
    assert {"200"} == set(load.statuses)


def test_an_ambiguous_body_is_refused_before_it_reaches_a_replica(production: Production) -> None:
    production.start(production.revision("old"))
    place = urlsplit(production.seen()["address"])
    with socket.create_connection((str(place.hostname), place.port or 0), timeout=10) as raw:
        raw.sendall(
            b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n"
            b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"
        )
        answer = raw.recv(4096)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert [] == production.lines()


def test_head_and_chunked_answers_keep_the_connection_usable(production: Production) -> None:
    revision = production.revision("old")
    production.start(revision)
    connection = production.connect()
    connection.request("HEAD", "/")
    assert b"" == connection.getresponse().read()
    first = connection.sock
    connection.request("GET", "/chunked")
    assert f"{revision}  more" == connection.getresponse().read().decode()
    connection.request("POST", "/", body=iter([b"a", b"b"]), encode_chunked=True)
    connection.getresponse().read()
    assert first is connection.sock
    connection.close()


def test_a_full_disk_costs_no_request_and_is_said(production: Production) -> None:
    production.folder.mkdir(parents=True)
    (production.folder / "access.log").symlink_to("/dev/full")
    production.start(production.revision("old"))
    connection = production.connect()
    connection.request("GET", "/")
    assert 200 == connection.getresponse().status
    connection.close()
    until(lambda: "disk" in (production.seen()["error"] or ""))
