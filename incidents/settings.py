"""Settings that every process shares, and the services of `halon.toml`.

Read once at an entry point; below it functions take plain values. Secrets that belong to one
process live in that process's own class (`bot/settings.py`, `workers/settings.py`). All mistakes
of a file are reported at once, each with its mend.
"""

import os
import re
import shlex
import tomllib
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from incidents import errors, mistakes
from incidents.models import RunMode, Severity
from incidents.remotes import Credentials


def _splits(line: str) -> str:
    try:
        words = shlex.split(line)
    except ValueError as error:
        said = str(error)
        raise ValueError(f"cannot be split into words ({said.lower()}): {line!r}") from None
    if not words:
        raise ValueError("is empty; write a command, or leave the key out")
    return line


# A line that is split as a shell would, and run without one.
CommandLine = Annotated[str, AfterValidator(_splits)]


def _finds(pattern: str) -> str:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"is no pattern ({error}): {pattern!r}") from None
    if compiled.search("") is not None:
        raise ValueError(f"finds nothing, everywhere; it must name at least one sign: {pattern!r}")
    return pattern


# A regular expression of Python for data that only this team knows to be personal.
Pattern = Annotated[str, AfterValidator(_finds)]


class Table(BaseModel):
    """Base of every table of halon.toml: unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Dependency(Table):
    """A service that this one calls, with a read-only probe that shows whether it lives."""

    name: str
    probe: str | None = None


class Reproduce(Table):
    """The command that replays a failure in the sandbox, and the stand-ins it needs there."""

    run: CommandLine
    setup: tuple[CommandLine, ...] = ()


class Prepare(Table):
    """How the dependencies of a revision are installed, before its code runs and out of its sight.

    The command sees the files named by `locks` alone, and runs once for each content of theirs.
    """

    run: CommandLine
    network: bool = False  # only while installing; proofs never have one
    env: dict[str, str] = Field(default_factory=dict)  # for installing alone, such as an index
    locks: tuple[Annotated[str, Field(min_length=1)], ...] = ()  # empty: the customary names
    seconds: Annotated[float, Field(gt=0, le=3600)] = 600.0


class SandboxTable(Table):
    """What the service's code needs inside the sandbox: read-only paths and environment."""

    read_only: tuple[Path, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)


class Changes(Table):
    """Where the record of deploys comes from."""

    git_tags: str | None = None
    record: Path | None = None  # JSON lines {"revision", "at"} that the deployer writes
    complete: bool = True  # whether every change of this service appears in that record


class People(Table):
    """User ids per platform; empty means nobody."""

    web: tuple[str, ...] = ()
    slack: tuple[str, ...] = ()
    telegram: tuple[str, ...] = ()
    shell: tuple[str, ...] = ()


Argv = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]


class Mitigation(Table):
    """A named way to stop the bleeding: argv, its risk, how to undo it, and what shows it works.

    `seconds` is how long each of the three commands may take. Exit 0 is success.
    """

    run: Argv
    risk: Annotated[str, Field(min_length=1)]
    undo: Argv | None = None
    check: Argv | None = None
    seconds: Annotated[float, Field(gt=0, le=300)] = 30.0


class Captures(Table):
    """Read-only hooks that say how the live service is; argv lists, run by the worker's host.

    Text is kept as evidence; JSON with "used" and "limit" is read as the use of something scarce.
    """

    threads: Argv | None = None
    heap: Argv | None = None
    descriptors: Argv | None = None
    sockets: Argv | None = None
    pools: Argv | None = None
    seconds: Annotated[float, Field(gt=0, le=60)] = 10.0

    def hooks(self) -> dict[str, tuple[str, ...]]:
        """Return the hooks that are configured, by kind."""
        kinds = ("threads", "heap", "descriptors", "sockets", "pools")
        return {kind: getattr(self, kind) for kind in kinds if getattr(self, kind) is not None}


class Deploy(Table):
    """How a revision reaches production; keys beside `driver` belong to the driver."""

    model_config = ConfigDict(frozen=True, extra="allow")
    driver: str = "processes"


class MonitorTable(Table):
    """Where requests and errors are counted; keys beside `source` belong to the source."""

    model_config = ConfigDict(frozen=True, extra="allow")
    source: str = "accesslog"


class ReplayTable(Table):
    """Read-only requests that may be asked of both versions where traffic is thin."""

    model_config = ConfigDict(frozen=True, extra="allow")


class DeliveryTable(Table):
    """How the fix reaches the release branch."""

    model_config = ConfigDict(frozen=True, extra="allow")
    via: str = "local"


