"""What every tool is: a name, checked arguments, and a function that answers in text.

The tools beside this file are made of it; `agents.tools.box` guards and calls them. A tool never
gets a shell string, never leaves the workspace and the sandbox, and never raises but HalonError.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from agents.untrusted import Source
from incidents import errors


class Arguments(BaseModel):
    """Base of every tool's arguments: what is not named is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Nothing(Arguments):
    """For tools that need no arguments."""


@dataclass(frozen=True)
class Answer:
    """What a tool says; `kept` is what a later life of the run needs of it, as JSON."""

    text: str
    error: bool = False
    kept: dict[str, Any] | None = None
    # Whose text it is; None for Halon's own words, which need no delimiters.
    source: Source | None = None
    origin: str = ""
    lead: str = ""  # Halon's own words about it, before the delimiters: nobody else can say them


class Refused(errors.ToolRefused):
    """A refusal that quotes the repository: what it quotes stands in delimiters, apart."""

    def __init__(self, message: str, quoted: str, source: Source = Source.NAME) -> None:
        super().__init__(message)
        self.quoted, self.source = quoted, source


def unchanged() -> str:
    """Return the state of a tool whose answer never changes."""
    return ""


def forgotten(kept: dict[str, Any]) -> None:
    """Take up nothing: for tools that keep nothing."""


@dataclass(frozen=True)
class Tool:
    """One tool; `state` names what its answers depend on, so that the same call can be spared."""

    name: str
    description: str
    arguments: type[BaseModel]
    run: Callable[[Any], Answer]
    writes: bool = False
    state: Callable[[], str] = unchanged
    restore: Callable[[dict[str, Any]], None] = forgotten

    def spec(self) -> dict[str, Any]:
        """Return the tool as the Messages API declares it."""
        schema = self.arguments.model_json_schema()
        schema.pop("title", None)
        schema.pop("description", None)
        schema.setdefault("properties", {})
        return {
            "name": self.name,
            "description": self.description,
            "input_schema": schema,
        }
