"""What `halon doctor` looks at of every program that halon.toml names: is it there, may it be run.

Called by cli/services.py. Nothing is started; in the sandbox or on the host is told by the key.
"""

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from agents.sandboxes import commands
from cli.finding import Finding, fine, note, wrong
from incidents.settings import Service
from rollout import steering

# The keys of [service.deploy] that are commands; others are lists of names.
DEPLOY_KEYS = frozenset({*steering.SECONDS, "kubectl", "reload", "switch", "test"})


def look(service: Service) -> Iterator[Finding]:
    """Look at the commands of the sandbox, then at those that run on the host."""
    yield from sandboxed(service)
    for key, argv, folder in hooks(service):
        yield _hook(service, key, argv, folder)


def sandboxed(service: Service) -> Iterator[Finding]:
    """Look whether the programs of test, reproduce and prepare are there."""
    replay = service.reproduce
    prepare = service.prepare
    lines = [("test", service.test), ("prepare", prepare.run if prepare else None)]
    if replay is not None:
        lines += [("reproduce", text) for text in (replay.run, *replay.setup)]
    for name, text in lines:
        if text is not None:
            yield _program(service, name, text)
    if prepare is not None:
        yield _reach(service, network=prepare.network)
    if service.test is None and replay is None:
        mend = f"Set `test` or `reproduce` of {service.name}: nothing is CONFIRMED without."
        yield note(f"{service.name}: test", "none", mend)


def _reach(service: Service, *, network: bool) -> Finding:
    what = f"{service.name}: prepare's network"
    if network:
        said = "it has the host's while it installs, with all that this machine can reach"
        return note(what, said, "Keep it only where packages come from an index.")
    mend = f"Set network = true in `prepare` of {service.name} if packages come from an index."
    return note(what, "none: it installs from files of this machine", mend)


def _program(service: Service, name: str, text: str) -> Finding:
    what = f"{service.name}: {name} `{text}`"
    words = [word for word in shlex.split(text) if "=" not in word.partition("/")[0]]
    if not words:
        return wrong(what, "names no program", f"Correct `{name}` in halon.toml.")
    program, tree = words[0], Path(service.repository)
    if "/" in program and not Path(program).is_absolute() and not tree.is_dir():
        return note(what, "lies in the repository, which is elsewhere; it was not looked for")
    found = commands.find(program, tree, service.sandbox.read_only)
    if found is None:
        mend = f"Install {program!r} on this machine, or correct `{name}` in halon.toml."
        return wrong(what, f"there is no program {program!r}", mend)
    return fine(what, str(found))


def hooks(service: Service) -> Iterator[tuple[str, tuple[str, ...], Path]]:
    """Yield each hook with its key and the folder it runs in."""
    for name, mitigation in service.mitigations.items():
        steps = {"run": mitigation.run, "undo": mitigation.undo, "check": mitigation.check}
        for step, argv in steps.items():
            if argv is not None:
                yield f"mitigations.{name}.{step}", argv, Path.cwd()
    for kind, argv in service.captures.hooks().items():
        yield f"captures.{kind}", argv, Path.cwd()
    given = (service.deploy.model_extra or {}) if service.deploy else {}
    for name, value in given.items():
        if name in DEPLOY_KEYS and isinstance(value, list | tuple) and value:
            folder = Path(str(given.get("cwd", "/")))
            yield f"deploy.{name}", tuple(str(word) for word in value), folder


def _hook(service: Service, key: str, argv: tuple[str, ...], folder: Path) -> Finding:
    what = f"{service.name}: {key} `{shlex.join(argv)}`"
    program = str(folder / argv[0]) if "/" in argv[0] else argv[0]
    found = shutil.which(program)
    if found is not None:
        return fine(what, found)
    if "/" in program and Path(program).is_file():
        mend = f"Run `chmod +x {shlex.quote(program)}`, for the user that Halon runs as."
        return wrong(what, f"{program!r} is not executable for this user", mend)
    mend = f"Install {argv[0]!r}, or correct `{key}` in halon.toml."
    return wrong(what, f"there is no program {program!r}", mend)
