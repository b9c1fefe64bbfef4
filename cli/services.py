"""What `halon doctor` looks at for each service of halon.toml: history, logs, commands, production.

Each check returns findings and changes nothing. Called by cli/doctor.py only.
"""

import contextlib
import glob
import json
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from agents import case, evidence, git, gitcalls
from agents.builtin import environment
from cli import inboxes, programs
from cli.finding import Finding, fine, note, shown, wrong
from incidents import errors
from incidents.models import RunMode, Severity
from incidents.remotes import Credentials
from incidents.settings import People, Service, Settings
from rollout import probe, sources, wiring
from rollout.canary import Timing
from workers import cases

REMOTE_SECONDS = 15.0


def look(service: Service, settings: Settings) -> Iterator[Finding]:
    """Look at everything that a service declares, as the workers with these settings would."""
    yield repository(service, settings.credentials)
    yield from logs(service)
    yield from programs.look(service)
    yield from inboxes.look(service)
    yield record(service)
    yield from dependencies(service)
    yield from production(service, settings.folder.absolute())
    yield from people(service)


def repository(service: Service, credentials: Credentials) -> Finding:
    """Look whether the history can be read, with what the workers hold, and has the branch."""
    what = f"{service.name}: repository {shown(service.repository)}"
    source = service.repository
    try:
        if Path(source).exists():
            with git.Repository(Path(source)) as found:
                found.resolve(f"refs/heads/{service.branch}")
                shallow = found.is_shallow
        else:
            _ask_remote(service, credentials)
            shallow = False
    except git.UnknownRevision:
        mend = f"Make the branch, or set `branch` of {service.name} in halon.toml."
        return wrong(what, f"has no branch {service.branch!r}", mend)
    except errors.HalonError as error:
        return wrong(what, error.message.replace(source, shown(source)), cases.mend(source))
    if shallow:
        mend = f"Run `git -C {source} fetch --unshallow`: an older cause cannot be seen."
        return note(what, f"branch {service.branch}, but shallow", mend)
    return fine(what, f"branch {service.branch}")


def _ask_remote(service: Service, credentials: Credentials) -> None:
    """Raise unless the address, asked as the workers ask it, has the branch."""
    if service.repository.startswith("-") or "::" in service.repository:
        raise errors.PermanentFailure("This is not an address that a repository is fetched from.")
    with tempfile.TemporaryDirectory(prefix="halon-doctor-") as place:
        gitcalls.call(["init", "--quiet", "--bare"], git_dir=Path(place))
        branch = f"refs/heads/{service.branch}"
        words = ["ls-remote", "--", service.repository, branch]
        opens = credentials.environment(service.repository)
        answer = gitcalls.call(words, git_dir=Path(place), env=opens, seconds=REMOTE_SECONDS)
    if not answer.text:
        raise git.UnknownRevision(f"There is no branch {service.branch!r}.")


def logs(service: Service) -> Iterator[Finding]:
    """Look whether each pattern matches files that can be read."""
    if not service.logs:
        mend = f"Set `logs` of {service.name}: without them triage and diagnosis see little."
        yield note(f"{service.name}: logs", "none", mend)
    for pattern in service.logs:
        what = f"{service.name}: logs {pattern}"
        found = [name for name in glob.glob(pattern, recursive=True) if not Path(name).is_dir()]  # noqa: PTH207  # the patterns are absolute
        closed = [name for name in found if not os.access(name, os.R_OK)]
        if closed:
            mend = "Let the user of the workers read them, for example by the group `adm`."
            yield wrong(what, f"{len(closed)} of {len(found)} cannot be read: {closed[0]}", mend)
        elif not found:
            yield wrong(what, "matches nothing", "Correct the pattern, or start the service once.")
        else:
            yield fine(what, f"{len(found)} {'file' if len(found) == 1 else 'files'}")


def record(service: Service) -> Finding:
    """Look for the record of what was deployed when."""
    what = f"{service.name}: changes"
    path = service.changes.record
    if path is None:
        if service.changes.git_tags:
            return fine(what, f"tags {service.changes.git_tags}")
        mend = "Set `changes`, or record them with `halon changed`: the onset is compared with it."
        return note(what, "no source", mend)
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError as error:
        mend = "Let the deployer write it, and this user read it."
        return wrong(what, f"{path} cannot be read ({error.strerror})", mend)
    bad = sum(not _is_change(line) for line in lines)
    if bad:
        mend = 'Write one JSON object per line with "revision" and "at".'
        return wrong(what, f"{bad} of {len(lines)} lines of {path} cannot be read", mend)
    return fine(what, f"{len(lines)} in {path}")


