"""Deployer `haproxy` against Debian's HAProxy, with real servers behind it and real load on it."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from incidents import errors
from rollout import haproxy as runtime
from rollout import watchdog
from rollout.deployers.haproxy import HAProxy, Settings
from tests.rollout import plans
from tests.rollout.deployers.site import Site
from tests.rollout.deployers.team import PLAN
from tests.rollout.production import Load, until

pytestmark = pytest.mark.service
OLD, NEW, GOOD = plans.OLD, plans.NEW, plans.GOOD


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site.begin(tmp_path_factory.mktemp("site"))
    yield made
    made.end()


def deployer(site: Site, **keys: Any) -> HAProxy:
    settings = Settings.model_validate({**site.team.hooks(), **site.keys, **keys})
    return HAProxy("checkout", settings, site.folder / "halon")


def load(site: Site, clients: int = 6, *, keep_alive: bool = True) -> Load:
    """At most 6 clients x 1 request per 15 ms: 400 requests per second."""
    return Load(site, clients=clients, pause=0.015, keep_alive=keep_alive)


def share(asking: Load, requests: int) -> float:
    """Return the canary's share of the next requests, in percent."""
    before = dict(asking.revisions)
    asking.at_least(requests)
    new, old = (asking.revisions[key] - before.get(key, 0) for key in (NEW, OLD))
    return 100 * new / (new + old)


@pytest.mark.slow
@pytest.mark.parametrize("keep_alive", [True, False])
def test_no_request_fails_from_0_to_100_and_back(site: Site, keep_alive: bool) -> None:
    site.start()
    proxy = deployer(site)
    assert [] == proxy.preflight(PLAN)
    with load(site, keep_alive=keep_alive).running() as asking:
        asking.at_least(20)
        assert (0, NEW) == (proxy.prepare(PLAN, "1").weight, proxy.observe().canary_revision)
        assert 0 == share(asking, 60)
        for percent in (10, 50, 100):
            seen = proxy.set_weight(percent, "1")
            assert (percent, True, True) == (seen.weight, seen.settled, seen.canary_healthy)
            asking.at_least(12)  # what was decided before the shift
            assert percent == pytest.approx(share(asking, 120), abs=4)
        gone = proxy.take_back(OLD, "1")
        assert (0, OLD, None) == (gone.weight, gone.stable_revision, gone.canary_revision)
        assert 0 == share(asking, 60)
    assert {"200"} == set(asking.statuses)


def test_promoting_loses_no_request_and_leaves_the_safe_state(site: Site) -> None:
    site.start()
    proxy = deployer(site)
    with load(site).running() as asking:
        proxy.prepare(PLAN, "1")
        with pytest.raises(errors.TemporaryFailure, match="restart what serves"):
            proxy.promote("1")
        proxy.set_weight(100, "1")
        asking.at_least(50)
        for _ in range(2):
            done = proxy.promote("1")
            assert (0, NEW, None) == (done.weight, done.stable_revision, done.canary_revision)
        asking.at_least(50)
    assert {"200"} == set(asking.statuses)
    assert "100 (initial 100)" in site.ask("get weight app/stable")
    assert "0 (initial 0)" in site.ask("get weight app/canary")


def test_the_way_back_works_with_halon_dead_and_under_load(site: Site, tmp_path: Path) -> None:
    site.start()
    proxy = deployer(site)
    proxy.prepare(PLAN, "1")
    argv, lease = tuple(proxy.take_back_argv(OLD, "1")), tmp_path / "lease"
    with load(site).running() as asking:
        proxy.set_weight(50, "1")
        asking.at_least(50)
        watchdog.arm(lease, watchdog.Lease(watchdog.TAKE_BACK, argv, seconds=0.2))
        until(lambda: site.team.world()["canary"] is None)
        asking.at_least(50)
    assert {"200"} == set(asking.statuses)
    assert (0, True) == (proxy.observe().weight, proxy.observe().settled)


def test_going_back_to_the_last_good_version(site: Site) -> None:
    site.start()
    proxy = deployer(site)
    proxy.prepare(plans.made(), "1")
    proxy.set_weight(10, "1")
    done = proxy.take_back(GOOD, "1")
    assert (0, GOOD, True) == (done.weight, done.stable_revision, done.stable_healthy)


def test_a_killed_canary_is_seen_and_taken_back(site: Site) -> None:
    site.start()
    proxy = deployer(site)
    proxy.prepare(PLAN, "1")
    clients = 6
    with load(site, clients).running() as asking:
        proxy.set_weight(50, "1")
        asking.at_least(50)
        site.kill("canary")
        until(lambda: not proxy.observe().canary_healthy)
        until(lambda: "canary is DOWN" in (proxy.observe().trouble or ""))
        assert 50 == proxy.observe().weight
        lost = sum(asking.statuses.values()) - asking.statuses["200"]
        assert lost <= clients  # what it was answering when it died; the rest went to stable
        with pytest.raises(errors.HalonError):
            proxy.set_weight(100, "1")
        assert 0 == proxy.take_back(OLD, "1").weight
        asking.at_least(50)
        assert lost == sum(asking.statuses.values()) - asking.statuses["200"]


def test_a_canary_that_dies_with_everything_leaves_the_reserve_serving(site: Site) -> None:
    site.start()
    proxy = deployer(site)
    proxy.prepare(PLAN, "1")
    proxy.set_weight(100, "1")
    site.kill("canary")
    until(lambda: "canary is DOWN" in (proxy.observe().trouble or ""))
    with load(site).running() as asking:
        asking.at_least(50)
    assert ({"200"}, {OLD}) == (set(asking.statuses), set(asking.revisions))
    assert 100 == proxy.observe().weight  # as commanded; that it is down is said beside it
    assert 0 == proxy.take_back(OLD, "1").weight