class Service(Table):
    """One service that Halon looks after; every key is documented in halon.example.toml."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
    repository: str
    aliases: tuple[str, ...] = ()
    branch: str = "main"
    path: str | None = None
    owners: tuple[str, ...] = ()
    depends_on: tuple[Dependency, ...] = ()
    logs: tuple[str, ...] = ()
    test: CommandLine | None = None
    reproduce: Reproduce | None = None
    recorded: str | None = None  # a JSONL file of recorded requests inside the repository
    prepare: Prepare | None = None  # a bare line is its `run`
    sandbox: SandboxTable = SandboxTable()
    changes: Changes = Changes()
    run_mode: RunMode | dict[Severity, RunMode] = RunMode.REVIEW
    responders: People = People()
    approvers: People = People()
    admins: People = People()
    four_eyes: bool = False
    # How many approvers have to say yes; one where a severity is not named.
    quorum: dict[Severity, Annotated[int, Field(ge=1, le=5)]] = Field(default_factory=dict)
    model: bool = True
    personal: tuple[Pattern, ...] = ()  # patterns of personal data beyond what Halon knows itself
    value_per_request: str | None = None
    protected: tuple[
        str, ...
    ] = ()  # path globs whose change needs a human's word, and where no guard is placed
    # A working tree whose tasks/hotfix is watched for HOTFIX-*.md; off until set.
    inbox: Path | None = None
    deploy: Deploy | None = None
    monitor: MonitorTable | None = None
    delivery: DeliveryTable | None = None
    replay: ReplayTable | None = None
    load: Reproduce | None = None  # work under which good and bad revisions are compared
    captures: Captures = Captures()
    mitigations: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")], Mitigation] = (
        Field(default_factory=dict)
    )

    @field_validator("depends_on", mode="before")
    @classmethod
    def _names_are_enough(cls, value: object) -> object:
        if isinstance(value, list):
            return [{"name": item} if isinstance(item, str) else item for item in value]
        return value

    @field_validator("prepare", mode="before")
    @classmethod
    def _a_line_is_enough(cls, value: object) -> object:
        return {"run": _splits(value)} if isinstance(value, str) else value

    def mode(self, severity: Severity) -> RunMode:
        """Return the run mode for a severity; `review` where a table does not name it."""
        if isinstance(self.run_mode, RunMode):
            return self.run_mode
        return self.run_mode.get(severity, RunMode.REVIEW)


class File(Table):
    """The whole of halon.toml."""

    service: tuple[Service, ...] = ()


class _NamedFiles(EnvSettingsSource):
    """Reads a variable's value from the file that `<NAME>_FILE` names."""

    def _load_env_vars(self) -> dict[str, str | None]:
        found: dict[str, str | None] = {}
        for name, path in os.environ.items():
            if not name.upper().endswith("_FILE") or name.upper() == "HALON_FILE":
                continue
            try:
                found[name[: -len("_FILE")].lower()] = Path(path).read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError):
                continue  # the setting counts as missing, and says so where it is needed
        return found


class Settings(BaseSettings):
    """Addresses and figures that every process reads from the environment."""

    model_config = SettingsConfigDict(env_prefix="HALON_", extra="ignore", frozen=True)

    folder: Path = Field(Path(".halon"), description="where Halon keeps its data")
    file: Path = Field(Path("halon.toml"), description="the file that names the services")
    database_url: str | None = Field(
        None,
        validation_alias="DATABASE_URL",
        description="SQLAlchemy address; empty: SQLite in the data folder",
    )
    redis_url: str | None = Field(
        None,
        validation_alias="REDIS_URL",
        description="empty: a Redis of our own on a private socket in the data folder",
    )
    time_scale: float = Field(
        1.0,
        gt=0,
        description="divides bakes, buckets, leases and expiries of a rollout; for demos and tests",
    )
    sandbox: Literal["auto", "bubblewrap", "namespaces", "none"] = Field(
        "auto", description="where a repository's code runs"
    )
    lease_seconds: float = Field(15.0, gt=0, description="how long a stage run stays its worker's")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read `NAME`, else the file that `NAME_FILE` names, as container secrets come."""
        return init_settings, env_settings, _NamedFiles(settings_cls)

    @classmethod
    def variables(cls) -> tuple[str, ...]:
        """Return the environment variables that this class reads, `*_FILE` forms included."""
        names = [
            str(field.validation_alias or f"{cls.model_config['env_prefix']}{name}").upper()
            for name, field in cls.model_fields.items()
        ]
        return tuple(names + [f"{name}_FILE" for name in names])

    def scaled(self, duration: timedelta) -> timedelta:
        """Return a duration of the rollout divided by the time scale."""
        return duration / self.time_scale

    @property
    def credentials(self) -> Credentials:
        """What opens repositories that are not open to everyone: nothing, in most processes."""
        return Credentials()

    @property
    def database(self) -> str:
        """The SQLAlchemy address in force."""
        return self.database_url or f"sqlite:///{self.folder.absolute() / 'halon.db'}"


def load_services(path: Path) -> tuple[Service, ...]:
    """Return the services of a file; raises `errors.BadSettings` with every mistake at once."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise errors.BadSettings(
            f"There is no settings file {str(path)!r}; copy halon.example.toml to it, "
            "or name another with HALON_FILE."
        ) from None
    except OSError as error:
        raise errors.BadSettings(
            f"The settings file {str(path)!r} cannot be read ({error.strerror}); "
            "let this user read it, or name another with HALON_FILE."
        ) from error
    except UnicodeDecodeError as error:
        raise errors.BadSettings(
            f"The settings file {str(path)!r} is no text in UTF-8; "
            "save it as such, or name another with HALON_FILE."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise errors.BadSettings(
            f"The settings file {str(path)!r} is not TOML: {error}; correct that place."
        ) from error
    return parse_services(table, where=str(path))


def personal(services: Iterable[Service]) -> tuple[re.Pattern[str], ...]:
    """Return the patterns of personal data of all services, for `Store.private`."""
    named = dict.fromkeys(pattern for service in services for pattern in service.personal)
    return tuple(re.compile(pattern) for pattern in named)


def parse_services(table: dict[str, Any], *, where: str) -> tuple[Service, ...]:
    """Return the services of a parsed halon.toml; `where` names it in the error."""
    try:
        services = File.model_validate(table).service
    except ValidationError as error:
        lines = "\n".join(mistakes.lines(error, table, File))
        raise errors.BadSettings(f"{where!r} has mistakes:\n{lines}") from error
    seen: dict[str, str] = {}
    doubled = []
    for service in services:
        for name in (service.name, *service.aliases):
            if name in seen:
                doubled.append(
                    f"  the name {name!r} is used by {seen[name]!r} and {service.name!r}"
                )
            seen[name] = service.name
    if doubled:
        raise errors.BadSettings(f"{where!r} has mistakes:\n" + "\n".join(doubled))
    return services
