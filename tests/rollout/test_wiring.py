"""Names in halon.toml lead to drivers, and unknown ones to a sentence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from incidents import errors
from incidents.settings import Service
from rollout import wiring
from rollout.canary import Timing
from rollout.delivery.local import Local
from rollout.deployers.processes import Processes
from rollout.monitors.accesslog import AccessLog

TIMING = Timing.scaled(1.0)


def service(**tables: Any) -> Service:
    return Service.model_validate({"name": "checkout", "repository": "/srv/x", **tables})


def test_the_embedded_defaults(tmp_path: Path) -> None:
    one = service(deploy={"driver": "processes", "folder": str(tmp_path)})
    assert isinstance(wiring.deployer(one, tmp_path), Processes)
    assert isinstance(wiring.monitor(one, tmp_path, TIMING), AccessLog)
    assert isinstance(wiring.delivery(one, tmp_path), Local)


@pytest.mark.parametrize(
    ("tables", "what", "said"),
    [
        ({}, "deployer", "no \\[service.deploy\\]"),
        ({"deploy": {"driver": "magic"}}, "deployer", "'magic'; known are: processes"),
        ({"deploy": {"driver": "processes", "fodler": "x"}}, "deployer", "fodler"),
        ({"deploy": {"driver": "processes", "folder": 3}}, "deployer", "must be text"),
        ({"monitor": {"source": "magic"}}, "monitor", "'magic'; known are: accesslog"),
        ({"monitor": {"source": "accesslog"}}, "monitor", "needs the path"),
        ({"delivery": {"via": "magic"}}, "delivery", "'magic'; known are: local"),
    ],
)
def test_mistakes_are_named(tables: dict[str, Any], what: str, said: str, tmp_path: Path) -> None:
    makers: dict[str, Callable[[], object]] = {
        "deployer": lambda: wiring.deployer(service(**tables), tmp_path),
        "monitor": lambda: wiring.monitor(service(**tables), tmp_path, TIMING),
        "delivery": lambda: wiring.delivery(service(**tables), tmp_path),
    }
    with pytest.raises(errors.BadSettings, match=said):
        makers[what]()


HOOKS = {name: ["/bin/true"] for name in ("prepare", "observe", "promote", "take_back")}
SIDES = {"socket": "/run/x.sock", "backend": "app", "stable": ["a"], "canary": ["b"]}


@pytest.mark.parametrize(
    ("driver", "keys", "weights"),
    [
        ("command", {"set_weight": ["/bin/true"]}, True),
        ("haproxy", SIDES, True),
        ("blue_green", {"haproxy": SIDES}, False),
        ("blue_green", {"switch": ["/bin/true"]}, False),
        ("flagd", {"file": "/etc/flags/x.json", "flag": "x"}, True),
    ],
)
def test_deployers_by_hooks(
    driver: str, keys: dict[str, Any], weights: bool, tmp_path: Path
) -> None:
    made = wiring.deployer(service(deploy={"driver": driver, **HOOKS, **keys}), tmp_path)
    assert (weights, True) == (made.abilities.weights, made.abilities.reads_back)
    argv = made.take_back_argv("a" * 40, "newest")
    assert str(tmp_path / "deployers/checkout/way_back.json") in argv


def test_every_mistake_of_a_table_is_named_at_once(tmp_path: Path) -> None:
    one = service(deploy={"driver": "haproxy", **HOOKS, "observe": "look", "wieght": 1})
    with pytest.raises(errors.BadSettings) as raised:
        wiring.deployer(one, tmp_path)
    for word in ("observe", "wieght", "socket", "backend", "stable", "canary"):
        assert f"{word}: " in raised.value.message