def test_what_somebody_else_does_by_hand_is_noticed(site: Site) -> None:
    site.start()
    proxy = deployer(site)
    proxy.prepare(PLAN, "1")
    for by_hand, undo, weight in (
        ("set server app/canary weight 30; set server app/stable weight 70", "", 30),
        ("set server app/canary state maint", "set server app/canary state ready", 0),
        ("set server app/canary state drain", "set server app/canary state ready", 0),
        ("disable server app/stable", "enable server app/stable", 100),
    ):
        until(lambda: proxy.observe().canary_healthy)
        assert proxy.set_weight(50, "1").settled
        site.ask(by_hand)
        seen = proxy.observe()
        assert (weight, False) == (seen.weight, seen.settled)
        site.ask(undo or "show info")


def test_a_reload_resets_the_weights_and_is_noticed(site: Site) -> None:
    site.start()
    proxy = deployer(site)
    proxy.prepare(PLAN, "1")
    proxy.set_weight(50, "1")
    site.reload()
    seen = proxy.observe()
    assert (0, False, NEW) == (seen.weight, seen.settled, seen.canary_revision)


def test_a_dead_haproxy_is_unseen(site: Site) -> None:
    site.start()
    proxy = deployer(site)
    assert site.process is not None
    site.process.terminate()
    site.process.wait(20)
    with pytest.raises(errors.TemporaryFailure, match="does not answer"):
        proxy.observe()
    with pytest.raises(errors.TemporaryFailure, match="does not answer"):
        proxy.take_back(OLD, "1")
    assert [] == site.team.calls()  # the canary is not stopped while it may have traffic


def test_an_older_token_moves_nothing(site: Site) -> None:
    site.start()
    proxy = deployer(site)
    proxy.prepare(PLAN, "5")
    proxy.set_weight(10, "5")
    with pytest.raises(errors.StaleFence):
        proxy.set_weight(50, "4")
    argv = proxy.take_back_argv(OLD, "4")
    assert 3 == subprocess.run(argv, capture_output=True, check=False).returncode
    assert 10 == proxy.observe().weight


def test_preflight_finds_every_setting_that_would_go_wrong(site: Site) -> None:
    site.start(
        balance="static-rr",
        more_global="    server-state-file /tmp/x",
        more_backend="    cookie SRV insert",
        rest="5",
        servers="    server spare 127.0.0.1:1 weight 3",
    )
    found = deployer(site).preflight(PLAN)
    for said, fatal in (
        ("balance static-rr", True),
        ("keeps weights over a reload", True),
        ("must say `weight 0`", True),
        ("neither side", True),
        ("keeps users on their server", False),
    ):
        assert [fatal] == [problem.fatal for problem in found if said in problem.text]


def test_preflight_wants_checks_and_hashes_that_can_change(site: Site) -> None:
    site.start(check="no-check", balance="source")
    texts = [p.text for p in deployer(site).preflight(PLAN) if p.fatal]
    assert ["hash-type" in texts[-1], 2] == [True, sum("no check" in text for text in texts)]
    plain = (site.folder / "haproxy.cfg").read_text()
    consistent = plain.replace("retries", "hash-type consistent\n    retries")
    (site.folder / "consistent.cfg").write_text(consistent)
    other = deployer(site, config=str(site.folder / "consistent.cfg"))
    assert not any("hash-type" in problem.text for problem in other.preflight(PLAN))


def test_preflight_names_missing_servers_backends_and_a_dead_stable(site: Site) -> None:
    site.start()
    for keys, said in (
        ({"canary": ["nobody"]}, "no server nobody"),
        ({"backend": "nowhere"}, "Can't find backend"),
        ({"socket": "/no/such.sock"}, "does not answer"),
    ):
        assert said in " ".join(p.text for p in deployer(site, **keys).preflight(PLAN) if p.fatal)
    site.kill("stable")
    until(lambda: site.ask("show stat").count("DOWN") >= 3)
    assert "stable" in " ".join(p.text for p in deployer(site).preflight(PLAN) if p.fatal)


def test_several_servers_have_exactly_the_shares_asked_for(site: Site) -> None:
    more = "\n".join(f"    server s{n} 127.0.0.1:{n} weight 100" for n in range(1, 9))
    site.start(servers=more)
    names = ("stable", *(f"s{n}" for n in range(1, 9)))
    backend = runtime.Backend(str(site.folder / "admin.sock"), "app", names, ("canary",))
    for percent in (10, 50, 37, 100, 0):
        backend.set(percent)
        assert percent == backend.read().weight
    with pytest.raises(errors.PermanentFailure, match="cannot be had exactly"):
        backend.set(99)


def test_the_example_is_accepted_by_haproxy(site: Site, tmp_path: Path) -> None:
    example = Path(__file__).parents[3] / "rollout/deployers/haproxy.cfg.example"
    text = example.read_text(encoding="utf-8").replace("/run/halon", str(tmp_path))
    (tmp_path / "cfg").write_text(text, encoding="utf-8")
    argv = [str(site.program), "-c", "-f", str(tmp_path / "cfg")]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, env={"PATH": os.defpath}
    )
    assert (0, "") == (done.returncode, done.stderr.replace("Configuration file is valid\n", ""))
