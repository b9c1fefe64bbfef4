"""The case that an engine works on: the repository, what was seen, and how the failure is replayed.

Made by workers from the incident and its service, and by the shell verbs from their arguments.
It holds facts only; nothing in it is trusted, and nothing in it is ever part of a shell string.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from incidents import models, reports, settings


@dataclass(frozen=True)
class Command:
    """An argv for the sandbox, and the stand-ins that are started there before it."""

    argv: tuple[str, ...]
    setup: tuple[tuple[str, ...], ...] = ()

    def __str__(self) -> str:
        return shlex.join(self.argv)


@dataclass(frozen=True)
class Installation:
    """How a revision's dependencies are installed; `locks` are the patterns of what decides them.

    `network` and `env` hold while installing only, never in a proof.
    """

    command: Command
    locks: tuple[str, ...] = ()
    network: bool = False
    env: tuple[tuple[str, str], ...] = ()
    seconds: float = 600.0


@dataclass(frozen=True)
class Dependency:
    """A service that this one calls; `probe` is the address of a read-only check."""

    name: str
    probe: str | None = None


@dataclass(frozen=True)
class Tried:
    """A remedy of this incident that was refused or taken back; it is never offered again."""

    remedy: reports.RemedyKind
    digest: str
    outcome: str
    culprit: str | None = None


@dataclass(frozen=True)
class Attempt:
    """Something that a stage of this incident did, and how it ended; read by production-fixer.

    `keys` are those of the experiments that it finished: none of them is made again.
    """

    what: str
    outcome: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Environment:
    """The variables that a revision was deployed with."""

    revision: str
    at: datetime
    variables: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Capture:
    """What a read-only hook said of the live service; `problem` where it said nothing usable."""

    kind: str  # threads, heap, descriptors, sockets, pools
    argv: tuple[str, ...]
    at: datetime
    output: str
    problem: str = ""


@dataclass(frozen=True)
class History:
    """What the review is written from: the timeline, the reports so far and the rollout's facts."""

    incident: models.Incident | None = None
    timeline: tuple[models.TimelineEntry, ...] = ()
    tests: reports.TestReport | None = None
    plan: reports.DeploymentPlan | None = None
    rollout: models.Rollout | None = None
    stage_times: tuple[reports.StageTime, ...] = ()
    costs: tuple[models.RoleCost, ...] = ()


@dataclass(frozen=True)
class Case:
    """One incident as an engine sees it; an empty field means that nobody could say."""

    repository: Path
    revision: str = "HEAD"
    good: str | None = None
    title: str = ""
    incident: str | None = None
    severity: models.Severity = models.Severity.P1
    onset: datetime | None = None
    logs: tuple[Path, ...] = ()
    traces: tuple[str, ...] = ()
    test: Command | None = None
    reproduce: Command | None = None
    prepare: Installation | None = None
    recorded: str | None = None  # a JSONL file of recorded requests inside the repository
    # Files that stand over the revision: fixes of ours that wait uncommitted in the working tree.
    overlay: tuple[tuple[str, bytes], ...] = ()
    read_only: tuple[Path, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    changes: tuple[models.Change, ...] = ()
    record_complete: bool = (
        False  # whether every change of the service appears in `changes` or tags
    )
    tags: str | None = None  # the pattern of the tags that mark deploys
    depends_on: tuple[Dependency, ...] = ()
    protected: tuple[str, ...] = ()
    model: bool = True  # whether this service's text may go to a model
    owners: tuple[str, ...] = ()
    value_per_request: str | None = None
    tried: tuple[Tried, ...] = ()
    known: tuple[models.KnownIncident, ...] = ()
    diagnosis: reports.Diagnosis | None = None
    patch: reports.Patch | None = None
    history: History = field(default_factory=History)
    load: Command | None = None  # the work under which good and bad are compared
    attempts: tuple[Attempt, ...] = ()
    environments: tuple[Environment, ...] = ()  # per deploy, oldest first
    captures: tuple[Capture, ...] = ()
    mitigations: tuple[tuple[str, str], ...] = ()  # name and risk
    replaying: reports.Replaying | None = None  # how an escalation showed the failure


def command(text: str | None, setup: Sequence[str] = ()) -> Command | None:
    """Return a command split without a shell, or None for no command; raises ValueError."""
    argv = tuple(shlex.split(text)) if text else ()
    return Command(argv, tuple(tuple(shlex.split(line)) for line in setup)) if argv else None


def _installation(table: settings.Prepare | None) -> Installation | None:
    line = command(table.run) if table else None
    if table is None or line is None:
        return None
    env = tuple(sorted(table.env.items()))
    return Installation(line, table.locks, table.network, env, table.seconds)


def of_service(service: settings.Service, repository: Path, **more: object) -> Case:
    """Return the case of a configured service; `more` are further fields of `Case`."""
    replay = service.reproduce
    fields: dict[str, object] = {
        "repository": repository,
        "revision": service.branch,
        "test": command(service.test),
        "reproduce": command(replay.run, replay.setup) if replay else None,
        "prepare": _installation(service.prepare),
        "load": command(service.load.run, service.load.setup) if service.load else None,
        "recorded": service.recorded,
        "read_only": service.sandbox.read_only,
        "env": tuple(sorted(service.sandbox.env.items())),
        "record_complete": service.changes.complete,
        "tags": service.changes.git_tags,
        "depends_on": tuple(Dependency(item.name, item.probe) for item in service.depends_on),
        "protected": service.protected,
        "model": service.model,
        "mitigations": tuple((name, one.risk) for name, one in service.mitigations.items()),
        "owners": service.owners,
        "value_per_request": service.value_per_request,
    }
    return Case(**(fields | more))  # type: ignore[arg-type]