def _is_change(line: str) -> bool:
    try:
        row = json.loads(line)
    except ValueError:
        return False
    return isinstance(row, dict) and {"revision", "at"} <= set(row)


def dependencies(service: Service) -> Iterator[Finding]:
    """Ask the probe of each dependency once."""
    declared = [case.Dependency(one.name, one.probe) for one in service.depends_on]
    for probed in environment.probe(declared, evidence.Ledger()):
        what = f"{service.name}: depends on {probed.dependency.name}"
        if probed.alive is False:
            yield wrong(what, probed.words, "Start it, or correct its probe in halon.toml.")
        elif probed.alive is None:
            mend = "Declare a `probe`: without one it is never shown to be the cause."
            yield note(what, probed.words, mend)
        else:
            yield fine(what, probed.words)


def production(service: Service, folder: Path) -> Iterator[Finding]:
    """Build deployer, monitor and delivery as the controller does, and look at production."""
    if service.deploy is None:
        mend = f"Add [service.deploy] to {service.name}, or deploy the tested patch your way."
        yield note(f"{service.name}: deploy", "none: Halon stops at the tested patch", mend)
        return
    what = f"{service.name}: deploy by {service.deploy.driver}"
    if why := wiring.EXPERIMENTAL.get(service.deploy.driver):
        mend = f"Try it on a service that nobody misses; read docs/{service.deploy.driver}.md."
        yield note(f"{what}, which is young", f"experimental: {why}", mend)
    try:
        seen = wiring.deployer(service, folder).observe()
        if seen.stable_healthy:
            yield fine(what, f"serves {(seen.stable_revision or 'nothing')[:12]}")
        else:
            yield wrong(what, seen.trouble or "no replica is healthy", "Start the service.")
    except errors.TemporaryFailure as error:
        mend = "Read the sentence and mend what it names."
        if service.deploy.driver == "processes":
            mend = f"Start it: `halon host {wiring.host_folder(service, folder)}`."
        yield wrong(what, error.message, mend)
    except errors.HalonError as error:
        yield wrong(what, error.message, "Correct [service.deploy] in halon.toml.")
    yield from _monitor(service, folder)
    try:
        wiring.delivery(service, folder)
        yield fine(
            f"{service.name}: delivery", service.delivery.via if service.delivery else "local"
        )
    except errors.HalonError as error:
        mend = "Correct [service.delivery] in halon.toml."
        yield wrong(f"{service.name}: delivery", error.message, mend)


def _monitor(service: Service, folder: Path) -> Iterator[Finding]:
    """Ask the monitor for the last minutes, as a rollout would."""
    what = f"{service.name}: monitor"
    try:
        timing = sources.pace(service, Timing.scaled(1.0))
        monitor = wiring.monitor(service, folder, timing)
    except errors.HalonError as error:
        yield wrong(what, error.message, "Correct [service.monitor] in halon.toml.")
        return
    with contextlib.closing(monitor):
        troubles = probe.problems(monitor, datetime.now(UTC) - timing.lag, probe.back(timing))
    source = service.monitor.source if service.monitor else "log"
    for trouble in troubles:
        mend = "Without counts a canary is taken back: look at [service.monitor] and at its source."
        quiet = trouble.startswith((probe.NOTHING, probe.NOBODY))  # no traffic yet
        yield (note if quiet else wrong)(f"{what} {source}", trouble, mend)
    if not troubles:
        yield fine(what, f"{source}: counts stable")


def people(service: Service) -> Iterator[Finding]:
    """Say who may approve; an empty list is nobody but the operator of the war room."""
    if all(service.mode(severity) is RunMode.READ_ONLY for severity in Severity):
        yield fine(f"{service.name}: approvers", "none needed: its run mode is read_only")
        return
    what, named = f"{service.name}: approvers", _count(service.approvers)
    if (most := max(service.quorum.values(), default=1)) > 1:
        yield from _quorum(what, service, most, named)
        return
    if named:
        yield fine(what, f"{named}")
        return
    yield note(what, "nobody but the operator of the war room, as long as no chat is configured")


def _quorum(what: str, service: Service, most: int, named: int) -> Iterator[Finding]:
    """Say whether the list is long enough; which accounts are one person is not looked at."""
    if named < most:
        yield wrong(
            what,
            f"a quorum asks for {most}, and the list names {named}: nothing could be approved",
            "Add approvers to the service in halon.toml, or ask fewer of them; "
            "`/incident break-glass` is the way past it.",
        )
        return
    asked = ", ".join(f"{count} for {at.value}" for at, count in sorted(service.quorum.items()))
    yield fine(what, f"{named}; quorum: {asked}")


def _count(people: People) -> int:
    return sum(len(ids) for ids in people.model_dump().values())
