"""The demo service's table in halon.toml, and its payment provider."""

import json
import sys
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from demo import service
from incidents import settings
from tests.demo import revisions

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture
def place(tmp_path: Path) -> service.Place:
    """A run's folders, one with characters that need quoting."""
    odd = tmp_path / 'a "quoted" folder'
    return service.Place(
        repository=odd / "checkout",
        folder=odd / "logs",
        host=odd / "host",
        payment="http://127.0.0.1:8099",
    )


def test_halon_understands_the_table(place: service.Place) -> None:
    (checkout,) = settings.parse_services(
        tomllib.loads(service.settings_text(place)), where="the demo"
    )

    assert ("checkout", str(place.repository)) == (checkout.name, checkout.repository)
    assert (str(place.error_log), str(place.access_log)) == checkout.logs
    assert checkout.reproduce is not None
    assert f"{sys.executable} -m checkout.replay" == checkout.reproduce.run
    assert ["http://127.0.0.1:8099/healthz"] == [one.probe for one in checkout.depends_on]
    assert checkout.monitor is not None
    assert {"errors": str(place.error_log)} == checkout.monitor.model_extra
    assert None not in (checkout.deploy, checkout.delivery)


def test_replicas_command_lets_the_host_choose_the_socket(place: service.Place) -> None:
    argv = service.replica_argv(place)

    assert "{socket}" == argv[argv.index("--socket") + 1]
    assert str(place.error_log) in argv


def test_provider_writes_each_charge_down_and_answers_its_probe(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    process, url = revisions.start(
        revisions.ROOT, "-m", "demo.payment", "--port", "0", "--ledger", str(ledger)
    )
    with DIRECT.open(f"{url}/healthz") as answer:
        assert {"status": "ok"} == json.loads(answer.read())
    body = json.dumps({"amount": 1740, "card": "tok", "reference": "o-1"}).encode()
    with DIRECT.open(f"{url}/charge", body) as answer:
        receipt = json.loads(answer.read())["receipt"]

    assert 0 == revisions.ended(process)
    assert [{"receipt": receipt, "amount": 1740, "reference": "o-1"}] == revisions.read_lines(
        ledger
    )
    with pytest.raises(urllib.error.URLError, match="refused"):
        DIRECT.open(f"{url}/healthz")


def test_provider_says_which_port_is_taken(provider: str) -> None:
    port = provider.rpartition(":")[2]
    done = revisions.run(revisions.ROOT, "-m", "demo.payment", "--port", port)

    assert (3, True) == (done.returncode, f"port {port}: Address already in use" in done.stderr)
