"""What the host shall do: `want.json`, checked; and its own settings, `host.json`.

Called by `rollout.host` and by whoever sets a host up. Pure reading; every mistake is one sentence.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from incidents import errors

Model = TypeVar("Model", bound=BaseModel)  # the newer syntax needs Python 3.12
Revision = Annotated[str, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]


class Want(BaseModel):
    """The commanded state. The larger fence wins; the same fence may command again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fence: Annotated[int, Field(ge=0, strict=True)] = 0
    stable: Revision
    canary: Revision | None = None
    standby: Revision | None = None  # kept warm without traffic: where a take-back may go
    weight: Annotated[int, Field(ge=0, le=100, strict=True)] = 0  # percent to the canary

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.weight and self.canary is None:
            raise ValueError("a weight needs a canary")
        if self.canary is not None and self.canary == self.stable:
            raise ValueError("canary and stable are the same revision")
        return self


class HostSettings(BaseModel):
    """`host.json`: the service that this folder hosts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repository: str
    argv: Annotated[tuple[str, ...], Field(min_length=1)]
    revision: str = "HEAD"  # stable at the very first start
    replicas: Annotated[int, Field(ge=1, le=64)] = 2
    health: str = "/healthz"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    environment: dict[str, str] = Field(default_factory=dict)


def _parse(model: type[Model], text: str, where: str) -> Model:
    try:
        return model.model_validate(json.loads(text))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        told = f"{place}: {said}" if place else said
        raise errors.PermanentFailure(f"{where} is wrong: {told}") from error
    except (ValueError, RecursionError) as error:
        raise errors.PermanentFailure(f"{where} is not JSON: {error}") from error


def parse_want(text: str) -> Want:
    """Return the commanded state; raises `errors.PermanentFailure` for anything else."""
    return _parse(Want, text, "want.json")


def read_settings(folder: Path) -> HostSettings:
    """Return the settings of a host's folder; raises `errors.BadSettings`."""
    path = folder / "host.json"
    try:
        return _parse(HostSettings, path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise errors.BadSettings(f"{str(path)!r} cannot be read: {error}") from error
    except errors.PermanentFailure as error:
        raise errors.BadSettings(error.message) from error


def write_settings(folder: Path, settings: HostSettings) -> None:
    """Write a host's settings; the host reads them when it starts."""
    folder.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = settings.model_dump(mode="json")
    (folder / "host.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
