"""What a duty is, and what all duties share: claims that must cite evidence that exists.

The duties beside this file implement it; the claude engine opens and runs them.
"""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agents.case import Case
from agents.loop import Again
from agents.telling import Teller
from agents.tools.contract import Answer, Tool
from agents.tools.desk import Desk
from agents.untrusted import Source
from incidents import reports


class Submitted(BaseModel):
    """Base of what a model hands in: what is not named is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Said(Submitted):
    """A sentence and the facts that carry it."""

    text: Annotated[str, Field(min_length=3, max_length=1200)]
    evidence: Annotated[
        tuple[str, ...], Field(max_length=12, description="Ids of facts, such as E3 or T7.")
    ] = ()


@dataclass(frozen=True)
class Stamp:
    """What the engine knows of a run when a report is made of it."""

    engine: str
    seconds: Callable[[], float]


class Duty(Protocol):
    """One role at one case."""

    submission: type[BaseModel]

    @property
    def base(self) -> reports.Report | None:
        """What the builtin engine made of it; what is used when the model makes nothing."""
        ...

    def task(self, teller: Teller) -> str:
        """Return the first message: what is to be done, and the evidence."""
        ...

    def desk(self) -> Desk:
        """Return the desk of the tools."""
        ...

    def tools(self) -> list[Tool]:
        """Return every tool that the role may have; the role's file may take some away."""
        ...

    def take(self, handed_in: Any, stamp: Stamp) -> reports.Report | Again:
        """Return the report of a submission that holds, else why it does not."""
        ...


# Opens a duty: the case, what an earlier life stored of the base, the teller, the private folder.
Opening = Callable[..., AbstractContextManager[Duty]]


def submit_tool(duty: Duty) -> Tool:
    """Return the tool by which a result is handed in; the loop itself sees to the call."""

    def never(given: BaseModel) -> Answer:
        return Answer("This is seen to by the loop.", error=True)

    described = (
        "Hand in your result; this ends the run when it holds. Cite evidence by its ids: what "
        "cites none, or what does not exist, is shown as a guess."
    )
    return Tool("Submit", described, duty.submission, never)


def parsed(kind: type[BaseModel], given: dict[str, Any]) -> BaseModel | Again:
    """Return a submission by its schema, else what is wrong with it."""
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in item['loc']) or 'result'}: {item['msg']}"
            for item in error.errors(include_url=False, include_input=False)[:10]
        ]
        return Again(f"The result has not the right shape: {'; '.join(lines)}.", broken=True)


def claims(said: Collection[Said], known: Collection[str]) -> tuple[reports.Claim, ...]:
    """Return sentences as claims: with the facts that exist, else marked as inferred."""
    made = []
    for one in said:
        cited = existing(one.evidence, known)
        made.append(reports.Claim(text=one.text, evidence=cited, inferred=not cited))
    return tuple(made)


def existing(cited: Collection[str], known: Collection[str]) -> tuple[str, ...]:
    """Return those of the cited ids that exist, each once."""
    return tuple(dict.fromkeys(name for name in cited if name in known))


def header(case: Case, teller: Teller, what: str) -> str:
    """Return the opening of a task: the incident, the service's commands, what is to be done."""
    lines = [
        what,
        "",
        f"Severity {case.severity}. Broken revision {case.revision}.",
        f"Test command: {case.test or 'none'}. Replay: {case.reproduce or 'none'}.",
    ]
    if case.incident or case.title:
        title = teller.tell(Source.CHAT, case.title) if case.title else ""
        lines.insert(2, f"Incident {case.incident or ''} {title}")
    if case.tried:
        lines.append("Tried before and never to be offered again:")
        lines += [
            f"- {one.remedy} {one.culprit or ''} (digest {one.digest[:12]}): {one.outcome}"
            for one in case.tried
        ]
    return "\n".join(lines)
