"""Lets the engine play a role of a stage, once: a rerun after a crash gets the stored report.

Called by the stages that have a role. A model's own run goes on from its transcript meanwhile, so
that a rerun before the report was stored pays for nothing twice either.
"""

from collections.abc import Callable
from dataclasses import replace

from agents import case, given
from agents.engine import Role
from incidents import models, reports
from workers import cases
from workers.job import Job

More = Callable[[case.Case], case.Case]


def play(
    job: Job, role: Role, history: case.History | None = None, more: More | None = None
) -> reports.Report:
    """Return the report of a role on the case as it is known by now, with a person's words.

    `more` adds what is looked up only when the role is really played.
    """
    with cases.repository(job.office, job.service) as mirror:
        made = cases.make(job.office, job.incident, job.service, mirror)
        if history is not None:
            made = replace(made, history=history)
        made = given.add(made, role, cases.words(job.office, job.run), mirror)
        inputs = {"revision": made.revision, "attempt": job.run.attempt, "tried": len(made.tried)}
        stored = job.steps.step(
            role.value,
            inputs,
            lambda: _played(job, role, more(made) if more else made),
        )
    return reports.load(stored)


def _played(job: Job, role: Role, made: case.Case) -> models.Json:
    return job.engine.run(role, made, job.budget()).model_dump(mode="json")
