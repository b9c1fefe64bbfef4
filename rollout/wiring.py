"""Chooses deployer, monitor and delivery of a service by the names in `halon.toml`.

Called by the entry points only. A name that is not known ends in one sentence with those that are.
"""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from incidents import errors
from incidents.settings import Service
from rollout.canary import Timing
from rollout.delivery.local import Local
from rollout.delivery.port import Delivery
from rollout.deployers.port import Deployer
from rollout.deployers.processes import Processes
from rollout.monitors.accesslog import AccessLog
from rollout.monitors.port import Monitor

DEPLOYERS = ("processes",)
MONITORS = ("accesslog",)
DELIVERIES = ("local",)
HOST_SILENCE = timedelta(seconds=3)  # a host's log has four beats a second
LOG_SILENCE = timedelta(minutes=2)


def _extra(
    service: Service, table: str, given: Mapping[str, Any] | None, known: frozenset[str]
) -> dict[str, str]:
    """Return a driver's own keys as text; raises `errors.BadSettings` for keys it does not know."""
    extra = dict(given or {})
    if unknown := sorted(set(extra) - known):
        raise errors.BadSettings(
            f"Service {service.name!r}: [service.{table}] does not know {', '.join(unknown)}; "
            f"known are {', '.join(sorted(known)) or 'none'}."
        )
    if wrong := sorted(key for key, value in extra.items() if not isinstance(value, str)):
        raise errors.BadSettings(
            f"Service {service.name!r}: {', '.join(wrong)} of [service.{table}] must be text."
        )
    return extra


def _unknown(service: Service, table: str, name: str, known: tuple[str, ...]) -> errors.BadSettings:
    return errors.BadSettings(
        f"Service {service.name!r}: [service.{table}] names {name!r}; "
        f"known are: {', '.join(known)}."
    )


def host_folder(service: Service, folder: Path) -> Path:
    """Return the folder of the service's `halon host`: as set, else below Halon's own folder."""
    extra = (service.deploy.model_extra if service.deploy else None) or {}
    given = extra.get("folder")
    return Path(given) if isinstance(given, str) else folder / "hosts" / service.name


def deployer(service: Service, folder: Path) -> Deployer:
    """Return the service's deployer; `folder` is Halon's data folder."""
    if service.deploy is None:
        raise errors.BadSettings(
            f"Service {service.name!r} has no [service.deploy]: it cannot be rolled out."
        )
    if service.deploy.driver == "processes":
        _extra(service, "deploy", service.deploy.model_extra, frozenset({"folder"}))
        return Processes(host_folder(service, folder))
    raise _unknown(service, "deploy", service.deploy.driver, DEPLOYERS)


def monitor(service: Service, folder: Path, timing: Timing) -> Monitor:
    """Return the service's monitor; without a table the log of its own `halon host` is read."""
    table = service.monitor
    source = table.source if table is not None else "accesslog"
    if source != "accesslog":
        raise _unknown(service, "monitor", source, MONITORS)
    extra = _extra(service, "monitor", table.model_extra if table else None, frozenset({"path"}))
    if "path" in extra:
        return AccessLog(Path(extra["path"]), bucket=timing.bucket, silence=LOG_SILENCE)
    hosted = service.deploy is not None and service.deploy.driver == "processes"
    if not hosted:
        raise errors.BadSettings(
            f"Service {service.name!r}: [service.monitor] needs the path of the access log."
        )
    path = host_folder(service, folder) / "access.log"
    return AccessLog(path, bucket=timing.bucket, silence=HOST_SILENCE)


def delivery(service: Service, folder: Path) -> Delivery:
    """Return how the service's fixes reach its release branch."""
    table = service.delivery
    via = table.via if table is not None else "local"
    if via != "local":
        raise _unknown(service, "delivery", via, DELIVERIES)
    extra = _extra(service, "delivery", table.model_extra if table else None, frozenset({"remote"}))
    return Local(extra.get("remote", service.repository), folder / "delivery" / service.name)
