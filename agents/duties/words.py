"""The duties that tell: the incident-analyzer's review and the deployment-coordinator's words.

Facts and figures come from the builtin engine and the rollout's plan and stay as they are; the
model explains them. A sentence without evidence is marked as inferred.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field

from agents import pack
from agents.builtin import review
from agents.builtin.workbench import Workbench
from agents.duties import contract
from agents.duties.contract import Said, Stamp, Submitted
from agents.duties.diagnosing import safe, seeded
from agents.loop import Again
from agents.telling import Teller
from agents.tools import history, logquery, reading
from agents.tools.contract import Tool
from agents.tools.desk import Desk
from incidents import errors, report_text, reports

REVIEW = (
    "Write the blameless review of this incident. The builtin engine has drafted it from the "
    "timeline; keep its facts, say what they mean, and propose what prevents the next one. Cite "
    "timeline entries as T7 and facts as E3."
)
PLAN = (
    "This plan is made and rehearsed; its figures are fixed. Read it as the person who has to "
    "decide at 2 a.m.: write the messages to stakeholders, what to watch, what to do afterwards, "
    "and what of the patch makes this rollout risky."
)


class Item(Submitted):
    """One action item: specific, measurable by its check, owned and due."""

    text: Annotated[str, Field(min_length=10, max_length=400)]
    owner: Annotated[str, Field(min_length=2, max_length=80, description="A team or role.")]
    due_days: Annotated[int, Field(ge=1, le=180)]
    check: Annotated[
        str | None, Field(max_length=300, description="What shows that it is done.")
    ] = None


class Review(Submitted):
    """What an analyzer hands in."""

    summary: Annotated[str, Field(min_length=20, max_length=2500)]
    whys: Annotated[tuple[Said, ...], Field(max_length=7)] = ()
    contributing: tuple[Said, ...] = ()
    went_well: tuple[Said, ...] = ()
    could_improve: tuple[Said, ...] = ()
    action_items: Annotated[tuple[Item, ...], Field(max_length=10)] = ()
    prevention: tuple[Said, ...] = ()
    lessons: tuple[Said, ...] = ()


class Words(Submitted):
    """A message for one audience."""

    audience: Annotated[str, Field(min_length=2, max_length=60)]
    text: Annotated[str, Field(min_length=10, max_length=900)]


class Plan(Submitted):
    """What a coordinator hands in."""

    messages: Annotated[tuple[Words, ...], Field(min_length=1, max_length=6)]
    watched: tuple[str, ...] = ()
    afterwards: tuple[str, ...] = ()
    risks: Annotated[tuple[str, ...], Field(description="What an approver must know.")] = ()


@dataclass
class Telling:
    """What both have in common: they only read."""

    bench: Workbench
    the_desk: Desk
    known: tuple[str, ...]
    idle: str = ""

    def desk(self) -> Desk:
        """Return the desk: the broken revision."""
        return self.the_desk

    def tools(self) -> list[Tool]:
        """Return what a role that only tells may use."""
        desk = self.the_desk
        return [*reading.tools(desk), *logquery.tools(desk), *history.tools(desk)]

    def ids(self) -> list[str]:
        """Return what may be cited: facts, and entries of the timeline."""
        return [*(item.id for item in self.the_desk.ledger.items()), *self.known]


@dataclass
class Reviewing(Telling):
    """One review by a model."""

    base: reports.Review = field(kw_only=True)
    submission = Review

    def task(self, teller: Teller) -> str:
        """Return the task with the timeline and the builtin's draft."""
        case = self.bench.case
        told = "\n".join(
            f"[T{entry.sequence}] {entry.at:%H:%M:%S} UTC {entry.kind} {_brief(entry.content)}"
            for entry in case.history.timeline
        )
        sections = [("Timeline", told), ("Draft", report_text.markdown(self.base))]
        parts = [contract.header(case, teller, REVIEW), pack.fit(teller, sections, 18_000)]
        if case.diagnosis is not None:
            parts.append(pack.of_diagnosis(case.diagnosis, teller, 6_000))
        return "\n\n".join(parts)

    def take(self, handed_in: Review, stamp: Stamp) -> reports.Report | Again:
        """Return the review: the model's sentences over the builtin's facts."""
        known = self.ids()
        made = {
            name: contract.claims(getattr(handed_in, name), known) or getattr(self.base, name)
            for name in (
                "whys",
                "contributing",
                "went_well",
                "could_improve",
                "prevention",
                "lessons",
            )
        }
        items = tuple(
            reports.ActionItemDraft(
                text=one.text, owner=one.owner, due_days=one.due_days, check=one.check
            )
            for one in handed_in.action_items
        )
        fields = {
            "engine": stamp.engine,
            "summary": handed_in.summary,
            "action_items": items or self.base.action_items,
        }
        return self.base.model_copy(update=fields | made)


@dataclass
class Coordinating(Telling):
    """One plan's words by a model."""

    base: reports.DeploymentPlan | None = None
    submission = Plan

    def task(self, teller: Teller) -> str:
        """Return the task with the plan and the patch."""
        case = self.bench.case
        shown = report_text.markdown(self.base) if self.base else ""
        sections = [("The plan", shown), ("The patch", case.patch.diff if case.patch else "")]
        return "\n\n".join(
            [contract.header(case, teller, PLAN), pack.fit(teller, sections, 16_000)]
        )

    def take(self, handed_in: Plan, stamp: Stamp) -> reports.Report | Again:
        """Return the plan with its words; no figure of it changes."""
        if self.base is None:
            return Again("There is no plan.")
        words = {one.audience: one.text for one in handed_in.messages}
        kept = tuple(pair for pair in self.base.messages if pair[0] not in words)
        return self.base.model_copy(
            update={
                "engine": stamp.engine,
                "messages": (*words.items(), *kept),
                "watched": tuple(dict.fromkeys((*self.base.watched, *handed_in.watched))),
                "afterwards": tuple(dict.fromkeys((*self.base.afterwards, *handed_in.afterwards))),
                "gaps": tuple(dict.fromkeys((*self.base.gaps, *handed_in.risks))),
            }
        )


def _brief(content: object) -> str:
    return " ".join(str(content).split())[:260]


@contextmanager
def review_opened(
    bench: Workbench, stored: reports.Report | None, teller: Teller, folder: Path
) -> Iterator[Reviewing]:
    """Open the review."""
    case = bench.case
    base = stored if isinstance(stored, reports.Review) else review.write(case)
    desk = _desk(bench, teller, folder)
    known = tuple(f"T{entry.sequence}" for entry in case.history.timeline)
    yield Reviewing(bench, desk, known, base=base)


@contextmanager
def plan_opened(
    bench: Workbench, stored: reports.Report | None, teller: Teller, folder: Path
) -> Iterator[Coordinating]:
    """Open the plan's words; raises PermanentFailure without a plan."""
    base = stored if isinstance(stored, reports.DeploymentPlan) else bench.case.history.plan
    if base is None:
        raise errors.PermanentFailure("There is no plan to speak about.")
    yield Coordinating(bench, _desk(bench, teller, folder), (), base=base)


def _desk(bench: Workbench, teller: Teller, folder: Path) -> Desk:
    found = bench.case.diagnosis
    ledger = seeded(safe(found, teller).evidence if found else ())
    revision = found.revision if found else bench.case.revision
    return Desk(bench, bench.repository.resolve(revision), teller, ledger, folder)
