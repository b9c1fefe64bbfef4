"""Chooses a service's monitor by the name in `[service.monitor]`, and the pace it dictates.

Called by `rollout.wiring`. The keys beside `source` belong to the monitor: its own settings check
them, and all mistakes are reported at once.
"""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from incidents import errors
from incidents.models import Version
from incidents.settings import Service, Table
from rollout.canary import Timing
from rollout.monitors import accesslog, datadog, haproxy, lines, newrelic, prometheus, replay
from rollout.monitors.errorlog import ErrorLog
from rollout.monitors.port import Monitor
from rollout.monitors.web import WebSettings

MONITORS: dict[str, type[Table]] = {
    "accesslog": accesslog.Settings,
    "haproxy": haproxy.Settings,
    "prometheus": prometheus.Settings,
    "datadog": datadog.Settings,
    "newrelic": newrelic.Settings,
    "replay": replay.Settings,
}
HOST_SILENCE = timedelta(seconds=3)  # a host's log has four beats a second
LEAST_SAMPLED = timedelta(seconds=4)  # HAProxy's counters are read at every tick, once a second


def monitor(service: Service, timing: Timing, host_log: Path | None) -> Monitor:
    """Return the service's monitor; `host_log` is the access log of its own `halon host`."""
    given = _settings(service)
    timing = pace(service, timing)
    if isinstance(given, haproxy.Settings):
        return haproxy.HAProxy(given, bucket=timing.bucket)
    if isinstance(given, prometheus.Settings):
        return prometheus.Prometheus(given)
    if isinstance(given, datadog.Settings):
        return datadog.Datadog(given)
    if isinstance(given, newrelic.Settings):
        return newrelic.NewRelic(given)
    if isinstance(given, replay.Settings):
        return replay.Replay(Path(given.path))
    if isinstance(given, accesslog.Settings):
        return _access_log(service, timing, host_log, given)
    raise TypeError(f"no monitor is made of {type(given).__name__}")


def pace(service: Service, timing: Timing) -> Timing:
    """Return a rollout's timing at the pace of the service's monitor.

    A metrics server has longer buckets than a log and knows of them later: at a log's pace its
    newest counts would always be called stale.
    """
    given = _settings(service)
    if isinstance(given, haproxy.Settings):
        return replace(timing, bucket=max(timing.bucket, LEAST_SAMPLED))
    if not isinstance(given, WebSettings):
        return timing
    step, delay = timedelta(seconds=given.step), timedelta(seconds=given.delay)
    gap = max(timing.gap, delay + 3 * step)
    return replace(timing, bucket=step, stale=timing.stale + delay, gap=gap)


def _settings(service: Service) -> Table:
    """Return the monitor's own settings; raises `errors.BadSettings` with every mistake."""
    table = service.monitor
    source = table.source if table is not None else "accesslog"
    if source not in MONITORS:
        raise errors.BadSettings(
            f"Service {service.name!r}: [service.monitor] names {source!r}; "
            f"known are: {', '.join(MONITORS)}."
        )
    try:
        return MONITORS[source].model_validate((table and table.model_extra) or {})
    except ValidationError as error:
        raise errors.BadSettings(
            f"Service {service.name!r}: [service.monitor] for {source!r} has mistakes:"
            + "".join(f"\n  {mistake}" for mistake in _mistakes(error))
        ) from error


def _mistakes(error: ValidationError) -> list[str]:
    found = []
    for item in error.errors(include_url=False, include_input=False):
        place = ".".join(str(part) for part in item["loc"]) or "together"
        found.append(f"{place}: {item['msg'].removeprefix('Value error, ')}")
    return found


def _access_log(
    service: Service, timing: Timing, host_log: Path | None, given: accesslog.Settings
) -> accesslog.AccessLog:
    path = Path(given.path) if given.path else host_log
    if path is None:
        raise errors.BadSettings(
            f"Service {service.name!r}: [service.monitor] needs the path of the access log."
        )
    groups = lines.Groups(given.canary, given.stable)
    zone = ZoneInfo(given.zone) if given.zone else None
    reading, parse = lines.Reading(groups, given.field, zone), lines.FORMATS[given.format]
    # A service seldom knows the balancer's name for it; its own log says which version it is.
    own = lines.Groups((*given.canary, Version.CANARY), (*given.stable, Version.STABLE))
    errors_of = partial(ErrorLog, bucket=timing.bucket, groups=own)
    return accesslog.AccessLog(
        path,
        bucket=timing.bucket,
        silence=timedelta(seconds=given.silence) if given.path else HOST_SILENCE,
        parse=lambda raw: parse(raw, reading),
        errors=errors_of(Path(given.errors)) if given.errors else None,
    )
