"""Chooses deployer, monitor and delivery of a service by the names in `halon.toml`.

Called by the entry points only. A name that is not known ends in one sentence with those that are.
"""

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from incidents import errors
from incidents.remotes import Credentials
from incidents.settings import Service
from rollout import sources, webhooks
from rollout.canary import Timing
from rollout.delivery.local import Local
from rollout.delivery.port import Delivery
from rollout.deployers import argo, blue_green, command, flagd, flagger, haproxy, nginx
from rollout.deployers.port import Deployer
from rollout.deployers.processes import Processes
from rollout.monitors.port import Monitor

log = logging.getLogger(__name__)
DEPLOYERS = ("processes", "command", "haproxy", "blue_green", "flagd", "nginx", "argo", "flagger")
EXPERIMENTAL = dict.fromkeys(("argo", "flagger"), "it has never run on a real cluster")
DELIVERIES = ("local",)
Model = TypeVar("Model", bound=BaseModel)  # the newer syntax needs Python 3.12


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


def _settings(
    service: Service, table: str, given: Mapping[str, Any] | None, model: type[Model]
) -> Model:
    """Return a driver's own keys; raises `errors.BadSettings` with every mistake at once."""
    try:
        return model.model_validate(dict(given or {}))
    except ValidationError as error:
        mistakes = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'together'}: {item['msg']}"
            for item in error.errors()
        )
        raise errors.BadSettings(
            f"Service {service.name!r}: [service.{table}] has mistakes: {mistakes}."
        ) from error


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
    return _steered(service, service.deploy.driver, folder / "deployers" / service.name)


def _steered(service: Service, driver: str, folder: Path) -> Deployer:
    """Return a deployer that steers by the team's hooks; `folder` is where it keeps its record."""
    name, given = service.name, service.deploy.model_extra if service.deploy else None
    if driver == "command":
        return command.Command(name, _settings(service, "deploy", given, command.Settings), folder)
    if driver == "haproxy":
        return haproxy.HAProxy(name, _settings(service, "deploy", given, haproxy.Settings), folder)
    if driver == "blue_green":
        both = _settings(service, "deploy", given, blue_green.Settings)
        return blue_green.BlueGreen(name, both, folder)
    if driver == "flagd":
        return flagd.Flagd(name, _settings(service, "deploy", given, flagd.Settings), folder)
    if driver == "nginx":
        return nginx.Nginx(name, _settings(service, "deploy", given, nginx.Settings), folder)
    if driver == "argo":
        return argo.Argo(name, _settings(service, "deploy", given, argo.Settings), folder)
    if driver == "flagger":
        return flagger.Flagger(name, _settings(service, "deploy", given, flagger.Settings), folder)
    raise _unknown(service, "deploy", driver, DEPLOYERS)


@contextlib.contextmanager
def webhooks_hosted(services: Iterable[Service], folder: Path) -> Iterator[None]:
    """Answer the webhooks of services whose deployer asks, while inside; the controller's alone."""
    addresses = set()
    for service in services:
        if service.deploy is None or service.deploy.driver != "flagger":
            continue
        try:
            given = _settings(service, "deploy", service.deploy.model_extra, flagger.Settings)
        except errors.BadSettings as error:  # its own rollouts say so; the others go on
            log.warning("%s", error.message)
            continue
        flagger.make_ready(service.name, given, folder / "deployers" / service.name)
        addresses.add(given.listen)
    with contextlib.ExitStack() as hosting:
        for address in sorted(addresses):
            hosting.enter_context(webhooks.hosted(address, folder / "deployers"))
        yield


def monitor(service: Service, folder: Path, timing: Timing) -> Monitor:
    """Return the service's monitor; without a table the log of its own `halon host` is read."""
    hosted = service.deploy is not None and service.deploy.driver == "processes"
    log = host_folder(service, folder) / "access.log" if hosted else None
    return sources.monitor(service, timing, log)


def delivery(service: Service, folder: Path, credentials: Credentials | None = None) -> Delivery:
    """Return how the service's fixes reach its release branch; `credentials` open its remote."""
    table = service.delivery
    via = table.via if table is not None else "local"
    if via != "local":
        raise _unknown(service, "delivery", via, DELIVERIES)
    extra = _extra(service, "delivery", table.model_extra if table else None, frozenset({"remote"}))
    remote = extra.get("remote", service.repository)
    return Local(remote, folder / "delivery" / service.name, credentials)
