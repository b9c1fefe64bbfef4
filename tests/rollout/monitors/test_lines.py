"""Every format's line becomes a request of the right version, or nothing at all."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from incidents.models import Version
from rollout.monitors.lines import FORMATS, Groups, Line, Reading

AT = datetime(2026, 3, 1, 12, 0, 7, tzinfo=UTC).timestamp()
SERVERS = Reading(Groups(("app/canary",), ("app/stable*",)), zone=ZoneInfo("UTC"))
ADDRESSES = Reading(Groups(("10.0.0.9:80",), ("10.0.1.*", "unix:/run/app.sock")))
HAPROXY = (
    "<134>Mar  1 12:00:07 lb haproxy[14389]: 10.0.1.2:33317 [01/Mar/2026:12:00:06.655] http-in "
    '{server} 10/0/30/69/345 {status} 2750 - - {ended} 1/1/1/1/0 0/0 {{shop}} {{}} "GET / HTTP/1.1"'
)
NGINX = (
    '192.0.2.7 - - [01/Mar/2026:13:00:07 +0100] "GET /cart?a=\\"b HTTP/1.1" {status} 312 "-" '
    '"Mozilla/5.0 upstream=10.0.0.9:80" {extra}'
)


def haproxy(server: str = "app/canary", status: str = "200", ended: str = "----") -> Line | None:
    raw = HAPROXY.format(server=server, status=status, ended=ended).encode()
    return FORMATS["haproxy"](raw, SERVERS)


def nginx(extra: str, status: int = 200, reading: Reading = ADDRESSES) -> Line | None:
    return FORMATS["nginx"](NGINX.format(status=status, extra=extra).encode(), reading)


@pytest.mark.parametrize(
    ("given", "version", "status"),
    [
        ({}, Version.CANARY, 200),
        ({"server": "app/stable2", "status": "503"}, Version.STABLE, 503),
        ({"server": "other/canary"}, None, 200),
        ({"ended": "SD--"}, Version.CANARY, 502),  # the server broke off in the middle
        ({"ended": "CD--"}, Version.CANARY, 200),  # the client did
    ],
)
def test_a_line_of_haproxy(given: dict[str, str], version: Version | None, status: int) -> None:
    assert Line(pytest.approx(AT), version, status, 345.0) == haproxy(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [{"server": "app/<NOSRV>", "status": "503"}, {"status": "-1"}])
def test_haproxy_without_a_servers_answer_shows_only_that_it_lives(given: dict[str, str]) -> None:
    line = haproxy(**given)

    assert line is not None
    assert (None, 0, None) == (line.version, line.status, line.milliseconds)


def test_haproxys_times_have_no_zone_so_it_is_a_setting() -> None:
    raw = HAPROXY.format(server="app/canary", status="200", ended="----").encode()
    berlin = Reading(SERVERS.groups, zone=ZoneInfo("Europe/Berlin"))
    there, here = FORMATS["haproxy"](raw, berlin), haproxy()

    assert there is not None
    assert here is not None
    assert 3600 == here.at - there.at


@pytest.mark.parametrize(
    ("extra", "version", "took"),
    [
        ('upstream="10.0.0.9:80" time=0.012', Version.CANARY, 12.0),
        ("upstream=10.0.1.3:80 request_time=1.5", Version.STABLE, 1500.0),
        (
            'upstream="10.0.1.3:80, 10.0.0.9:80" time=0.1',
            Version.CANARY,
            100.0,
        ),  # the last answered
        ('upstream="10.0.1.3:80 : 10.0.1.4:80" us=2500', Version.STABLE, 2.5),
        ("upstream=unix:/run/app.sock ms=3", Version.STABLE, 3.0),
        ('upstream="-" time=-', None, None),
    ],
)
def test_a_line_of_nginx(extra: str, version: Version | None, took: float | None) -> None:
    line = nginx(extra, 404)

    assert line is not None
    assert (AT, version, 404) == (line.at, line.version, line.status)
    assert pytest.approx(took) == line.milliseconds


@pytest.mark.parametrize("extra", ["", "time=0.1", "upstream=10.0.1.3:80, 10.0.0.9:80 time=0.1"])
def test_without_a_certain_version_a_line_of_nginx_counts_for_none(extra: str) -> None:
    """The agent, which a client writes, names the canary's address; it is not believed."""
    assert nginx(extra) is None


def test_a_name_of_both_versions_counts_for_none() -> None:
    both = Reading(Groups(("10.0.0.*",), ("10.*",)))

    assert nginx("upstream=10.0.0.9:80", reading=both) is None


def test_the_common_format_with_a_field_of_ones_own() -> None:
    raw = (
        b'::1 - ann [01/Mar/2026:12:00:07 +0000] "POST /checkout HTTP/1.1" 500 - release=blue ms=4'
    )
    reading = Reading(Groups(("blue",), ("green",)), field="release")

    assert Line(AT, Version.CANARY, 500, 4.0) == FORMATS["common"](raw, reading)


def test_a_json_line_with_other_names_and_an_inner_field() -> None:
    raw = (
        b'{"time": "2026-03-01T12:00:07Z", "status": "502", "request_time": "0.25",'
        b' "labels": {"track": "next"}}'
    )
    reading = Reading(Groups(("next",), ("now",)), field="labels.track")

    assert Line(AT, Version.CANARY, 502, 250.0) == FORMATS["json"](raw, reading)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\xff\xfe",
        b"[" * 5000,
        b'{"ts": "2026-03-01T12:00:07", "status": 200}',  # no zone
        b'{"ts": "2026-03-01T12:00:07Z", "status": 0}',
        HAPROXY.format(server="app/canary", status="200", ended="----").encode()[:90],
        b'1.1.1.1 - - [99/Xxx/2026:12:00:07 +0000] "GET / HTTP/1.1" 200 1 upstream=10.0.0.9:80',
        b'1.1.1.1 - - [01/Mar/2026:12:00:07 +0000] "GET / HTTP/1.1" 200',
    ],
)
def test_what_is_no_line_of_the_format_is_none(name: str, raw: bytes) -> None:
    assert FORMATS[name](raw, Reading()) is None
