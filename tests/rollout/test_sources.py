"""The names in [service.monitor] lead to monitors, their keys are checked, and the pace fits."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from incidents import errors
from incidents.models import Bucket, Version
from incidents.settings import Service
from rollout import gate, sources
from rollout.canary import Timing
from rollout.monitors import prometheus, web
from rollout.monitors.accesslog import AccessLog
from rollout.monitors.datadog import Datadog
from rollout.monitors.haproxy import HAProxy
from rollout.monitors.newrelic import NewRelic
from rollout.monitors.port import Monitor
from rollout.monitors.prometheus import Prometheus

TIMING = Timing.scaled(1.0)
QUERY = 'x{v="$group"}'
TABLES: dict[str, tuple[type[Monitor], dict[str, Any]]] = {
    "accesslog": (AccessLog, {"path": "/var/log/x", "format": "nginx", "canary": ["a", "b"]}),
    "haproxy": (HAProxy, {"socket": "/s", "canary": "app/new", "stable": ["app/1", "app/2"]}),
    "prometheus": (
        Prometheus,
        {"address": "http://p", "requests": QUERY, "errors": 'y{v="$group"}'},
    ),
    "datadog": (
        Datadog,
        {"requests": "sum:x{v:$group}", "errors": "sum:y{v:$group}", "api_key_file": "/k",
         "application_key_file": "/k"},
    ),
    "newrelic": (NewRelic, {"account": 1, "where": "a = 'b'", "api_key_file": "/k"}),
}  # fmt: skip


def service(source: str, **keys: Any) -> Service:
    monitor = {"source": source, **keys}
    return Service.model_validate({"name": "checkout", "repository": "/srv/x", "monitor": monitor})


@pytest.mark.parametrize("source", TABLES)
def test_each_source_has_its_monitor(source: str) -> None:
    kind, keys = TABLES[source]
    made = sources.monitor(service(source, **keys), TIMING, None)

    assert isinstance(made, kind)
    assert not made.fingerprints
    made.close()


def test_every_source_is_tried_here() -> None:
    assert {*TABLES, "replay"} == set(sources.MONITORS)


def test_an_error_log_tells_errors_apart(tmp_path: Path) -> None:
    given = service("accesslog", errors=str(tmp_path / "error.log"))

    assert sources.monitor(given, TIMING, tmp_path / "access.log").fingerprints


def test_a_service_behind_a_balancer_names_its_version_itself(tmp_path: Path) -> None:
    access, told = tmp_path / "access.log", tmp_path / "error.log"
    first, last = (
        f"x [01/Mar/2026:12:00:{second:02}.000] in app/new 0/0/0/0/1 500 9 - - ---- 1/1/1/1/0 0/0\n"
        for second in (0, 9)
    )
    access.write_text(first + last)
    told.write_text('{"ts": "2026-03-01T12:00:01Z", "version": "canary", "message": "broken"}\n')
    keys = {"path": str(access), "format": "haproxy", "zone": "UTC", "errors": str(told)}
    given = service("accesslog", canary="app/new", stable="app/old", **keys)
    made = sources.monitor(given, TIMING, None)
    start = datetime(2026, 3, 1, 12, tzinfo=UTC)
    (bucket,) = made.buckets(Version.CANARY, start, start + TIMING.bucket)
    made.close()

    assert (1, 1, (("broken", 1),)) == (bucket.requests, bucket.errors, bucket.fingerprints)


@pytest.mark.parametrize(
    ("source", "keys", "said"),
    [
        ("accesslog", {"path": "/x", "format": "iis"}, "format: "),
        ("accesslog", {"path": "/x", "zone": "Mars/Olympus"}, "zone: is no time zone"),
        ("accesslog", {"path": "/x", "canary": "a", "stable": "a"}, "'a' names both versions"),
        ("accesslog", {"path": "/x", "format": "haproxy", "field": "y"}, "'field' has no meaning"),
        ("accesslog", {"format": "nginx"}, "needs the path of the access log"),
        ("accesslog", {"path": "/x", "fomat": "json"}, "fomat: "),
        ("haproxy", {"socket": "/s", "canary": "new", "stable": "app/old"}, "canary"),
        ("datadog", {}, "requests: Field required\n  errors: Field required\n  api_key_file"),
        ("replay", {"path": ""}, "path: "),
    ],
)
def test_all_mistakes_of_a_table_are_named(source: str, keys: dict[str, Any], said: str) -> None:
    with pytest.raises(errors.BadSettings) as caught:
        sources.monitor(service(source, **keys), TIMING, None)
    assert said in caught.value.message


def test_a_log_keeps_the_pace_and_a_server_sets_its_own() -> None:
    log = sources.pace(service("accesslog", path="/x"), TIMING)
    server = sources.pace(service("prometheus", **TABLES["prometheus"][1]), TIMING)

    assert TIMING == log
    assert (timedelta(seconds=60), timedelta(seconds=40)) == (server.bucket, server.stale)
    assert timedelta(seconds=210) == server.gap  # as long as its delay and three buckets


def test_counters_are_never_read_faster_than_the_ticks_come() -> None:
    quick = Timing.scaled(60.0)

    assert timedelta(seconds=4) == (
        sources.pace(service("haproxy", **TABLES["haproxy"][1]), quick).bucket
    )


def test_at_its_pace_a_servers_newest_counts_are_never_called_stale() -> None:
    """At a log's pace they would be most of the time: they are a minute long and half one late."""
    given = service("prometheus", **TABLES["prometheus"][1])
    timing = sources.pace(given, TIMING)
    keys = prometheus.Settings.model_validate(TABLES["prometheus"][1])
    since = datetime(2026, 3, 1, 12, 0, 17, tzinfo=UTC)
    reasons = set()
    for second in range(240, 480):
        now = since + timedelta(seconds=second)
        known = web.grid(since, now - timing.lag, keys)
        buckets = [Bucket(one, at, keys.step, 400, 0) for at in known for one in Version]
        report = gate.judge(
            buckets,
            gate.Gates(max_latency_ratio=None, new_errors=False),
            100,
            gate.Look(now - timing.lag, since, 50, timing.stale + 2 * timing.bucket),
        )
        reasons.add(report.reason)

    assert {gate.Reason.PASSED, gate.Reason.LOW_TRAFFIC} >= reasons
    assert gate.Reason.PASSED in reasons
