"""What is configured for the tree that a tracker lies in: options first, then halon.toml.

Called by cli/hotfix.py. The tracker's front matter may name a configured service, nothing else.
"""

from dataclasses import replace
from pathlib import Path

from agents import case as cases
from agents.builtin.clues import Front
from agents.hotfix.tree import WorkTree
from incidents import errors
from incidents.settings import Service, Settings, load_services
from workers import cases as of_stages


def commands(
    test: str | None, reproduce: str | None
) -> tuple[cases.Command | None, cases.Command | None]:
    """Return the commands of the options; raises ValueError for one that cannot be split."""
    return cases.command(test), cases.command(reproduce)


def case(
    here: WorkTree, front: Front, test: cases.Command | None, reproduce: cases.Command | None
) -> cases.Case:
    """Return the case of a tree; raises `errors.HalonError` where the service cannot be told."""
    service = service_of(here, front)
    made = (
        cases.Case(repository=here.root)
        if service is None
        else cases.of_service(service, here.root, logs=of_stages.log_files(service))
    )
    if test is not None:
        made = replace(made, test=test)
    if reproduce is not None:
        made = replace(made, reproduce=reproduce)
    return made


def service_of(here: WorkTree, front: Front) -> Service | None:
    """Return the configured service of a tree: the named one, else the one that lives there."""
    services = _services()
    if front.service is not None and services:
        named = [one for one in services if front.service in (one.name, *one.aliases)]
        if not named:
            known = ", ".join(one.name for one in services)
            raise errors.NotFound(
                f"halon.toml names no service {front.service!r} (it names: {known}); correct "
                "`service` at the head of the file."
            )
        return named[0]
    mine = [one for one in services if _lives(one, here)]
    if len(mine) > 1:
        names = ", ".join(one.name for one in mine)
        raise errors.NotFound(
            f"Several services live in this tree ({names}); write `service: NAME` between two "
            "lines `---` at the head of the file."
        )
    return mine[0] if mine else (services[0] if len(services) == 1 else None)


def inboxes() -> list[Path]:
    """Return the inboxes of halon.toml; raises where none is set."""
    found = [one.inbox for one in _services() if one.inbox is not None]
    if not found:
        raise errors.BadSettings("No service of halon.toml has an `inbox`; set one to watch it.")
    return found


def _services() -> tuple[Service, ...]:
    path = Settings().file
    return load_services(path) if path.exists() else ()


def _lives(service: Service, here: WorkTree) -> bool:
    """Tell whether a service's repository or inbox is this tree."""
    places = [Path(service.repository), *([service.inbox] if service.inbox else [])]
    return any(place.exists() and place.resolve() in (here.root, here.git_dir) for place in places)
